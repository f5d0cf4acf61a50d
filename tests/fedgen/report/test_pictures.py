import base64
import errno
import io
import json
import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from fedgen.data.site_data import LabelledImages, Part, SiteData
from fedgen.errors import DataError
from fedgen.report.picture_rows import NEIGHBOURS, REAL_VS_SYNTHETIC, read_rows
from fedgen.report.pictures import (
    Triple,
    draw_neighbours,
    draw_real_vs_synthetic,
)

CLASSES = ("a", "b")


def _constant(values: list[float]) -> torch.Tensor:
    return torch.tensor(values).view(-1, 1, 1, 1).expand(-1, 1, 16, 16).clone()


def _level(uri: str) -> int:
    picture = Image.open(io.BytesIO(base64.b64decode(uri.partition("base64,")[2])))
    assert picture.size == (16, 16)
    (level,) = np.unique(np.asarray(picture))
    return int(level)


@pytest.fixture
def site() -> SiteData:
    """Three training patients (one with two images of class a) and one each held out."""
    return SiteData(
        site="north",
        classes=CLASSES,
        images=_constant([0.0, 0.2, 0.4, 0.6, 0.8, 1.0]).half(),
        labels=torch.tensor([0, 0, 0, 1, 0, 0]),
        patients=torch.tensor([0, 0, 1, 2, 3, 4]),
        parts=torch.tensor([Part.TRAIN, Part.TRAIN, Part.TRAIN, Part.TRAIN, Part.AUDIT, Part.TEST]),
    )


def test_only_training_patients_are_shown_once_each_a_class(tmp_path: Path, site: SiteData) -> None:
    synthetic = LabelledImages(images=_constant([-1.0, -0.5]), labels=torch.tensor([1, 1]))
    path = draw_real_vs_synthetic(tmp_path, [site], synthetic, CLASSES)
    assert Image.open(path).format == "PNG"
    rows = read_rows(tmp_path, REAL_VS_SYNTHETIC)
    assert [(row.group, row.kind, row.label) for row in rows] == [
        ("north", "real", "a"),
        ("north", "real", "b"),
        ("Synthetic", "synthetic", "a"),
        ("Synthetic", "synthetic", "b"),
    ]
    assert [_level(tile) for tile in rows[0].tiles] == [128, 178]
    assert [_level(tile) for tile in rows[1].tiles] == [204]
    assert rows[2].tiles == ()
    assert [_level(tile) for tile in rows[3].tiles] == [0, 64]


def test_neighbours_stand_in_a_row_with_their_distances(tmp_path: Path) -> None:
    images = _constant([-1.0, 0.0, 1.0])
    triple = Triple(images[0], images[1], images[2], 0.125, 2.5, "north")
    path = draw_neighbours(tmp_path, [triple])
    assert path is not None
    (row,) = read_rows(tmp_path, NEIGHBOURS)
    assert [_level(tile) for tile in row.tiles] == [0, 128, 255]
    assert row.captions == ("synthetic", "nearest training, 0.125", "nearest held-out, 2.5")
    assert draw_neighbours(tmp_path, []) is None


def test_a_picture_that_was_not_drawn_has_no_rows(tmp_path: Path) -> None:
    assert read_rows(tmp_path, NEIGHBOURS) == []


def test_a_list_cannot_pull_other_files_into_the_page(tmp_path: Path) -> None:
    (tmp_path / "secret.png").write_bytes(b"secret")
    (tmp_path / NEIGHBOURS).mkdir()
    row = {"group": "", "kind": "", "label": "", "captions": [], "files": ["../secret.png"]}
    (tmp_path / f"{NEIGHBOURS}.json").write_text(json.dumps({"rows": [row]}))
    with pytest.raises(DataError, match="damaged"):
        read_rows(tmp_path, NEIGHBOURS)


def test_a_full_disk_is_one_sentence(tmp_path: Path, site: SiteData, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: object, **options: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(tempfile, "mkstemp", full)
    with pytest.raises(DataError, match="disk is full"):
        draw_real_vs_synthetic(tmp_path, [site], LabelledImages(site.images.float(), site.labels), CLASSES)
