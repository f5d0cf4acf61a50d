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
]


@dataclass(frozen=True)
class DataFinding:
    """One observation.

    Attributes:
        kind: machine-readable name.
        sentence: one sentence for a person: what was found and what follows from it.
        count: how many images, patients or pairs the sentence speaks of.
    """

    kind: FindingKind
    sentence: str
    count: int

    def to_json(self) -> dict[str, Any]:
        """A JSON object."""
        return asdict(self)


def plural(count: int, noun: str, many: str | None = None) -> str:
    """`1 image`, `3 images`: so that every sentence reads as one."""
    return f"{count} {noun if count == 1 else many or noun + 's'}"


def listing(values: Iterable[object], most: int = 6) -> str:
    """The first few of `values`, and how many more there are."""
    words = [str(value) for value in values]
    rest = len(words) - most
    return ", ".join(words[:most]) + (f" and {rest} more" if rest > 0 else "")
