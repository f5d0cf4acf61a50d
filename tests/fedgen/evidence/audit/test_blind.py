"""The blind baseline's areas, all labellings at once."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fedgen.evidence.audit.blind import areas_of, simple_features
from fedgen_privacy.statistics.auc import auc


def test_areas_of_all_labellings_are_those_of_each() -> None:
    rng = np.random.default_rng(0)
    # Rounded, so that there are ties; every labelling has the same number of members.
    scores = rng.normal(size=(40, 25)).round(1)
    members = rng.permuted(np.tile([1.0] * 13 + [0.0] * 27, (25, 1)), axis=1).T
    each = [auc(s[of == 1], s[of == 0]) for of, s in zip(members.T, scores.T, strict=True)]
    assert np.array_equal(areas_of(members, scores), each)


@pytest.mark.parametrize("size", [(16, 12), (8, 16, 12)])
def test_simple_features_see_brightness_and_sharpness(size: tuple[int, ...]) -> None:
    image = torch.rand(1, 1, *size, generator=torch.Generator().manual_seed(0))
    features = simple_features(torch.cat([image, image + 0.5, image / 2]))
    d = len(size)
    assert features.shape == (3, 7 + 2 + d + 4**d)
    sharpness = features[:, 9 : 9 + d]
    np.testing.assert_allclose(features[1] - features[0], [0.5] * 8 + [0] * (1 + d) + [0.5] * 4**d, atol=1e-6)
    np.testing.assert_allclose(sharpness[2], sharpness[0] / 2, atol=1e-6)
