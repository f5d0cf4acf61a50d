"""The patient index: which image belongs to which patient of which site; it stays at the site."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from fedgen.data.findings import DataFinding
from fedgen.errors import DataError
from fedgen.run.atomic import write_json
from fedgen.task.image_spec import Spacing

#: Three rows of four numbers: see `Header.affine`.
Affine = tuple[tuple[float, float, float, float], ...]

#: Raised when the meaning of an index file changes; an older file is then refused, not misread.
INDEX_VERSION = 6


@dataclass(frozen=True)
class SliceRange:
    """The 2D slices taken from a volume: `range(start, stop, step)` along array axis `axis`.

    `volume` is the number of the volume in a file, or a series, that holds several; `depth` how many slices it has in
    all, or 0 where that is not known.
    """

    axis: int
    start: int
    stop: int
    step: int
    volume: int = 0
    depth: int = 0

    @property
    def n(self) -> int:
        """Number of slices."""
        return len(range(self.start, self.stop, self.step))


@dataclass(frozen=True)
class IndexEntry:
    """A 2D image; a volume that gives several of them; or, in a study of three sides, a volume as one image.

    Attributes:
        files: relative to the indexed folder, with forward slashes; several where each holds one slice of a volume,
            then in the order of the slices, or where the header of a volume lies in a file of its own, then that first.
        patient: identity of the patient, the privacy unit.
        site: name of the site, safe as a folder name.
        label: class name, or None where unlabelled.
        mask: mask file, relative to the indexed folder, or None.
        modality: DICOM Modality, BIDS suffix, or the table's `modality` column; empty where unknown.
        series: DICOM SeriesDescription, BIDS entities and suffix, or the table's `series` column.
        study: DICOM StudyInstanceUID or BIDS session; empty where unknown.
        spacing: mm between stored pixels along each axis of `size`, or None where unknown.
        orientation: for each axis of `size` the side of the patient that it grows towards; empty where unknown.
        slices: which slices of a volume, or None for a 2D image.
        size: of each image in stored pixels, (height, width) or (depth, height, width).
        stored_orientation: of rows and columns as the file stores them, where decoding turns them, such as `PL`; empty
            where it does not. A mask without geometry of its own is turned with its image.
        structure: of a mask that holds several with names (DICOM SEG, RTSTRUCT) the one asked for; empty for all.
        affine: from (slice, row, column) of the whole volume, or of the one 2D image, to the patient: see
            `Header.affine`; None where unknown. By it a mask with geometry of its own finds its image.
        aspect: height of a pixel over its width, where that is known but no spacing; else None.
        contrast: of `data.contrasts` the one that it is; empty where the study names none.
        covariates: numbers of `data.covariates`; None where one of them is missing.
        embedding: file of the image's embedding, relative to the indexed folder, or None.
    """

    files: tuple[str, ...]
    patient: str
    site: str
    label: str | None
    mask: str | None
    modality: str
    series: str
    study: str
    spacing: Spacing | None
    orientation: str
    slices: SliceRange | None
    size: tuple[int, ...]
    stored_orientation: str = ""
    structure: str = ""
    affine: Affine | None = None
    aspect: float | None = None
    contrast: str = ""
    covariates: tuple[float, ...] | None = ()
    embedding: str | None = None

    @property
    def path(self) -> str:
        """The file, or the first of several."""
        return self.files[0]

    @property
    def pixel_sides(self) -> Spacing | None:
        """Lengths of a pixel's sides along each axis of `size`, in whatever unit; None where they count as equal."""
        return self.spacing if self.spacing is not None or self.aspect is None else (self.aspect, 1.0)

    @property
    def n_images(self) -> int:
        """How many images this entry gives."""
        return 1 if self.slices is None or len(self.size) == 3 else self.slices.n


@dataclass(frozen=True)
class Exclusion:
    """Files left out of the index, and why."""

    reason: str
    count: int


