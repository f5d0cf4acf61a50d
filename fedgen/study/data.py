"""Section `data`: which images, of what size and intensity, with which labels, split how."""

from __future__ import annotations

import re
from typing import Literal, Self

from pydantic import Field, model_validator

from fedgen.schema.section import Section

#: The one class of the images of a study that reads no label.
UNLABELLED = "image"


class Columns(Section):
    """Names of the columns of the table that lists images (CSV or TSV)."""

    image: str = Field("image", description="path of the image, relative to the table")
    patient: str = Field("patient", description="patient identity; the privacy unit")
    site: str = Field("site", description="hospital the image belongs to")
    label: str = Field("label", description="class name; an empty cell means unlabelled")
    embedding: str | None = Field(
        None,
        description="path of a .npy file with the numbers of the image's embedding, or of its text's, relative to the "
        "table",
    )
    mask: str | None = Field(
        None,
        description="path of the mask, if there are masks; in BIDS the ending of the label image, such as dseg; in "
        "DICOM SEG or RTSTRUCT, with a name behind it for one structure alone, such as SEG/Liver; or a rule on "
        "the names of masks, such as masks/{name} or {uid}_mask",
    )


class Covariate(Section):
    """A column that tells something of a patient: a number in a range, or one of a few values.

    It needs either `lower` and `upper`, or `values`.
    """

    lower: float | None = Field(None, description="number that becomes -1; lower ones count as it")
    upper: float | None = Field(None, description="number that becomes +1; higher ones count as it")
    values: tuple[str, ...] = Field((), strict=False, description="all values there are, as text")

    @model_validator(mode="after")
    def _one_of_two(self) -> Self:
        numbers = (self.lower is not None, self.upper is not None)
        if numbers != (not self.values,) * 2:
            raise ValueError("a covariate needs either lower and upper, or values: give one of the two")
        if self.lower is not None and self.upper is not None and not self.lower < self.upper:
            raise ValueError(f"lower ({self.lower:g}) must be below upper ({self.upper:g})")
        if len(set(self.values)) != len(self.values) or len(self.values) == 1:
            raise ValueError("values must be two or more, all different")
        return self

    @property
    def numbers(self) -> int:
        """How many numbers say it: one for a number, one for each value otherwise."""
        return len(self.values) or 1


class Intensity(Section):
    """The window of stored values that becomes [-1, 1]; values outside are clamped."""

    lower: float = Field(0.0, description="stored value that becomes -1")
    upper: float = Field(255.0, description="stored value that becomes +1")

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if not self.lower < self.upper:
            raise ValueError(f"lower ({self.lower:g}) must be below upper ({self.upper:g})")
        return self


class Slices(Section):
    """Which 2D slices of a volume enter a 2D study, be it a NIfTI file, a DICOM series or frames of one object."""

    axis: int = Field(
        2, ge=0, le=2, description="array axis the slices are cut along, after reorientation to RAS"
    )
    lower: float = Field(0.4, ge=0, le=1, description="first slice, as a fraction of the volume's depth")
    upper: float = Field(0.6, ge=0, le=1, description="last slice, as a fraction of the volume's depth")
    every: int = Field(2, ge=1, description="take every n-th slice between them")

    neighbours: int = Field(
        0,
        ge=0,
        le=8,
        description="so many neighbours on either side come with each slice as further channels (2.5D); at the ends of "
        "a volume the last slice stands for those that it does not have",
    )

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.lower > self.upper:
            raise ValueError(f"lower ({self.lower:g}) must not be above upper ({self.upper:g})")
        return self


class SiteChoice(Section):
    """Which of a folder's sites take part."""

    leave_out: tuple[str, ...] = Field(
        (),
        description="names of sites whose images are left out, such as one with too few patients",
        strict=False,
    )


class Split(Section):
    """Shares of patients kept from training, fixed before round 0."""

    audit: float = Field(
        0.15, gt=0, lt=0.5, description="share of patients held out as the audit's non-members"
    )
    test: float = Field(0.2, gt=0, lt=0.5, description="share of patients held out to test downstream models")

    @model_validator(mode="after")
    def _some_are_left(self) -> Self:
        if self.audit + self.test > 0.6:
            raise ValueError(
                f"audit ({self.audit:g}) and test ({self.test:g}) together must leave 0.4 of the patients to train on"
            )
        return self


class Phantom(Section):
    """Procedural multi-site data, for demonstration and tests; free of any licence.

    Heads in T1w and T2w with age and sex, and masks of a lesion (`columns.mask` `mask`) and of tissues (`tissue_mask`:
    csf, gray, white): DICOM slices, or NIfTI volumes (`label-lesion_mask`, `dseg`) where image_size has three sides.
    """

    sites: int = Field(4, ge=1, le=64, description="number of virtual hospitals")
    patients: int = Field(40, ge=4, description="patients per hospital")


