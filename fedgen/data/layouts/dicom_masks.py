"""Segmentations and radiotherapy structures of a folder, and which series each is of."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fedgen.data.decoders.dicom.kinds import MASK_OBJECTS
from fedgen.data.decoders.dicom.tags import text
from fedgen.data.layouts.layout import Problem


def asked_kind(mask: str | None) -> tuple[str, str]:
    """Modality of the objects that mark others, and the structure that is asked for of them.

    Args:
        mask: `data.columns.mask`, such as `SEG`, `SEG/Liver` or `RTSTRUCT/GTV-1`.

    Returns:
        Two empty words where it names a column.
    """
    kind, _, structure = (mask or "").partition("/")
    return (kind, structure.strip()) if kind in MASK_OBJECTS else ("", "")


class MaskObjects:
    """The objects of the asked kind, by the series that they say they are of."""

    def __init__(self, mask: str | None) -> None:
        self.kind, self.structure = asked_kind(mask)
        self._of_series: dict[str, list[str]] = {}
        self._matched: set[str] = set()
        self._files: list[str] = []
        self._names: dict[int, dict[str, str]] = {}

    def take(self, path: str, tags: Any) -> bool:
        """Whether an object is one of them; it is kept by the series that it names."""
        if not self.kind or text(tags, "Modality") != self.kind:
            return False
        self._files.append(path)
        for segment in tags.get("SegmentSequence") or ():
            name = text(segment, "SegmentLabel").strip()
            self._names.setdefault(int(segment.get("SegmentNumber", 0)), {}).setdefault(name, path)
        for series in set(_series(tags)):
            self._of_series.setdefault(series, []).append(path)
        return True

    def of(self, series_uid: str) -> str | None:
        """The one object of a series, or None."""
        files = self._of_series.get(series_uid, [])
        self._matched.update(files)
        return files[0] if len(files) == 1 else None

    def unmatched(self) -> Iterator[str]:
        """Files that are of no series of the folder."""
        yield from sorted(set(self._files) - self._matched)

    def problems(self) -> Iterator[Problem]:
        """Series with several of them, and numbers of segments that are not the same everywhere."""
        for files in self._of_series.values():
            if len(files) > 1 and self._matched.issuperset(files):
                reason = f"is of the same series as {files[0]}, and one mask an image is expected: keep one of them"
                yield from (Problem(path, reason) for path in files[1:])
        for number, names in self._names.items() if not self.structure else ():
            (first, where), *others = names.items()
            for name, path in others:
                reason = (
                    f"calls segment {number} {name!r} and {where} calls it {first!r}, so that numbers are no classes: "
                    "name one segment in data.columns.mask, such as SEG/NAME"
                )
                yield Problem(path, reason)


def _series(tags: Any) -> Iterator[str]:
    for series in tags.get("ReferencedSeriesSequence") or ():
        yield text(series, "SeriesInstanceUID")
    for frame in tags.get("ReferencedFrameOfReferenceSequence") or ():
        for study in frame.get("RTReferencedStudySequence") or ():
            for series in study.get("RTReferencedSeriesSequence") or ():
                yield text(series, "SeriesInstanceUID")
