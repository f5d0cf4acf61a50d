"""Write the phantom as hospitals would export it: DICOM series with masks and a labels.csv, or volumes as BIDS."""

from __future__ import annotations

import csv
import io
import json
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image
from pydicom.uid import MRImageStorage

from fedgen.data.phantom.anatomy import cut
from fedgen.data.phantom.cohort import Cohort
from fedgen.data.phantom.dicom import encode_image
from fedgen.data.phantom.patient import Patient
from fedgen.data.phantom.scanner import CONTRASTS, Scanner, scan
from fedgen.data.phantom.series import STORED_MAX, elements, instance_uid
from fedgen.data.phantom.volumes import write_volumes
from fedgen.errors import DataError, StudyError
from fedgen.run.atomic import unwritable
from fedgen.study.data import Phantom

#: Raised when the images change, so that a run never continues on another phantom.
PHANTOM_VERSION = 3
CLASSES = ("none", "lesion")
#: Rows and columns of a slice, and slices, rows and columns of a volume, before anything is resampled.
SLICE, VOLUME = (96, 96), (24, 48, 48)
_TOWNS = (
    "Ashford", "Brookside", "Cedarhill", "Dunmore", "Eastvale", "Fairmount", "Glenwood", "Harborview",
    "Inverness", "Juniper", "Kingsley", "Lakeside", "Mapleton", "Northgate", "Oakridge", "Pinecrest",
)  # fmt: skip
#: Whose patients a phantom has; the number of a site is its place here.
HOSPITALS = tuple(f"{town}{part}" for part in ("", "-North", "-South", "-West") for town in _TOWNS)
#: Numbers of the seeds of sites, after one for each town; those that follow are of public scanners.
FIRST_PUBLIC, LATER = len(_TOWNS), 1_000_000


def phantom_sites(phantom: Phantom) -> tuple[str, ...]:
    """Names of a phantom's hospitals, in the order they are written."""
    return HOSPITALS[: phantom.sites]


def native_size(image_size: Sequence[int]) -> tuple[int, ...]:
    """Of the phantoms of a study whose images have this size after resampling: slices, or volumes."""
    return SLICE if len(image_size) == 2 else VOLUME


def write_phantom(folder: Path, phantom: Phantom, seed: int, size: tuple[int, ...] = SLICE) -> None:
    """Write multi-site demonstration data; the same arguments give the same bytes.

    Each patient has 1 to 4 slices, each as a T1w and a T2w series of the same anatomy, one class for all
    slices (`none` or `lesion`), and two mask PNG a slice: of the lesion (empty for `none`) and of tissues (SEGMENTS).
    `labels.csv` is keyed by SOPInstanceUID. About half the patients have a lesion; every site has both classes, and
    its own scanner. Older patients have wider ventricles and sulci, men larger heads; DICOM tags tell age and sex.
    With three sides of a size there is one volume a patient instead (`volumes`).

    Args:
        folder: made whole or not at all; left alone where it already holds this very phantom.
        phantom: numbers of sites and patients.
        seed: fixes everything.
        size: (height, width) of the slices in pixels, or (depth, height, width) of volumes.

    Raises:
        DataError: the folder holds something else, or cannot be written.
    """
    about = {"sites": phantom.sites, "patients": phantom.patients}
    _write(folder, about, phantom_sites(phantom), phantom.patients, seed, size)


def write_phantom_site(
    folder: Path, phantom: Phantom, site: str, seed: int, size: tuple[int, ...] = SLICE
) -> None:
    """Write one hospital of a phantom into a folder of its own: the very files `write_phantom` makes of it.

    Args:
        folder: as in `write_phantom`.
        phantom: numbers of sites and patients.
        site: one of `phantom_sites(phantom)`.
        seed: that of the whole phantom.
        size: as in `write_phantom`.

    Raises:
        StudyError: the phantom has no such site.
        DataError: the folder holds something else, or cannot be written.
    """
    sites = phantom_sites(phantom)
    if site not in sites:
        raise StudyError(f"The phantom has no site {site!r}: take one of {', '.join(sites)}.")
    _write(folder, {"site": site, "patients": phantom.patients}, (site,), phantom.patients, seed, size)


