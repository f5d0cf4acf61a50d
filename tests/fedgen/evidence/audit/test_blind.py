"""The blind baseline's areas, all labellings at once."""

from __future__ import annotations

import numpy as np

from fedgen.evidence.audit.blind import _areas
from fedgen_privacy.statistics.auc import auc


def test_areas_of_all_labellings_are_those_of_each() -> None:
    rng = np.random.default_rng(0)
    # Rounded, so that there are ties; every labelling has the same number of members.
    scores = rng.normal(size=(40, 25)).round(1)
    members = rng.permuted(np.tile([1.0] * 13 + [0.0] * 27, (25, 1)), axis=1).T
    each = [auc(s[of == 1], s[of == 0]) for of, s in zip(members.T, scores.T, strict=True)]
    assert np.array_equal(_areas(members, scores), each)
