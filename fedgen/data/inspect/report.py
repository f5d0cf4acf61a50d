"""What an inspection says; it names patients and files, so it stays at the site."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from fedgen.data.findings import DataFinding
from fedgen.data.inspect.columns import LabelColumn
from fedgen.data.layouts.layout import Problem


@dataclass(frozen=True)
class SiteSummary:
    """Counts of one site; `labels` counts images, unlabelled ones under the empty name."""

    site: str
    patients: int
    images: int
    labels: dict[str, int]


@dataclass(frozen=True)
class SeriesSummary:
    """Counts of one kind of image: modality and series as the files or the table name them, or empty."""

    modality: str
    series: str
    patients: int
    files: int
    images: int


@dataclass(frozen=True)
class Image2D:
    """One image by file and, for a volume or a stack of images, its number among all of them, from 0."""

    path: str
    slice: int | None
    patient: str
    site: str


@dataclass(frozen=True)
class Inspection:
    """The report.

    Attributes:
        layout: how the folder was read; empty where nothing in it could be.
        table: the table that was used, or empty.
        sites: one summary a site.
        series: one summary a modality and series, the commonest first.
        patients: number of patients over all sites.
        sizes: number of images of each `HEIGHTxWIDTH`.
        spacings: number of images of each spacing in mm, such as `0.5 x 0.5`; `unknown` among them.
        orientations: number of images of each orientation, `unknown` among them.
        image_types: number of files of each DICOM ImageType; empty elsewhere.
        colours: number of images of each kind: `gray`, `gray stored as RGB`, `RGB`.
        intensity: smallest and largest stored value, and the 1st and 99th percentile over images' own
            percentiles; None where no image can be read.
        labels: columns that could be the classes of a study, the likeliest first.
        masks: files that could be masks, by the column or the BIDS name that leads to them.
        beside: files that are no images, by kind.
        left_out: images that are not used, by reason.
        patients_at_several_sites: identities seen at more than one site.
        exact_duplicates: groups of equal images (decoded values).
        near_duplicates: pairs of nearly equal images of different patients whom they tie together, the first thousand;
            the finding `near_duplicates` has their number, with that of pictures of a kind that many have.
        shared_between_patients: exact groups that span several patients: one person under two identities?
        unreadable: files that cannot be used, and why.
        findings: what a person should know, in sentences.
        section: the `data` section of a study file that would use the folder, as YAML; empty where there is none.
        section_note: why that section would still be refused; empty where it works.
    """

    layout: str = ""
    table: str = ""
    sites: tuple[SiteSummary, ...] = ()
    series: tuple[SeriesSummary, ...] = ()
    patients: int = 0
    sizes: dict[str, int] = field(default_factory=dict)
    spacings: dict[str, int] = field(default_factory=dict)
    orientations: dict[str, int] = field(default_factory=dict)
    image_types: dict[str, int] = field(default_factory=dict)
    colours: dict[str, int] = field(default_factory=dict)
    intensity: dict[str, float] | None = None
    labels: tuple[LabelColumn, ...] = ()
    masks: dict[str, int] = field(default_factory=dict)
    beside: dict[str, int] = field(default_factory=dict)
    left_out: dict[str, int] = field(default_factory=dict)
    patients_at_several_sites: tuple[str, ...] = ()
    exact_duplicates: tuple[tuple[Image2D, ...], ...] = ()
    near_duplicates: tuple[tuple[Image2D, Image2D], ...] = ()
    shared_between_patients: tuple[tuple[Image2D, ...], ...] = ()
    unreadable: tuple[Problem, ...] = ()
    findings: tuple[DataFinding, ...] = ()
    section: str = ""
    section_note: str = ""

    @property
    def images(self) -> int:
        """2D images at all sites."""
        return sum(site.images for site in self.sites)

    def to_json(self) -> dict[str, Any]:
        """A JSON object."""
        return asdict(self)
