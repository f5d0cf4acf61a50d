"""fedgen: hospitals co-train generative models of medical images and get back audited synthetic data.

A folder is a room with one concept, and a room imports what stands before it: `schema`, `task`, `run` (strict files,
what is made from what, the run directory), `priors`, `families`, `study` (what is known, what can be trained, what was
asked), `data` and `training` (files to tensors, a site's steps), `mechanisms` (how a contribution becomes private),
`recipe` (the study compiled once), `protocol` and `federation` (messages and both ends), `synthesis` and `evidence`
(images, and what is said of them), `planning` and `selftest`, `report`, `release` and `pipeline` (one list of
stages), `cli`.
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
    path: str | Path,
    form: str | None = None,
    transform: Callable[[Any], Any] | None = None,
    key: str | None = None,
) -> ReleasedImages:
    """The synthetic images of a run or of a signed release, as a torch data set of (image, label, geometry).

    A signed release is verified first, and nothing of one that was changed is read.

    Args:
        path: a run's folder, or its `samples`; or a signed release, as a folder or a zip archive.
        form: `png`, `nifti` or `dicom`; where None, the one of those written that says most of its images.
        transform: applied to each image, a tensor (C, *size).
        key: Ed25519 public key (64 hex digits) that must have signed the release; None for any.

    Raises:
        DataError: there is no release, none in this format, or it is not what was signed, or not with this key.
    """
    # Here, because `import fedgen` alone loads neither torch nor what reads images.
    from fedgen.release.open_release import load_release as load

    return load(path, form, transform, key)
