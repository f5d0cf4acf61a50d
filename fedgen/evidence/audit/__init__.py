"""Memorisation audits: does the release, or the model, give a training patient away?

`run.run_audit` runs them all; `copies`, `data_copying`, `membership` (with `attacks`) and `blind` are the
audits, `verdict` the gate, `neighbours` the picture for the report. The unit of every test is the patient.
"""
