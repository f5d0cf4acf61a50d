"""fedgen: hospitals co-train generative models of medical images and get back audited synthetic data.

The rooms follow the data's own way through the program: `study` (what was asked), `data` (files to
patients to tensors), `models` (families and objectives), `training` (a site's local steps), `protocol`
(what crosses the wire), `federation` (rounds), `synthesis`, `audit`, `evaluation` and `report`.
"""

__version__ = "0.1.0"
