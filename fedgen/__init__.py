"""fedgen: hospitals co-train generative models of medical images and get back audited synthetic data.

A folder is a room with one concept, and a room imports what stands before it: `schema`, `task`, `run` (strict files,
what is made from what, the run directory), `priors`, `families`, `study` (what is known, what can be trained, what was
asked), `data` and `training` (files to tensors, a site's steps), `mechanisms` (how a contribution becomes private),
`recipe` (the study compiled once), `protocol` and `federation` (messages and both ends), `synthesis` and `evidence`
(images, and what is said of them), `planning` and `selftest`, `report` and `pipeline` (one list of stages), `cli`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from typing import Any

    from fedgen.synthesis.released_images import ReleasedImages

__version__ = "0.1.0"


def load_release(
    path: str | Path, form: str | None = None, transform: Callable[[Any], Any] | None = None
) -> ReleasedImages:
    """The synthetic images of a run or of a release, as a torch data set of (image, label, geometry).

    Args:
        path: the run's folder, or its `samples`.
        form: `png`, `nifti` or `dicom`; where None, the one of those written that says most of its images.
        transform: applied to each image, a tensor (C, *size).

    Raises:
        DataError: there is no release, or none in this format.
    """
    # Here, because `import fedgen` alone loads neither torch nor what reads images.
    from fedgen.synthesis.released_images import load_release as load

    return load(path, form, transform)
