"""Whether the image files of a release show what was drawn, which is what the sites were shown and have signed."""

from __future__ import annotations

import csv
import io
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import combinations
from pathlib import Path

import torch
from torch import Tensor

from fedgen.errors import DataError
from fedgen.release.archive import FolderFiles, ReleaseFiles
from fedgen.release.release_manifest import IMAGES
from fedgen.study.study import Study
from fedgen.synthesis.released_images import ReleasedImages, load_release
from fedgen.synthesis.sample_files import ENDINGS
from fedgen.synthesis.samples import INDEX

#: How far a stored value may be from what was drawn, of the whole range: half a step of 8 bits, and rounding.
_FAR = {"png": 0.51 / 255, "nifti": 1e-4, "dicom": 1e-4}


@contextmanager
def images_folder(files: ReleaseFiles) -> Iterator[Path]:
    """The folder of a release's images, as long as it is needed: its own, or one that an archive is unpacked into."""
    if isinstance(files, FolderFiles):
        yield files.path / IMAGES
        return
    with tempfile.TemporaryDirectory(prefix="fedgen-release-") as made:
        unpack_images(files, Path(made))
        yield Path(made)


def unpack_images(files: ReleaseFiles, folder: Path) -> None:
    """Write the images of a release, and their table, into a folder."""
    for name in files.names:
        if name.startswith(f"{IMAGES}/"):
            with (folder / name.removeprefix(f"{IMAGES}/")).open("wb") as out:
                out.writelines(files.chunks(name))


def unlike(files: ReleaseFiles, study: Study, tensors: Mapping[str, Tensor], *, oriented: bool) -> str | None:
    """The first file that does not show what was drawn; None where all do.

    Args:
        files: of the release.
        study: its own.
        oriented: whether it is known which way up an image is; where it is not, a NIfTI is read one way or another.
        tensors: `images` (n, C, *size) in [-1, 1] and, where there are any, `masks` (n, 1, *size), as drawn.
    """
    with images_folder(files) as folder:
        rows = csv.DictReader(io.StringIO((folder / INDEX).read_text(encoding="utf-8")))
        numbers = {row["image"]: int(row["index"]) for row in rows}
        for form in ENDINGS:
            if any(name.endswith(ENDINGS[form]) for name in numbers):
                turned = form == "nifti" and not oriented
                found = _unlike(load_release(folder, form), form, numbers, study, tensors, turned=turned)
                if found is not None:
                    return found
    return None


def _unlike(
    images: ReleasedImages,
    form: str,
    numbers: Mapping[str, int],
    study: Study,
    tensors: Mapping[str, Tensor],
    *,
    turned: bool,
) -> str | None:
    window = study.data.intensity
    coloured = study.data.channels > 1
    lower, upper = (0.0, 255.0) if form == "png" or coloured else (window.lower, window.upper)
    far = (upper - lower) * (_FAR["png"] if coloured else _FAR[form])
    masks = images.pairs() if tensors.get("masks") is not None else None
    for place, name in enumerate(images.files):
        drawn = tensors["images"][numbers[name]].float().clamp(-1, 1)
        try:
            stored = images.read(place)[0]
            mask = None if masks is None else masks[place].mask
        except DataError:
            return name
        expected = (drawn + 1) / 2 * (upper - lower) + lower
        if stored.shape != expected.shape:
            return name
        fitting = [way for way in _ways(expected.ndim, turned) if _near(stored.flip(way), expected, far)]
        if not fitting:
            return name
        marked = None if mask is None else tensors["masks"][numbers[name]]
        if mask is None or marked is None:
            continue
        if not any(torch.equal(mask.flip(way), marked) for way in fitting):
            return images.masks[place]
    return None


def _ways(axes: int, turned: bool) -> list[tuple[int, ...]]:
    """Axes behind the channels that may be reversed together."""
    sides = range(1, axes)
    return [way for n in (range(axes) if turned else (0,)) for way in combinations(sides, n)]


def _near(stored: Tensor, expected: Tensor, far: float) -> bool:
    return bool(((stored - expected).abs() <= far).all())
