"""Write the phantom as hospitals would export it: DICOM series, mask PNGs and a labels.csv."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, generate_uid

from fedgen.data.phantom.anatomy import Head, cut
from fedgen.data.phantom.scanner import CONTRASTS, Scanner, scan
from fedgen.errors import DataError
from fedgen.run.directory import unwritable
from fedgen.study.data import Phantom

#: Raised when the images change, so that a run never continues on another phantom.
PHANTOM_VERSION = 1
CLASSES = ("none", "lesion")
_HOSPITALS = (
    "Ashford", "Brookside", "Cedarhill", "Dunmore", "Eastvale", "Fairmount", "Glenwood", "Harborview",
    "Inverness", "Juniper", "Kingsley", "Lakeside", "Mapleton", "Northgate", "Oakridge", "Pinecrest",
)  # fmt: skip
_FAMILY = (
    "Adler",
    "Berg",
    "Costa",
    "Diaz",
    "Evans",
    "Fischer",
    "Garcia",
    "Haddad",
    "Ito",
    "Jansen",
    "Kim",
    "Lopez",
)
_GIVEN = ("Alex", "Bo", "Chris", "Dana", "Eli", "Finn", "Gray", "Hana", "Indy", "Jo", "Kit", "Lee")
#: Stored values are 12 bits; the rescale slope brings them to 0..255, the default intensity window.
_STORED_MAX = 4095
_FIELD_OF_VIEW = 220.0


@dataclass(frozen=True)
class _Patient:
    """A fake identity with its head and the heights of its slices."""

    identity: str
    name: str
    birth_date: str
    sex: str
    label: str
    head: Head
    levels: tuple[float, ...]


def write_phantom(folder: Path, phantom: Phantom, seed: int, size: tuple[int, int] = (96, 96)) -> None:
    """Write multi-site demonstration data; the same arguments give the same bytes.

    Each patient has 1 to 4 slices, each as a T1w and a T2w series of the same anatomy, one class for all
    slices (`none` or `lesion`), and a mask PNG a slice (empty for `none`). `labels.csv` is keyed by
    SOPInstanceUID. About half the patients have a lesion; every site has both classes, and its own scanner.

    Args:
        folder: made whole or not at all; left alone where it already holds this very phantom.
        phantom: numbers of sites and patients.
        seed: fixes everything.
        size: (height, width) of the slices in pixels.

    Raises:
        DataError: the folder holds something else, or cannot be written.
    """
    numbers = {"sites": phantom.sites, "patients": phantom.patients}
    marker = {"version": PHANTOM_VERSION, **numbers, "seed": seed, "size": list(size)}
    if folder.exists() and any(folder.iterdir()):
        _check_marker(folder, marker)
        return
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as temporary:
            whole = Path(temporary) / "phantom"
            _write_all(whole, phantom, seed, size)
            (whole / "phantom.json").write_text(json.dumps(marker) + "\n", encoding="utf-8")
            if folder.exists():
                folder.rmdir()
            shutil.move(whole, folder)
    except OSError as error:
        raise unwritable(folder, error) from error


def _check_marker(folder: Path, marker: dict[str, object]) -> None:
    try:
        found = json.loads((folder / "phantom.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        found = None
    if found != marker:
        raise DataError(
            f"{folder} is not empty and holds something else than this phantom: choose another folder."
        )


def _write_all(folder: Path, phantom: Phantom, seed: int, size: tuple[int, int]) -> None:
    rows: list[tuple[str, str, str]] = []
    for number in range(phantom.sites):
        rng = np.random.default_rng([seed, number])
        site, scanner = _HOSPITALS[number], Scanner.of_site(number, rng)
        labels = rng.permutation([CLASSES[i % 2] for i in range(phantom.patients)])
        for i, label in enumerate(labels):
            patient = _draw_patient(site, i, str(label), rng)
            rows += _write_patient(folder, site, patient, scanner, rng, size)
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(("SOPInstanceUID", "label", "mask"))
    writer.writerows(rows)
    (folder / "labels.csv").write_text(table.getvalue(), encoding="utf-8")


def _draw_patient(site: str, number: int, label: str, rng: np.random.Generator) -> _Patient:
    levels = np.linspace(-0.6, 0.6, 4) + rng.uniform(-0.1, 0.1, 4)
    chosen = np.sort(rng.permutation(4)[: rng.integers(1, 5)])
    return _Patient(
        identity=f"{site[:3].upper()}-{number + 1:04d}",
        name=f"{rng.choice(_FAMILY)}^{rng.choice(_GIVEN)}",
        birth_date=f"{rng.integers(1935, 2000)}{rng.integers(1, 13):02d}{rng.integers(1, 29):02d}",
        sex=str(rng.choice(["F", "M"])),
        label=label,
        head=Head.draw(rng, lesion=label == "lesion"),
        levels=tuple(levels[chosen].tolist()),
    )


def _write_patient(
    folder: Path,
    site: str,
    patient: _Patient,
    scanner: Scanner,
    rng: np.random.Generator,
    size: tuple[int, int],
) -> list[tuple[str, str, str]]:
    place = folder / site / patient.identity
    place.mkdir(parents=True)
    rows = []
    for n, level in enumerate(patient.levels, start=1):
        anatomy = cut(patient.head, level, size)
        mask = place / f"mask-{n}.png"
        Image.fromarray(anatomy.lesion.astype(np.uint8) * 255).save(mask)
        for contrast in CONTRASTS:
            image = scan(anatomy, contrast, scanner, rng)
            stored = np.round(image * _STORED_MAX).astype(np.uint16)
            dataset = _dataset(stored, site, patient, contrast, n, level)
            dataset.save_as(place / f"{contrast}-{n}.dcm", enforce_file_format=True)
            rows.append((str(dataset.SOPInstanceUID), patient.label, mask.relative_to(folder).as_posix()))
    return rows


def _dataset(
    stored: NDArray[np.uint16], site: str, patient: _Patient, contrast: str, number: int, level: float
) -> Dataset:
    # The UID hashes the pixels too, so that phantoms of different seeds never share one.
    entropy = [site, patient.identity, contrast, str(number), hashlib.sha256(stored.tobytes()).hexdigest()]
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = MRImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=entropy)
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset = Dataset()
    dataset.file_meta = meta
    dataset.SOPClassUID = MRImageStorage
    dataset.SOPInstanceUID = meta.MediaStorageSOPInstanceUID
    dataset.StudyInstanceUID = generate_uid(entropy_srcs=[site, patient.identity, patient.birth_date])
    dataset.SeriesInstanceUID = generate_uid(
        entropy_srcs=[site, patient.identity, patient.birth_date, contrast]
    )
    dataset.FrameOfReferenceUID = dataset.StudyInstanceUID
    dataset.PatientID, dataset.PatientName = patient.identity, patient.name
    dataset.PatientBirthDate, dataset.PatientSex = patient.birth_date, patient.sex
    dataset.StudyDate, dataset.StudyTime, dataset.StudyID, dataset.AccessionNumber = (
        "20240102",
        "120000",
        "1",
        "",
    )
    dataset.ReferringPhysicianName, dataset.InstitutionName = "", site
    dataset.Manufacturer, dataset.ImageType = "fedgen phantom", ["DERIVED", "PRIMARY"]
    dataset.Modality, dataset.SeriesDescription = "MR", contrast
    dataset.SeriesNumber, dataset.InstanceNumber = CONTRASTS.index(contrast) + 1, number
    dataset.ScanningSequence, dataset.SequenceVariant = "SE", "NONE"
    dataset.ScanOptions, dataset.MRAcquisitionType, dataset.EchoTime, dataset.EchoTrainLength = (
        "",
        "2D",
        None,
        None,
    )
    spacing = _FIELD_OF_VIEW / min(stored.shape)
    dataset.PixelSpacing, dataset.SliceThickness = [f"{spacing:.6g}"] * 2, "5"
    dataset.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    dataset.ImagePositionPatient = [-110, -110, round(60 * level, 3)]
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.Rows, dataset.Columns = stored.shape
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 12, 11, 0
    dataset.RescaleIntercept, dataset.RescaleSlope, dataset.RescaleType = (
        "0",
        f"{255 / _STORED_MAX:.10f}",
        "US",
    )
    dataset.WindowCenter, dataset.WindowWidth = "127.5", "255"
    dataset.PixelData = stored.tobytes()
    return dataset
