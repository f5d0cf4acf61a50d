"""How a folder is organised: one reader a layout, which finds the images and what is known of each."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import ClassVar, NamedTuple, TypeVar

from fedgen.data.decoders.decoder import Header, UnreadableError
from fedgen.data.findings import DataFinding, Note
from fedgen.data.identity import composed, is_unlabelled
from fedgen.data.index import Affine, IndexEntry, SliceRange
from fedgen.data.table import Table
from fedgen.study.data import Columns, DataSection, Slices
from fedgen.task.image_spec import Spacing

_Item = TypeVar("_Item")


@dataclass(frozen=True)
class Request:
    """What a layout is asked to read.

    Attributes:
        folder: the folder.
        files: every file below it, relative with forward slashes, sorted; hidden files are left out.
        data: the study's data section.
        table: the table that describes the folder, if there is one.
        site: the one site all images belong to, whatever the files say; None where the files tell the sites apart.
        progress: told (files done, files in all), or rows of the table.
    """

    folder: Path
    files: tuple[str, ...]
    data: DataSection
    table: Table | None
    site: str | None = None
    progress: Callable[[int, int], None] | None = None

    def watched(self, items: Iterable[_Item]) -> Iterator[_Item]:
        """Each of `items`, and after each a word to whoever waits: (items done, items in all)."""
        known = tuple(items)
        for number, item in enumerate(known, start=1):
            yield item
            if self.progress is not None:
                self.progress(number, len(known))

    def wants(self, modality: str, series: str) -> bool:
        """Whether the study asks for images of this modality or series."""
        asked = self.data.contrasts or ((self.data.modality,) if self.data.modality is not None else ())
        return not asked or modality in asked or series in asked


@dataclass(frozen=True)
class Problem:
    """A file that is listed but cannot be used.

    Attributes:
        path: the file, relative to the folder.
        reason: completes the sentence "PATH ...".
        where: the table row that names it, or empty.
    """

    path: str
    reason: str
    where: str = ""

    @property
    def sentence(self) -> str:
        """`PATH reason (row 3 of metadata.csv)`, without a full stop."""
        return f"{self.path} {self.reason}" + (f" ({self.where})" if self.where else "")


@dataclass
class Scan:
    """What a layout found: every image before labels are judged, and every file that cannot be used.

    Attributes:
        layout: its name.
        entries: images; a label is what the folder says, None where it says nothing.
        excluded: files left out because the study, or the kind of the file, asks for it, by reason.
        unasked: files that look like images and are left out for a reason that nobody asked for.
        beside: files that are no images, such as tables and texts, by kind.
        seen: every file that is accounted for above without being part of an entry or a problem.
        problems: files that are listed, or are images, but cannot be used.
        findings: what a person should know.
        notes: what was noticed in single files.
        instances: SOPInstanceUID of every DICOM image.
        mask_rules: files that the study does not use, but would by this rule in `data.columns.mask`, by rule.
        patients_assumed: each image was taken for a patient, because neither the folder nor the study says who is.
    """

    layout: str
    entries: list[IndexEntry] = field(default_factory=list)
    excluded: Counter[str] = field(default_factory=Counter)
    unasked: Counter[str] = field(default_factory=Counter)
    beside: Counter[str] = field(default_factory=Counter)
    seen: set[str] = field(default_factory=set)
    problems: list[Problem] = field(default_factory=list)
    findings: list[DataFinding] = field(default_factory=list)
    notes: list[tuple[str, Note]] = field(default_factory=list)
    instances: set[str] = field(default_factory=set)
    mask_rules: Counter[str] = field(default_factory=Counter)
    patients_assumed: bool = False

    @property
    def labelled(self) -> bool:
        """Whether the folder says a class of any image."""
        return any(entry.label is not None for entry in self.entries)

    def leave_out(self, path: str, reason: str, *, asked: bool = True) -> None:
        """Count a file that is not used; `asked` says whether the study or the file's own kind asks for it."""
        self.seen.add(path)
        (self.excluded if asked else self.unasked)[reason] += 1

    def offer_mask(self, path: str, rule: str) -> None:
        """Leave out a file that is a mask by its name, which the study could use by a rule."""
        self.mask_rules[rule] += 1
        self.leave_out(path, f'named as the mask of an image, which data.columns.mask "{rule}" uses')

    def note(self, path: str, notes: Iterable[Note]) -> None:
        """Keep what was noticed in a file; the same of many files becomes one finding."""
        self.notes += [(path, note) for note in notes]


