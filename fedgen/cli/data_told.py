"""What `fedgen data ... --json` prints, as typed objects that load nothing which reads images."""

from __future__ import annotations

from fedgen.schema.section import Section


class ToldFinding(Section):
    """Something that a person should know of the data before training.

    Attributes:
        kind: name for a program, such as `mixed_spacing`; more may be added.
        sentence: what was found and what follows from it.
        count: images, patients or pairs that it speaks of.
        example: one file that it is about, or empty; its name may tell of a patient, so keep it at the site.
    """

    kind: str
    sentence: str
    count: int
    example: str


class ToldExclusion(Section):
    """Images that were left out.

    Attributes:
        reason: why.
        count: how many.
    """

    reason: str
    count: int


class IndexCounts(Section):
    """How much of a folder is in its index.

    Attributes:
        sites, patients, images: that can be used.
        excluded: images that were left out.
    """

    sites: int
    patients: int
    images: int
    excluded: int


class IndexedFolder(Section):
    """What was indexed; the entries themselves, by pseudonyms, are in the file.

    Attributes:
        index: the file that was written.
        version: of its form.
        layout: how the folder was read, such as `table`, `dicom` or `bids`.
        counts: how many are in it.
        excluded: what was left out, and why.
        findings: of the headers.
        sampled: findings of a sample of the pictures.
    """

    index: str
    version: int
    layout: str
    counts: IndexCounts
    excluded: tuple[ToldExclusion, ...]
    findings: tuple[ToldFinding, ...]
    sampled: tuple[ToldFinding, ...]


class InspectedSite(Section):
    """Counts of one site.

    Attributes:
        site: name.
        patients, images: how many.
        labels: images of each label, unlabelled ones under the empty name.
    """

    site: str
    patients: int
    images: int
    labels: dict[str, int]


class InspectedSeries(Section):
    """Counts of one kind of image.

    Attributes:
        modality, series: as the files or the table name them, or empty.
        patients, files, images: how many.
    """

    modality: str
    series: str
    patients: int
    files: int
    images: int


class InspectedLabels(Section):
    """A column that could be the classes of a study.

    Attributes:
        column: its name.
        values: rows of each value.
    """

    column: str
    values: dict[str, int]


class InspectedImage(Section):
    """One image.

    Attributes:
        path: of its file in the folder.
        slice: its number in a volume or a stack, from 0; null where it is alone in its file.
        patient, site: whose.
    """

    path: str
    slice: int | None
    patient: str
    site: str


class InspectedProblem(Section):
    """A file that cannot be used.

    Attributes:
        path: in the folder.
        reason: why, after its name.
        where: row of the table that names it, or empty.
    """

    path: str
    reason: str
    where: str


class InspectedFolder(Section):
    """What a folder holds; it names patients and files, so keep it at the site.

    Attributes:
        layout: how the folder was read; empty where nothing in it could be.
        table: that was used, or empty.
        sites: one a site.
        series: one a modality and series, the commonest first.
        patients: over all sites.
        sizes: images of each `HEIGHTxWIDTH`.
        spacings: images of each spacing in mm, such as `0.5 x 0.5`, and `unknown`.
        orientations: images of each orientation, and `unknown`.
        image_types: files of each DICOM ImageType.
        colours: images of each kind: `gray`, `gray stored as RGB`, `RGB`.
        intensity: smallest and largest stored value, 1st and 99th percentile; null where no image can be read.
        labels: columns that could be classes, the likeliest first.
        masks: files that could be masks, by the column or the name that leads to them.
        beside: files that are no images, by kind.
        left_out: images that are not used, by reason.
        patients_at_several_sites: identities that are at more than one site.
        exact_duplicates: groups of equal images, each a list.
        near_duplicates: pairs of nearly equal images of different patients, each a list; the first thousand.
        shared_between_patients: groups of equal images of several patients, each a list.
        unreadable: files that cannot be used.
        findings: in sentences.
        section: the `data` section of a study that would use the folder, as YAML; empty where there is none.
        section_note: why that section would still be refused; empty where it works.
    """

    layout: str
    table: str
    sites: tuple[InspectedSite, ...]
    series: tuple[InspectedSeries, ...]
    patients: int
    sizes: dict[str, int]
    spacings: dict[str, int]
    orientations: dict[str, int]
    image_types: dict[str, int]
    colours: dict[str, int]
    intensity: dict[str, float] | None
    labels: tuple[InspectedLabels, ...]
    masks: dict[str, int]
    beside: dict[str, int]
    left_out: dict[str, int]
    patients_at_several_sites: tuple[str, ...]
    exact_duplicates: tuple[tuple[InspectedImage, ...], ...]
    near_duplicates: tuple[tuple[InspectedImage, InspectedImage], ...]
    shared_between_patients: tuple[tuple[InspectedImage, ...], ...]
    unreadable: tuple[InspectedProblem, ...]
    findings: tuple[ToldFinding, ...]
    section: str
    section_note: str


class SearchedText(Section):
    """Where letters were looked for in pictures.

    Attributes:
        pictures, files: that were searched.
        left: files that were not.
        suspected: files with letters in a picture.
    """

    pictures: int
    files: int
    left: int
    suspected: tuple[str, ...]


class InspectedPhi(Section):
    """What could tell who the patients are; no value of any attribute is in it.

    Attributes:
        files: that were looked at.
        dicom: DICOM files among them.
        attributes: by what they give away, DICOM files in which each attribute is filled.
        said_removed: DICOM files whose PatientIdentityRemoved says YES.
        text_in_picture: DICOM files by what their tags say of text in the picture.
        metadata: other files with text of their own in known places, by place.
        columns: of tables, whose names promise something identifying, as `TABLE: COLUMN`.
        named_by_patient: DICOM files whose path holds the patient's name or identity.
        text: what a detector of letters found; null where none is installed.
        faces: volumes by what their shape says of a face.
        face_files: in which a face is suspected.
        hidden: files whose names begin with a dot, which were not looked at.
        unreadable: files that could not be looked into.
        not_checked: what this check cannot say.
    """

    files: int
    dicom: int
    attributes: dict[str, dict[str, int]]
    said_removed: int
    text_in_picture: dict[str, int]
    metadata: dict[str, int]
    columns: tuple[str, ...]
    named_by_patient: int
    text: SearchedText | None
    faces: dict[str, int]
    face_files: tuple[str, ...]
    hidden: int
    unreadable: int
    not_checked: tuple[str, ...]


class WrittenPhantom(Section):
    """The phantom that was written.

    Attributes:
        folder: where.
        sites: how many.
        names: of them.
        patients: of all of them together.
        seed: the same gives the same files.
    """

    folder: str
    sites: int
    names: tuple[str, ...]
    patients: int
    seed: int


class DecodedCache(Section):
    """The cache of decoded images.

    Attributes:
        folder: where it is.
        sets: sets of images in it, before any were removed.
        bytes: of them.
        cleared: whether they were removed.
    """

    folder: str
    sets: int
    bytes: int
    cleared: bool
