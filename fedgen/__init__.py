"""fedgen: hospitals co-train generative models of medical images and get back audited synthetic data.

A folder is a room with one concept, and a room imports what stands before it: `schema`, `task`, `run` (strict files,
what is made from what, the run directory), `priors`, `families`, `study` (what is known, what can be trained, what was
asked), `data` and `training` (files to tensors, a site's steps), `mechanisms` (how a contribution becomes private),
`recipe` (the study compiled once), `protocol` and `federation` (messages and both ends), `synthesis` and `evidence`
(images, and what is said of them), `planning` and `selftest`, `report` and `pipeline` (one list of stages), `cli`.
"""

__version__ = "0.1.0"
