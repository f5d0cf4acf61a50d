"""The phantom as volumes: a BIDS folder of NIfTI files with label images and participants.tsv."""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from fedgen.data.phantom.anatomy import Head, Slice, cut
from fedgen.data.phantom.cohort import Cohort
from fedgen.data.phantom.patient import Patient
from fedgen.data.phantom.scanner import CONTRASTS, Scanner, scan

#: Heights of the lowest and the highest slice, and mm from one to the other and across a slice.
ENDS, HEIGHT, FIELD_OF_VIEW = (-0.92, 0.98), 150.0, 220.0
#: Stored values of a full signal: the default intensity window.
FULL = 255.0
COLUMNS = ("participant_id", "site", "label", "age", "sex")


def write_volumes(folder: Path, cohorts: Iterable[Cohort], size: tuple[int, ...]) -> None:
    """Each patient's head as `T1w` and `T2w`, with label images `dseg` (SEGMENTS) and `label-lesion_mask`.

    Args:
        folder: made here.
        cohorts: who is imaged, site by site.
        size: (depth, height, width) in voxels.
    """
    rows = []
    for cohort in cohorts:
        for patient in cohort.patients():
            name = f"sub-{patient.identity.replace('-', '')}"
            place = folder / name / "anat"
            place.mkdir(parents=True)
            volumes = volumes_of(patient, cohort.scanner, cohort.rng, size)
            for suffix, volume in volumes.items():
                (place / f"{name}_{suffix}.nii.gz").write_bytes(_nifti(volume))
            rows.append((name, cohort.site, patient.label, patient.age, patient.sex))
    table = io.StringIO()
    writer = csv.writer(table, delimiter="\t", lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(rows)
    (folder / "participants.tsv").write_text(table.getvalue(), encoding="utf-8")


def volumes_of(
    patient: Patient, scanner: Scanner, rng: np.random.Generator, size: tuple[int, ...]
) -> dict[str, NDArray[np.generic]]:
    """A patient's images and label images by BIDS name, (depth, height, width) each, from the feet upwards.

    Rows run from the front to the back and columns from the patient's left to the right, as in a slice that is drawn.
    """
    levels = np.linspace(*ENDS, size[0])
    slices = [cut_at(patient.head, float(level), (size[1], size[2])) for level in levels]
    images: dict[str, NDArray[np.generic]] = {
        contrast: np.stack([scan(each, contrast, scanner, rng) for each in slices]).astype(np.float32) * FULL
        for contrast in CONTRASTS
    }
    images["dseg"] = np.stack([each.segments for each in slices])
    images["label-lesion_mask"] = np.stack([each.lesion for each in slices]).astype(np.uint8)
    return images


def cut_at(head: Head, level: float, size: tuple[int, int]) -> Slice:
    """A slice of a volume: in it a lesion has a height too, about as great as its width."""
    lesion = head.lesion
    if lesion is not None:
        middle = float(np.random.default_rng(lesion.seed).uniform(-0.4, 0.4))
        inside = 1 - ((level - middle) / (1.6 * lesion.radius)) ** 2
        shown = replace(lesion, radius=lesion.radius * inside**0.5) if inside > 0.05 else None
        head = replace(head, lesion=shown)
    return cut(head, level, size)


def _nifti(volume: NDArray[np.generic]) -> bytes:
    """The file of a volume; its axes become right, front and up, as RAS."""
    depth, height, width = volume.shape
    # Of a drawn slice rows run to the back and columns to the right; those of a NIfTI file to the front here.
    ras = np.ascontiguousarray(volume[:, ::-1, :].transpose(2, 1, 0))
    spacing = (FIELD_OF_VIEW / width, FIELD_OF_VIEW / height, HEIGHT / max(depth - 1, 1))
    affine = np.diag([*spacing, 1.0])
    affine[:3, 3] = (-FIELD_OF_VIEW / 2, -FIELD_OF_VIEW / 2, -HEIGHT / 2)
    # Without the time of day, so that the same phantom gives the same bytes.
    return gzip.compress(nib.Nifti1Image(ras, affine).to_bytes(), compresslevel=1, mtime=0)