@dataclass(frozen=True)
class PatientIndex:
    """All usable images of a folder.

    Attributes:
        layout: how the folder was read: `table`, `dicom` or `bids`.
        entries: sorted by site, patient and path.
        excluded: what was left out, with counts; nothing is dropped without a line here.
        findings: what a person should know.
    """

    layout: str
    entries: tuple[IndexEntry, ...]
    excluded: tuple[Exclusion, ...] = ()
    findings: tuple[DataFinding, ...] = ()

    @property
    def sites(self) -> tuple[str, ...]:
        """Site names in alphabetical order."""
        return tuple(sorted({entry.site for entry in self.entries}))

    @property
    def patients(self) -> tuple[str, ...]:
        """Patient identities in alphabetical order."""
        return tuple(sorted({entry.patient for entry in self.entries}))

    @property
    def n_images(self) -> int:
        """2D images, slices of volumes counted each."""
        return sum(entry.n_images for entry in self.entries)

    def at(self, site: str) -> tuple[IndexEntry, ...]:
        """The entries of one site."""
        return tuple(entry for entry in self.entries if entry.site == site)

    def sites_of_patients(self) -> dict[str, tuple[str, ...]]:
        """The sites each patient was seen at."""
        seen: dict[str, set[str]] = {}
        for entry in self.entries:
            seen.setdefault(entry.patient, set()).add(entry.site)
        return {patient: tuple(sorted(sites)) for patient, sites in sorted(seen.items())}

    def to_json(self) -> dict[str, Any]:
        """A JSON object that `from_json` reads back to an equal index."""
        return {
            "version": INDEX_VERSION,
            "layout": self.layout,
            "counts": {
                "sites": len(self.sites),
                "patients": len(self.patients),
                "images": self.n_images,
                "excluded": sum(exclusion.count for exclusion in self.excluded),
            },
            "excluded": [asdict(exclusion) for exclusion in self.excluded],
            "findings": [finding.to_json() for finding in self.findings],
            "entries": [asdict(entry) for entry in self.entries],
        }

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> PatientIndex:
        """The index that `to_json` described.

        Raises:
            KeyError, TypeError, ValueError: not such an object.
        """
        if value["version"] != INDEX_VERSION:
            raise ValueError(f"its version is {value['version']}, this program's {INDEX_VERSION}")
        return cls(
            layout=value["layout"],
            entries=tuple(_entry(item) for item in value["entries"]),
            excluded=tuple(Exclusion(**item) for item in value["excluded"]),
            findings=tuple(DataFinding(**item) for item in value["findings"]),
        )


def _entry(item: dict[str, Any]) -> IndexEntry:
    slices, spacing, affine = item["slices"], item["spacing"], item["affine"]
    covariates = item["covariates"]
    return IndexEntry(
        **{
            **item,
            "files": tuple(str(file) for file in item["files"]),
            "slices": None if slices is None else SliceRange(**slices),
            "spacing": None if spacing is None else tuple(float(side) for side in spacing),
            "size": tuple(int(side) for side in item["size"]),
            "covariates": None if covariates is None else tuple(float(number) for number in covariates),
            "affine": None
            if affine is None
            else tuple(tuple(float(value) for value in row) for row in affine),
        }
    )


def write_index(path: Path, index: PatientIndex) -> None:
    """Write `index` to `path`, whole or not at all.

    Raises:
        DataError: the folder is not writable or the disk is full.
    """
    write_json(path, index.to_json(), indent=1)


def read_index(path: Path) -> PatientIndex:
    """Read an index file.

    Raises:
        DataError: the file is absent or damaged.
    """
    try:
        return PatientIndex.from_json(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise DataError(f"{path} does not exist: write it with `fedgen data index`.") from None
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"{path} is not an index of this version ({error}): write it again with `fedgen data index`."
        ) from None


def site_name(name: str) -> str:
    """A site's name as a folder name: letters, digits, `.`, `_` and `-` stay, all else becomes `_`.

    Site names come from files (DICOM InstitutionName, a table) and later name folders, so a name such
    as `../x` must not survive.
    """
    return re.sub(r"[^\w.-]+", "_", name.strip()).strip("._")


def site_names(names: Iterable[str]) -> dict[str, str]:
    """`site_name` of each name.

    Raises:
        DataError: two different names become one, or a name has no letter or digit.
    """
    safe: dict[str, str] = {}
    for name in sorted(set(names)):
        short = site_name(name)
        if not short:
            raise DataError(f"The site name {name!r} has no letter or digit: give the site another name.")
        other = next((known for known, value in safe.items() if value == short), None)
        if other is not None:
            raise DataError(f"The site names {other!r} and {name!r} are too alike: rename one of them.")
        safe[name] = short
    return safe
