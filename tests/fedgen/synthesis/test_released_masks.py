"""A released image and its mask are read back as a hospital's are: on the same pixels, whatever the format."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
import torch

from fedgen.data.build import build_index
from fedgen.data.masks.labels import MaskMark
from fedgen.data.masks.read import read_masks
from fedgen.data.read import read_stored
from fedgen.study.data import DataSection
from fedgen.synthesis.dicom_tags import Provenance, SyntheticPatient
from fedgen.synthesis.sample_files import ENDINGS, sample_files
from fedgen.task.image_spec import ImageSpec

GRIDS = {
    "axial": ImageSpec(channels=1, size=(16, 20), spacing=(2.0, 1.0), orientation="PR"),
    "coronal": ImageSpec(channels=1, size=(16, 20), spacing=(2.0, 1.0), orientation="IR"),
    "radiograph": ImageSpec(channels=1, size=(16, 20), spacing=(0.5, 0.5), orientation="IL"),
    "unknown": ImageSpec(channels=1, size=(16, 20)),
    "volume": ImageSpec(channels=1, size=(6, 16, 20), spacing=(3.0, 2.0, 1.0), orientation="SPR"),
}


#: A PNG holds no volume.
CASES = [(form, kind) for form in ENDINGS for kind in GRIDS if (form, kind) != ("png", "volume")]


@pytest.mark.parametrize(("form", "kind"), CASES)
def test_a_mask_comes_back_on_its_image(tmp_path: Path, form: str, kind: str) -> None:
    grid = GRIDS[kind]
    torch.manual_seed(0)
    mask = (torch.rand(grid.shape) > 0.6).to(torch.uint8)
    image = mask - 0.5
    about = Provenance(
        "ab" * 32, "statement", "MR" if kind != "radiograph" else "CR", datetime(2026, 1, 2, tzinfo=UTC)
    )
    made, marked = sample_files(
        form, image, mask, grid, (0.0, 255.0), SyntheticPatient("S1", "any", 1), about
    )
    assert marked is not None
    name = f"a{ENDINGS[form]}"
    (tmp_path / name).write_bytes(made)
    (tmp_path / f"m{ENDINGS[form]}").write_bytes(marked)
    (tmp_path / "labels.csv").write_text(f"image,patient,site,label,mask\n{name},S1,s,any,m{ENDINGS[form]}\n")
    size = [16, 16, 20] if len(grid.size) == 3 else [16, 20]
    data = DataSection.model_validate({"labels": ["any"], "columns": {"mask": "mask"}, "image_size": size})
    (entry,) = build_index(tmp_path, data).entries
    labels, mark = read_masks(tmp_path, entry)
    stored = read_stored(tmp_path, entry)[..., 0]
    np.testing.assert_array_equal(labels, stored > 127)
    assert mark == MaskMark.PRESENT
    assert labels.any()
