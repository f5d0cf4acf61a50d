"""Files that are masks by their names where a study asks for none: set aside with the rule that would use them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import numpy as np

from fedgen.data.decoders.decoder import UnreadableError
from fedgen.data.decoders.guard import guard
from fedgen.data.decoders.registry import by_ending, decoder_for
from fedgen.data.layouts.layout import Scan
from fedgen.data.layouts.named_masks import names_of, rule_for, without_ending

#: A picture named after an image may be a copy of it to look at, which has more values than a mask has classes.
_MOST_LEVELS = 16
_LOOKED_AT = 3


def offered_masks(folder: Path, scan: Scan, left: Sequence[str]) -> dict[str, str]:
    """Of the files that a layout did not look at those that are masks of its images by name, each with its rule.

    Args:
        folder: the folder.
        scan: its images.
        left: the files.
    """
    readable = [path for path in left if path.lower().endswith(tuple(by_ending()))]
    if not readable or not scan.entries:
        return {}
    names = {name for entry in scan.entries for file in entry.files for name in names_of(file)}
    offers = {path: rule for path in readable if (rule := rule_for(path, names, scan.instances)) is not None}
    stems = {path: PurePosixPath(without_ending(path)).name for path in readable if path not in offers}
    for rule, known in (("{uid}", scan.instances), ("{name}", names)):
        bare = [path for path, stem in stems.items() if stem in known]
        if bare and all(_is_drawn(folder / path) for path in bare[:_LOOKED_AT]):
            offers |= dict.fromkeys(bare, rule)
    return offers


def _is_drawn(path: Path) -> bool:
    try:
        with guard():
            return len(np.unique(decoder_for(path).mask(path, 2).values)) <= _MOST_LEVELS
    except UnreadableError:
        return False
