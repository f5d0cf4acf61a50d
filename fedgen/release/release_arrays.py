"""The images of a release as arrays in one file."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from fedgen.run.atomic import unwritable
from fedgen.synthesis.released_images import ReleasedImages


def write_arrays(images: ReleasedImages, out: Path) -> tuple[int, ...]:
    """Write `images` (n, C, *size) float32, `labels` (n,), `classes`, `spacing` (n, axes) mm, `orientation`, `files`.

    Returns:
        The shape of `images`.

    Raises:
        DataError: an image is damaged, or the file cannot be written.
    """
    read = [images.read(number) for number in range(len(images))]
    stacked = np.stack([image.numpy() for image, _ in read])
    partial = out.with_name(f"{out.name}.partial.npz")
    try:
        np.savez(
            partial,
            images=stacked,
            labels=np.array(images.labels, np.int64),
            classes=np.array(images.classes),
            spacing=np.stack([geometry.spacing.numpy() for _, geometry in read]),
            orientation=np.array([geometry.orientation for _, geometry in read]),
            files=np.array(images.files),
        )
        partial.replace(out)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise unwritable(out, error) from error
    return stacked.shape