class DataSection(Section):
    """What the images are and how they become tensors."""

    modality: str | None = Field(
        None,
        description="keep only images of this modality (DICOM Modality or SeriesDescription, BIDS suffix such as T1w)",
    )
    contrasts: tuple[str, ...] = Field(
        (),
        strict=False,
        description="of a translation, the modalities that a record holds, each named as `modality` would name it",
    )
    required: tuple[str, ...] | None = Field(
        None,
        strict=False,
        description="which contrasts each time of a patient must have, the target among them; all of them where not "
        "given. What lacks one is left out and counted",
    )
    paired: bool = Field(
        True,
        description="whether contrasts of one patient and time (column `study`, BIDS session, DICOM study) belong "
        "together; false where patients, or sites, have one or another",
    )
    windows: dict[str, Intensity] = Field(
        {}, description="an intensity window of its own for a contrast, by name; `intensity` for the others"
    )
    image_size: tuple[int, ...] = Field(
        (64, 64),
        min_length=2,
        max_length=3,
        description="height and width in pixels after resampling, or depth, height and width where volumes stay whole; "
        "multiples of 4, at least 16; some models need 8",
        strict=False,
    )
    channels: Literal[1, 3] = Field(
        1, description="1 for gray, 3 for RGB; images of the other kind are refused"
    )
    intensity: Intensity = Field(default_factory=lambda: Intensity())
    labels: tuple[str, ...] = Field(
        ("none", "lesion"),
        description="class names, all different, in the order of their index; with none no label is read. None is "
        "what it is where the task is not given class and the study does not list any",
        strict=False,
    )
    covariates: dict[str, Covariate] = Field(
        {},
        description="columns that tell something of a patient, such as age and sex, by name; in DICOM also PatientAge "
        "(years) and PatientSex without a table",
    )
    embedding_size: int | None = Field(
        None, ge=1, le=4096, description="numbers of an embedding, where columns.embedding names one"
    )
    mask_classes: tuple[str, ...] = Field(
        ("mask",),
        min_length=1,
        strict=False,
        description="names of a mask's values 1, 2, ... in their order, where the task makes masks; higher ones count "
        "as none",
    )
    unmasked: Literal["keep", "exclude"] = Field(
        "keep", description="whether images without a mask take part; always counted"
    )
    other_labels: Literal["refuse", "exclude"] = Field(
        "refuse", description="what happens to images whose label is missing or not listed; always counted"
    )
    unused_share: float = Field(
        0.1,
        ge=0,
        le=1,
        description="largest share of what looks like images that may be left out though no key asks for it, such as "
        "images that the table does not list; always counted",
    )
    one_class_sites: Literal["refuse", "allow"] = Field(
        "refuse", description="whether a site may hold a single class; its downstream AUROC is then undefined"
    )
    images_per_patient: int = Field(
        4, ge=1, description="m: at most this many images of a sampled patient enter one gradient"
    )
    columns: Columns = Field(default_factory=lambda: Columns())
    patient_rule: str | None = Field(
        None,
        min_length=1,
        description="who the patient is where no table or tag says so (folders of classes, .npz, idx): image, so that "
        "each image counts as a patient, or a regular expression whose first group in the path is the patient",
    )
    sites: SiteChoice = Field(default_factory=lambda: SiteChoice())
    slices: Slices = Field(default_factory=lambda: Slices())
    volume: int | None = Field(
        None,
        ge=0,
        description="which volume of a file or series that holds several at one place (echoes, times, diffusion "
        "directions), from 0; without it such a file is refused",
    )
    split: Split = Field(default_factory=lambda: Split())
    phantom: Phantom | None = Field(None, description="generate this data where no folder of images is given")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        for name in ("contrasts", "mask_classes"):
            if len(set(getattr(self, name))) != len(getattr(self, name)):
                raise ValueError(f"{name} must be different from each other")
        unknown = {*(self.required or ()), *self.windows} - set(self.contrasts)
        if unknown:
            raise ValueError(
                f"required or windows name {', '.join(sorted(unknown))}, which contrasts does not list"
            )
        if self.contrasts and self.modality is not None:
            raise ValueError("modality and contrasts say both which images are read: leave modality out")
        if (self.columns.embedding is None) != (self.embedding_size is None):
            raise ValueError("columns.embedding and embedding_size belong together: give both, or none")
        if self.slices.neighbours and len(self.image_size) == 3:
            raise ValueError("slices.neighbours is for slices, but image_size has three sides: leave it out")
        if self.unmasked == "exclude" and self.columns.mask is None:
            raise ValueError("unmasked is exclude, but columns.mask names no masks: name them")
        if len(set(self.labels)) != len(self.labels):
            raise ValueError("labels must be different from each other")
        if self.patient_rule is not None:
            try:
                re.compile(self.patient_rule)
            except re.error as error:
                raise ValueError(f"patient_rule is no regular expression ({error})") from None
        for side in self.image_size:
            if side < 16 or side % 4:
                raise ValueError(f"image_size {side} must be at least 16 and a multiple of 4")
        if len(self.image_size) == 3 and self.slices != Slices():
            raise ValueError("slices are of no use where image_size has three sides: volumes stay whole")
        return self

    @property
    def classes(self) -> tuple[str, ...]:
        """The labels, or the one name of all images of a study that reads none."""
        return self.labels or (UNLABELLED,)

    @property
    def needed(self) -> tuple[str, ...]:
        """The contrasts that each time of a patient must have."""
        return self.contrasts if self.required is None else self.required

    @property
    def stacked_channels(self) -> int:
        """Channels of an image as it is read: its colours, for each slice that comes with it."""
        return self.channels * (1 + 2 * self.slices.neighbours)

    def window(self, contrast: str) -> Intensity:
        """Of images of this contrast; of all others where it has none of its own."""
        return self.windows.get(contrast, self.intensity)
