"""What was noticed in the data: not an error, but something a person should know before training."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, Literal

FindingKind = Literal[
    "excluded",
    "patient_at_several_sites",
    "one_class_site",
    "site_from_folder",
    "unused_table_rows",
    "missing_masks",
    "mask_classes",
    "mask_threshold",
    "mask_moved",
    "exact_duplicates",
    "near_duplicates",
    "duplicates_across_patients",
    "joined_patients",
    "near_duplicates_across_parts",
    "empty_part",
    "class_missing_from_part",
    "blank_images",
    "saturated",
    "narrow_intensity",
    "mixed_spacing",
    "mixed_orientation",
    "spacing_unknown",
    "orientation_unknown",
    "unreadable",
    "turned",
    "guessed_geometry",
    "uneven_slices",
    "tilted_slices",
    "several_stacks",
    "slices_not_chosen",
    "cut_across",
    "burned_in",
    "labels_spelled_otherwise",
    "participants_without_images",
    "unknown_persons",
    "identities_alike",
    "study_of_several_patients",
    "identities_damaged",
    "identities_placeholder",
    "site_spellings",
    "site_in_several_folders",
    "table_reading",
    "unknown_files",
    "hidden_files",
    "image_is_patient",
    "patient_from_name",
    "label_from_folder",
    "outside_window",
    "one_site",
    "small_site",
    "equal_images_other_labels",
    "mixed_kinds",
    "computed_pictures",
    "labels_alike",
    "below_window",
    "converted",
]


@dataclass(frozen=True)
class DataFinding:
    """One observation.

    Attributes:
        kind: machine-readable name.
        sentence: one sentence for a person: what was found and what follows from it.
        count: how many images, patients or pairs the sentence speaks of.
        example: one file that it is about, or empty; its name may tell of a patient, so it stays at the site.
    """

    kind: FindingKind
    sentence: str
    count: int
    example: str = ""

    def to_json(self) -> dict[str, Any]:
        """A JSON object."""
        return asdict(self)


@dataclass(frozen=True)
class Note:
    """What a decoder noticed in one file; those of many files become one finding (see `findings_of_notes`).

    Attributes:
        kind: machine-readable name.
        sentence: what follows `3 files: `, the same for every file that it is true of, with a full stop.
    """

    kind: FindingKind
    sentence: str


def findings_of_notes(notes: Iterable[tuple[str, Note]]) -> list[DataFinding]:
    """One finding a note, with the number of files that it is about and the first of them.

    Args:
        notes: (path, note) of each file.
    """
    files: dict[Note, list[str]] = {}
    for path, note in notes:
        files.setdefault(note, []).append(path)
    return [
        DataFinding(note.kind, f"{plural(len(paths), 'file')}: {note.sentence}", len(paths), min(paths))
        for note, paths in sorted(files.items(), key=lambda item: (item[0].kind, item[0].sentence))
    ]


def plural(count: int, noun: str, many: str | None = None) -> str:
    """`1 image`, `3 images`: so that every sentence reads as one."""
    return f"{count} {noun if count == 1 else many or noun + 's'}"


def listing(values: Iterable[object], most: int = 6) -> str:
    """The first few of `values`, and how many more there are."""
    words = [str(value) for value in values]
    rest = len(words) - most
    return ", ".join(words[:most]) + (f" and {rest} more" if rest > 0 else "")