class FolderLayout(ABC):
    """Reads folders of one kind; a module of this folder offers its own as `LAYOUT` (see `registry`)."""

    name: ClassVar[str]
    #: where a folder is of several kinds the lowest one reads it; no other layout may have the same
    precedence: ClassVar[int]
    #: what an image is that the layout did not look at
    unused: ClassVar[str] = "image of another kind than the folder's"

    @abstractmethod
    def matches(self, request: Request) -> bool:
        """Whether the folder is of this kind."""

    @abstractmethod
    def scan(self, request: Request) -> Scan:
        """Find the images; no pixel is decoded.

        Raises:
            DataError: the folder's own description (table, tags) cannot be used.
        """


class Taken(NamedTuple):
    """What a study takes of a file: the fields of an `IndexEntry` that follow from its header."""

    slices: SliceRange | None
    size: tuple[int, ...]
    spacing: Spacing | None
    orientation: str
    stored_orientation: str
    affine: Affine | None
    aspect: float | None = None


def files_of(path: str, header: Header) -> tuple[str, ...]:
    """The files of an entry: the one that was found, and those beside it that its pixels lie in."""
    folder = PurePosixPath(path).parent
    return (path, *((folder / name).as_posix() for name in header.companions))


def cut_axis(data: DataSection) -> int:
    """The axis that volumes are cut along: that of `data.slices`, or 2 (axial) where volumes stay whole."""
    return data.slices.axis if len(data.image_size) == 2 else 2


def taken(header: Header, data: DataSection) -> Taken:
    """The slices of a volume that `data.slices` names, or all of it in a study of three sides.

    Args:
        header: of the file, cut along `cut_axis(data)`.
        data: the study's data section.

    Raises:
        UnreadableError: a 2D image in a study of volumes, or several volumes of which `data.volume` names none.
    """
    volume = chosen_volume(header.volumes, data)
    plane = header.spacing, header.orientation
    if len(data.image_size) == 2:
        slices = slice_range(header, data.slices, volume)
        return Taken(slices, header.size, *plane, header.stored_orientation, header.affine, header.aspect)
    if header.depth in (None, 1):
        raise UnreadableError("is a 2D image, but data.image_size has three sides: name two, or leave it out")
    spacing = header.spacing
    if spacing is not None:
        spacing = None if header.depth_spacing is None else (header.depth_spacing, *spacing)
    known = bool(header.depth_orientation and header.orientation)
    return Taken(
        slices=SliceRange(header.axis, 0, header.depth, 1, volume, header.depth),
        size=(header.depth, *header.size),
        spacing=spacing,
        orientation=header.depth_orientation + header.orientation if known else "",
        stored_orientation="",
        affine=header.affine,
    )


def chosen_volume(count: int, data: DataSection) -> int:
    """The number of the volume to take of `count` at one place.

    Raises:
        UnreadableError: there are several, and `data.volume` names none of them.
    """
    if count == 1:
        return 0
    if data.volume is None:
        raise UnreadableError(
            f"holds {count} volumes at one place (echoes, times or diffusion directions): set data.volume to "
            f"the one to take, 0 to {count - 1}"
        )
    if data.volume >= count:
        raise UnreadableError(
            f"holds {count} volumes, but data.volume is {data.volume}: name one of 0 to {count - 1}"
        )
    return data.volume


def slice_range(header: Header, slices: Slices, volume: int = 0) -> SliceRange | None:
    """The slices of a volume between the study's two fractions of its depth; None for a 2D image.

    Slice i of D lies at the fraction i / (D - 1); at least one slice is taken.
    """
    if header.depth is None:
        return None
    last = header.depth - 1
    start = round(slices.lower * last)
    stop = round(slices.upper * last) + 1
    return SliceRange(header.axis, start, stop, slices.every, volume, header.depth)


def label_of(cells: Mapping[str, str] | None, data: DataSection) -> str | None:
    """The label in a table row, as `data.labels` spells it; None where there is no row, no such column or no label.

    Of a study that lists no labels none is read.
    """
    if not data.labels:
        return None
    label = None if cells is None else cells.get(data.columns.label)
    if not label or label in data.labels:
        return label or None
    if is_unlabelled(label):
        return None
    return next((name for name in data.labels if composed(name) == label), label)


def one_site(request: Request, result: Scan) -> str | None:
    """The site that all of a table's images belong to; None where its rows tell.

    Without a column `site`, and where the study names no other, a folder is one hospital's, named as the folder is.
    """
    column = request.data.columns.site
    if request.site is not None or (request.table is not None and column in request.table.columns):
        return request.site
    if request.table is not None and column != Columns().site:
        return None
    name = request.folder.resolve().name
    sentence = (
        f"Nothing names a site (no column {column}): all images count as of one site, which is named after the folder; "
        "--site NAME names it otherwise."
    )
    result.findings.append(DataFinding("site_from_folder", sentence, 1))
    return name
