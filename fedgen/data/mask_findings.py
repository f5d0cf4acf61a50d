"""What a person should know of the masks of a study."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from fedgen.data.decode import DecodedSite
from fedgen.data.findings import DataFinding, FindingKind, listing, plural
from fedgen.data.masks.labels import MaskMark

#: Of each mark, the kind of its finding and what follows "N images have masks ".
_TOLD: Mapping[MaskMark, tuple[FindingKind, str]] = {
    MaskMark.HALVED: (
        "mask_threshold",
        "of many levels (soft edges, or a format that changes values), which are cut at half of their range.",
    ),
    MaskMark.PROBABLE: ("mask_threshold", "of probabilities, which are cut at 0.5."),
    MaskMark.INDEXED: (
        "mask_classes",
        "with a palette: the place of a colour in it is the number of its class.",
    ),
    MaskMark.RESAMPLED: (
        "mask_moved",
        "on another grid of the patient, which are laid on their images by nearest neighbours.",
    ),
    MaskMark.PARTIAL: (
        "mask_moved",
        "that do not cover all of their image; outside of them nothing is marked.",
    ),
}


def mask_findings(decoded: Mapping[str, DecodedSite]) -> list[DataFinding]:
    """Images without a mask, the classes of the others, and what was done to them.

    Args:
        decoded: the sites of a study with masks.
    """
    marks = np.concatenate([site.marks for site in decoded.values()])
    findings = []
    missing = int((marks == 0).sum())
    if missing:
        without = listing(site for site, each in decoded.items() if (each.marks == 0).any())
        what = plural(missing, "image has", "images have")
        sentence = f"{what} no mask ({without}): only the masks of the others are used."
        findings.append(DataFinding("missing_masks", sentence, missing))
    counts = sum(
        (
            np.bincount(site.masks.ravel(), minlength=256)
            for site in decoded.values()
            if site.masks is not None
        ),
        np.zeros(256, np.int64),
    )
    classes = np.flatnonzero(counts[1:]) + 1
    if len(classes) > 1:
        sentence = f"The masks hold {len(classes)} classes: {listing(classes, 12)}."
        findings.append(DataFinding("mask_classes", sentence, len(classes)))
    for mark, (kind, what) in _TOLD.items():
        count = int(((marks & mark) > 0).sum())
        if count:
            findings.append(
                DataFinding(kind, f"{plural(count, 'image has', 'images have')} masks {what}", count)
            )
    return findings
