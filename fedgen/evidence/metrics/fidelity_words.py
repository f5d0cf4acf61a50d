"""By which words rows of fidelity are found again: what writes and what reads them share these, and load nothing."""

from __future__ import annotations

import re

GROUP = "fidelity"
VALUE, FLOOR, P = "synthetic to real", "real to real (floor)", "p (permutation)"
FID, KID, MMD, SWD = "FID", "KID", "MMD", "sliced-Wasserstein"
NEAREST, CLASSIFIER = "1-NN-accuracy", "classifier-AUROC"
PRECISION, RECALL, DENSITY, COVERAGE = "precision", "recall", "density", "coverage"
#: Before the name of an extractor, the id of the row that identifies its features.
FEATURES = "features-"


def identity(extractor: str, version: int, features: int, sha256: str) -> str:
    """What identifies the features of an extractor, in the note of their row."""
    return (
        f"Features {extractor} (version {version}): {features}, of sha256 {sha256}; only distances with equal hashes "
        "can be compared."
    )


def identified(note: str | None) -> str | None:
    """The sha256 in such a note.

    >>> identified(identity("radiomics", 1, 95, "6074b5f8"))
    '6074b5f8'
    """
    found = re.search(r"of sha256 ([0-9a-f]+);", note or "")
    return found[1] if found else None
