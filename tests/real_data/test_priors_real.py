"""A public prior of one hospital's children, beside adults' films of four others."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps

from fedgen.priors.fit import fit
from fedgen.priors.vary import varied

DATA = Path(__file__).parents[3] / "shared" / "data"
ARCHIVE, TABLE = DATA / "medmnist" / "pneumoniamnist.npz", DATA / "ccx" / "metadata.csv"


@pytest.mark.skipif(not (ARCHIVE.exists() and TABLE.exists()), reason="real X-rays are not on this machine")
def test_films_of_other_places_lie_near_a_prior_of_variants_alone() -> None:
    """As a study prepares them: aspect kept, black around. A clip at radius 1 then cuts most of what is known."""
    with np.load(ARCHIVE, allow_pickle=False) as arrays:
        small = torch.from_numpy(arrays["train_images"][:400]).float()[:, None] / 127.5 - 1
    public = torch.nn.functional.interpolate(small, (64, 64), mode="bilinear").numpy()
    with TABLE.open(encoding="utf-8") as handle:
        names = [row["image"] for row in csv.DictReader(handle)][::6]
    films = [ImageOps.pad(Image.open(TABLE.parent / name).convert("L"), (64, 64)) for name in names]
    other = torch.from_numpy(np.stack([np.asarray(film) for film in films])).float()[:, None] / 127.5 - 1
    far = {}
    for name, images in (("as they are", public), ("variants", varied(public, 2))):
        space = fit(images, 16, 0)[0].space
        far[name] = float(space.encode(other).square().mean())
    assert far["variants"] < 2 < 4 < far["as they are"], far
