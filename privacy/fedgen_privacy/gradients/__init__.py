"""Per-record gradients: several ways to the same numbers, which differ in time and memory alone.

`vmap.py` maps the gradient of one record over the batch; `hooks.py` runs the batch once and takes each layer's
gradients record by record on the way back, by the rules in `layers.py`. A record is a patient in fedgen. What is done
with the gradients (clip, sum, noise) is in `fedgen_privacy.step`.
"""
