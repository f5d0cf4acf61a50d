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
from fedgen.synthesis.dicom_tags import Provenance, SyntheticPatient
from fedgen.synthesis.file_stems import file_stems
from fedgen.synthesis.formats import PNG_SOFTWARE
from fedgen.synthesis.sample_files import ENDINGS, sample_files
from fedgen.task.image_spec import ImageSpec

TENSORS = "synthetic.safetensors"
INDEX = "labels.csv"
#: Of all images in the table: they are of no hospital.
SITE = "synthetic"


def write_samples(
    samples: Path,
    synthetic: LabelledImages,
    classes: tuple[str, ...],
    formats: Sequence[str],
    grid: ImageSpec,
    *,
    about: Provenance,
    window: tuple[float, float] = (0.0, 255.0),
    mask_classes: Sequence[str] = ("mask",),
) -> list[Path]:
    """Write the synthetic set, replacing an earlier one.

    Args:
        samples: the folder; made if absent.
        synthetic: n images in [-1, 1] with their labels, and their masks where they have any.
        classes: class names in the order of their index.
        formats: any of `png`, `nifti` and `dicom`.
        grid: what each image is, with spacing and orientation where they are known.
        about: where the images come from, which DICOM files say.
        mask_classes: names of the masks' values 1, 2, ...
        window: stored values of -1 and +1 (the study's `data.intensity`), of gray NIfTI and DICOM files.

    Returns:
        the image files, `<class>_<0001>.png`, `.nii.gz` or `.dcm`, numbered within the class from 1. `labels.csv`
        lists them with columns image, patient (each image is one of its own), site, label (the class's own name),
        index (row of the tensor file) and, where there are masks, mask (`<class>_<0001>_mask` with the same ending),
        so that the folder is one of images like any other.

    Raises:
        DataError: the disk is full or the folder cannot be written.
    """
    stems = file_stems(classes)
    labels = [int(label) for label in synthetic.labels]
    width = max(4, len(str(len(labels))))
    numbers = [0] * len(classes)
    names = []
    for label in labels:
        numbers[label] += 1
        names.append(f"{stems[label]}_{numbers[label]:0{width}d}")
    parts = ("",) if synthetic.masks is None else ("", "_mask")
    _clear(
        samples, keep={f"{name}{part}{ENDINGS[form]}" for name in names for part in parts for form in formats}
    )
    rows: list[tuple[str, str, str, str, int, str]] = []
    for index, (name, label) in enumerate(zip(names, labels, strict=True)):
        subject = SyntheticPatient(f"{SITE}-{index}", classes[label], index + 1)
        mask = None if synthetic.masks is None else synthetic.masks[index]
        for form in formats:
            image, marked = sample_files(
                form, synthetic.images[index], mask, grid, window, subject, about, mask_classes
            )
            file, mask_file = f"{name}{ENDINGS[form]}", ""
            write_atomic(samples / file, image)
            if marked is not None:
                mask_file = f"{name}_mask{ENDINGS[form]}"
                write_atomic(samples / mask_file, marked)
            rows.append((file, subject.patient, SITE, subject.label, index, mask_file))
    columns = 5 if synthetic.masks is None else 6
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(("image", "patient", "site", "label", "index", "mask")[:columns])
    writer.writerows(row[:columns] for row in rows)
    write_atomic(samples / INDEX, table.getvalue().encode())
    tensors = {"images": synthetic.images.half().contiguous(), "labels": synthetic.labels.long().contiguous()}
    if synthetic.masks is not None:
        tensors["masks"] = synthetic.masks.to(torch.uint8).contiguous()
    write_atomic(samples / TENSORS, save(tensors, metadata={"software": PNG_SOFTWARE}))
    return [samples / row[0] for row in rows]


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
            masks = file.get_tensor("masks") if "masks" in file.keys() else None  # noqa: SIM118 - no mapping
    except (SafetensorError, OSError) as error:
        raise DataError(f"{path} is damaged ({error}): run the stage synthesize again.") from None
    fits = images.ndim in (4, 5) and labels.shape == images.shape[:1] and bool(torch.isfinite(images).all())
    if not fits:
        raise DataError(f"{path} is damaged (shapes or values do not fit): run the stage synthesize again.")
    return LabelledImages(images=images.float(), labels=labels.long(), masks=masks)


def files_sha256(samples: Path) -> str:
    """SHA-256 (hex) of the table and of all files that it lists.

    Raises:
        DataError: one of them cannot be read.
    """
    digest = hashlib.sha256()
    try:
        table = (samples / INDEX).read_bytes()
        listed = [
            row[column]
            for row in csv.DictReader(io.StringIO(table.decode()))
            for column in ("image", "mask")
            if column == "image" or row.get(column)
        ]
        for content in (table, *((samples / Path(file).name).read_bytes() for file in listed)):
            digest.update(hashlib.sha256(content).digest())
    except (OSError, UnicodeDecodeError, KeyError) as error:
        raise DataError(f"{samples} is no whole set of synthetic images ({error}): draw it again.") from None
    return digest.hexdigest()


def _clear(samples: Path, keep: set[str]) -> None:
    """Remove what an earlier set left, so that the folder never mixes two sets."""
    stale = [samples / TENSORS, *(path for end in ENDINGS.values() for path in samples.glob(f"*{end}"))]
    for path in stale:
        if path.name in keep:
            continue
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise unwritable(path, error) from error