def _write(
    folder: Path,
    about: Mapping[str, object],
    sites: Sequence[str],
    patients: int,
    seed: int,
    size: tuple[int, ...],
) -> None:
    marker = {"version": PHANTOM_VERSION, **about, "seed": seed, "size": list(size)}
    if folder.exists() and any(folder.iterdir()):
        _check_marker(folder, marker)
        return
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as temporary:
            whole = Path(temporary) / "phantom"
            if len(size) == 3:
                write_volumes(whole, [_cohort(site, patients, seed) for site in sites], size)
            else:
                rows = [row for site in sites for row in _write_site(whole, site, patients, seed, size)]
                _write_table(whole / "labels.csv", rows)
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


def _cohort(site: str, patients: int, seed: int) -> Cohort:
    number = HOSPITALS.index(site)
    # A site's own, so that it is the same whichever others are written.
    rng = np.random.default_rng([seed, number if number < FIRST_PUBLIC else LATER + number])
    scanner = Scanner.of_site(number, rng)
    labels = rng.permutation([CLASSES[i % 2] for i in range(patients)])
    return Cohort(site, scanner, tuple(str(label) for label in labels), rng)


def _write_site(
    folder: Path, site: str, patients: int, seed: int, size: tuple[int, ...]
) -> list[tuple[str, ...]]:
    cohort = _cohort(site, patients, seed)
    rows: list[tuple[str, ...]] = []
    # A patient's images are drawn before the next patient is.
    for patient in cohort.patients():
        rows += _write_patient(folder, site, patient, cohort.scanner, cohort.rng, (size[0], size[1]))
    return rows


def _write_table(path: Path, rows: Sequence[tuple[str, ...]]) -> None:
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(("SOPInstanceUID", "label", "mask", "tissue_mask"))
    writer.writerows(rows)
    path.write_text(table.getvalue(), encoding="utf-8")


def _write_patient(
    folder: Path,
    site: str,
    patient: Patient,
    scanner: Scanner,
    rng: np.random.Generator,
    size: tuple[int, int],
) -> list[tuple[str, ...]]:
    place = folder / site / patient.identity
    place.mkdir(parents=True)
    rows = []
    for n, level in enumerate(patient.levels, start=1):
        anatomy = cut(patient.head, level, size)
        mask, tissue = place / f"mask-{n}.png", place / f"tissue-{n}.png"
        # Drawn with the patient's right on the right, as decoded slices are; a scanner stores it on the left.
        mask.write_bytes(_png((anatomy.lesion[:, ::-1] * np.uint8(255)).tobytes(), size))
        tissue.write_bytes(_png(anatomy.segments[:, ::-1].tobytes(), size))
        for contrast in CONTRASTS:
            image = scan(anatomy, contrast, scanner, rng)
            stored = np.round(image[:, ::-1] * STORED_MAX).astype(np.uint16)
            uid = instance_uid(stored, site, patient, contrast, n)
            tags = elements(stored.shape, site, patient, contrast, n, level)
            file = place / f"{contrast}-{n}.dcm"
            file.write_bytes(encode_image(MRImageStorage, uid, tags, stored))
            masks = (path.relative_to(folder).as_posix() for path in (mask, tissue))
            rows.append((uid, patient.label, *masks))
    return rows


@lru_cache(maxsize=2)  # half of the patients have no lesion, and their masks are all empty
def _png(mask: bytes, size: tuple[int, int]) -> bytes:
    picture = io.BytesIO()
    Image.fromarray(np.frombuffer(mask, np.uint8).reshape(size)).save(picture, "PNG")
    return picture.getvalue()
