"""Folders as hospitals and public archives have them, a few lines each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage, generate_uid

from fedgen.study.data import DataSection

Tables = Callable[..., Path]


@pytest.fixture
def one_class() -> DataSection:
    """A study that asks for nothing: a single class, whatever the folder says."""
    return DataSection(labels=("any",), image_size=(16, 16))


def grain(seed: int, shape: tuple[int, ...] = (24, 32)) -> np.ndarray:
    """A picture like no other."""
    return np.random.default_rng(seed).integers(0, 256, shape).astype(np.uint8)


@pytest.fixture
def people(tmp_path: Path) -> Tables:
    """people(patients, columns..., encoding) -> a folder with one PNG a patient's row and its metadata.csv."""

    def make(
        patients: Sequence[str],
        *,
        labels: Sequence[str] | None = None,
        sites: Sequence[str] | None = None,
        encoding: str = "utf-8",
        delimiter: str = ",",
        before: str = "",
        after: str = "",
    ) -> Path:
        folder = tmp_path / "people"
        (folder / "im").mkdir(parents=True)
        lines = [delimiter.join(("image", "patient", "site", "label"))]
        for n, patient in enumerate(patients):
            Image.fromarray(grain(n)).save(folder / "im" / f"{n}.png")
            site, label = sites[n] if sites else "north", labels[n] if labels else "any"
            lines.append(delimiter.join((f"im/{n}.png", patient, site, label)) + after)
        (folder / "metadata.csv").write_bytes((before + "\n".join(lines) + "\n").encode(encoding))
        return folder

    return make


@pytest.fixture
def dicom() -> Callable[..., Path]:
    """dicom(path, seed, Tag=value...) -> the path of a new DICOM file of random pixels."""

    def make(path: Path, seed: int = 0, **tags: Any) -> Path:
        stored = grain(seed)
        dataset = Dataset()
        dataset.SpecificCharacterSet = "ISO_IR 192"
        dataset.SOPClassUID, dataset.SOPInstanceUID = SecondaryCaptureImageStorage, generate_uid()
        dataset.StudyInstanceUID, dataset.SeriesInstanceUID = generate_uid(), generate_uid()
        dataset.Modality, dataset.PatientID, dataset.InstitutionName = "CR", f"P{seed}", "North"
        dataset.Rows, dataset.Columns = stored.shape
        dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
        dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 8, 8, 7, 0
        dataset.PixelData = stored.tobytes()
        for keyword, value in tags.items():
            setattr(dataset, keyword, value)
        meta = FileMetaDataset()
        meta.MediaStorageSOPClassUID = dataset.SOPClassUID
        meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        dataset.file_meta = meta
        path.parent.mkdir(parents=True, exist_ok=True)
        pydicom.dcmwrite(path, dataset, enforce_file_format=True)
        return path

    return make


@pytest.fixture
def bids(tmp_path: Path) -> Callable[..., Path]:
    """bids(subjects, lines) -> a folder with one T1w a subject and, where lines are given, participants.tsv."""

    def make(subjects: Sequence[str], lines: Sequence[str] | None) -> Path:
        folder = tmp_path / "dataset"
        for n, subject in enumerate(subjects):
            place = folder / subject / "anat"
            place.mkdir(parents=True)
            volume = nib.Nifti1Image(grain(n, (6, 8, 11)), np.diag([2.0, 2.0, 3.0, 1.0]))
            nib.save(volume, place / f"{subject}_T1w.nii.gz")
        if lines is not None:
            (folder / "participants.tsv").write_text("\n".join(lines) + "\n")
        return folder

    return make
