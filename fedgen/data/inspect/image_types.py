"""What DICOM files say that their images are: originals or derived, localizers, screens."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from fedgen.data.decoders.decoder import UnreadableError
from fedgen.data.decoders.dicom.tags import read_tags
from fedgen.data.index import IndexEntry


def image_types(folder: Path, entries: Sequence[IndexEntry]) -> dict[str, int]:
    """Number of files of each ImageType (0008,0008), the commonest first; `not given` among them."""
    counts: Counter[str] = Counter()
    for entry in entries:
        try:
            value = read_tags(folder / entry.path, stop_before_pixels=True).get("ImageType")
        except UnreadableError:
            continue
        words = [value] if isinstance(value, str) else list(value or ())
        counts["\\".join(str(word) for word in words[:3]) or "not given"] += len(entry.files)
    return dict(counts.most_common())
