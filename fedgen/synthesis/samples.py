"""The folder `samples/` of a run: image files for people, one tensor file for the later stages.

`synthetic.safetensors` is removed first and written last, so a set that was interrupted is never taken for
a whole one.
"""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from fedgen.data.site_data import LabelledImages
from fedgen.errors import DataError
from fedgen.run.atomic import unwritable, write_atomic
from fedgen.synthesis.formats import PNG_SOFTWARE, file_stems, nifti_bytes, png_bytes
from fedgen.task.image_spec import ImageSpec

TENSORS = "synthetic.safetensors"
INDEX = "samples.csv"
#: Of all images in the table: they are of no hospital.
SITE = "synthetic"
_ENDINGS = {"png": ".png", "nifti": ".nii.gz"}


def write_samples(
    samples: Path,
    synthetic: LabelledImages,
    classes: tuple[str, ...],
    formats: Sequence[str],
    grid: ImageSpec,
    *,
    window: tuple[float, float] = (0.0, 255.0),
) -> list[Path]:
    """Write the synthetic set, replacing an earlier one.

    Args:
        samples: the folder; made if absent.
        synthetic: n images in [-1, 1] with their labels.
        classes: class names in the order of their index.
        formats: `png`, `nifti` or both.
        grid: what each image is, with spacing and orientation where they are known.
        window: stored values of -1 and +1 (the study's `data.intensity`), used by gray NIfTI files.

    Returns:
        the image files, `<class>_<0001>.png` or `.nii.gz`, numbered within the class from 1. `samples.csv`
        lists them with columns image, patient (each image is one of its own), site, label (the class's own name)
        and index (row of the tensor file), so that the folder is one of images like any other.

    Raises:
        DataError: the disk is full or the folder cannot be written.
    """
    stems = file_stems(classes)
    labels = [int(label) for label in synthetic.labels]
    width = max(4, len(str(len(labels))))
    numbers = [0] * len(classes)
    rows: list[tuple[str, str, int]] = []
    for index, label in enumerate(labels):
        numbers[label] += 1
        name = f"{stems[label]}_{numbers[label]:0{width}d}"
        rows += [(name + _ENDINGS[form], classes[label], index) for form in formats]
    _clear(samples, keep={file for file, _, _ in rows})
    for file, _, index in rows:
        image = synthetic.images[index]
        png = file.endswith(".png")
        content = png_bytes(image, grid.spacing) if png else nifti_bytes(image, grid, window)
        write_atomic(samples / file, content)
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(("image", "patient", "site", "label", "index"))
    writer.writerows((file, f"{SITE}-{index}", SITE, label, index) for file, label, index in rows)
    write_atomic(samples / INDEX, table.getvalue().encode())
    tensors = {"images": synthetic.images.half().contiguous(), "labels": synthetic.labels.long().contiguous()}
    write_atomic(samples / TENSORS, save(tensors, metadata={"software": PNG_SOFTWARE}))
    return [samples / file for file, _, _ in rows]


def read_samples(samples: Path) -> LabelledImages:
    """The synthetic set of a run, exactly as it was sampled.

    Raises:
        DataError: synthesis has not run or did not finish, or the file is damaged.
    """
    path = samples / TENSORS
    if not path.is_file():
        raise DataError(f"{path} does not exist: run the stage synthesize first.")
    try:
        with safe_open(path, framework="pt") as file:
            images = file.get_tensor("images")
            labels = file.get_tensor("labels")
    except (SafetensorError, OSError) as error:
        raise DataError(f"{path} is damaged ({error}): run the stage synthesize again.") from None
    fits = images.ndim in (4, 5) and labels.shape == images.shape[:1] and bool(torch.isfinite(images).all())
    if not fits:
        raise DataError(f"{path} is damaged (shapes or values do not fit): run the stage synthesize again.")
    return LabelledImages(images=images.float(), labels=labels.long())


def files_sha256(samples: Path) -> str:
    """SHA-256 (hex) of the table and of all files that it lists.

    Raises:
        DataError: one of them cannot be read.
    """
    digest = hashlib.sha256()
    try:
        table = (samples / INDEX).read_bytes()
        listed = [row["image"] for row in csv.DictReader(io.StringIO(table.decode()))]
        for content in (table, *((samples / Path(file).name).read_bytes() for file in listed)):
            digest.update(hashlib.sha256(content).digest())
    except (OSError, UnicodeDecodeError, KeyError) as error:
        raise DataError(f"{samples} is no whole set of synthetic images ({error}): draw it again.") from None
    return digest.hexdigest()


def _clear(samples: Path, keep: set[str]) -> None:
    """Remove what an earlier set left, so that the folder never mixes two sets."""
    stale = [samples / TENSORS, *(path for end in _ENDINGS.values() for path in samples.glob(f"*{end}"))]
    for path in stale:
        if path.name in keep:
            continue
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise unwritable(path, error) from error
