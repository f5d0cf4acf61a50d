"""An extractor is one file: put into its folder a study may name it, and it is measured with."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from pydantic import ValidationError

from fedgen.data.site_data import LabelledImages, SiteData
from fedgen.evidence.assess import assess_evaluation
from fedgen.extractors.registry import build_extractor, extractor_names
from fedgen.study.study import Study

KINDS = ("a feature extractor",)
EXTRACTOR = """
from fedgen.extractors.contract import Extractor

class Quarters(Extractor):
    name = "quarters"
    num_features = 4
    hash = "0" * 64

    def forward(self, images):
        n, _, h, w = images.shape
        return images.mean(1).reshape(n, 2, h // 2, 2, w // 2).mean((2, 4)).flatten(1).float()
"""

Add = Callable[[str, str, str], None]


@pytest.mark.slow
def test_an_extractor_is_one_file(
    add: Add,
    tiny_study: Callable[..., Study],
    tiny_site: Callable[..., SiteData],
    made: LabelledImages,
) -> None:
    quick = {"seeds": 1, "steps": 1, "bootstrap": 100}
    with pytest.raises(ValidationError, match="quarters is no extractor that is installed"):
        tiny_study(evaluation={**quick, "extractors": ["quarters"]})
    add("fedgen.extractors", "quarters", EXTRACTOR)
    assert "quarters" in extractor_names()
    images = torch.zeros(1, 1, 16, 16)
    images[..., 8:, :8] = 1
    assert build_extractor("quarters", 1)(images).tolist() == [[0, 0, 1, 0]]
    study = tiny_study(evaluation={**quick, "extractors": ["quarters"]})
    rows = assess_evaluation(study, [tiny_site("north", held_out=40)], made).rows
    assert "FID-quarters" in {row.id for row in rows}
