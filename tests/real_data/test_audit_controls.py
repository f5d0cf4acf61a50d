"""The audit's controls on real images: returned training images fail, returned held-out people pass."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from fedgen.data.site_data import LabelledImages, Part, SiteData
from fedgen.evidence.assess import assess_audit
from fedgen.evidence.measure import AuditedModel
from fedgen.evidence.verdict import overall
from fedgen.run.evidence_files import AuditFile
from fedgen.run.row import Verdict
from fedgen.study.study import Study

DATA = Path(__file__).resolve().parents[2].parent / "shared" / "data"
STUDY = Study.model_validate({"study": {"name": "t"}, "data": {"labels": ["a"]}, "audit": {"bootstrap": 200}})


def _noised(images: Tensor) -> Tensor:
    rng = torch.Generator().manual_seed(0)
    return (images + 0.1 * torch.randn(images.shape, generator=rng)).clamp(-1, 1)


def _site(
    name: str, images: Tensor, patients: np.ndarray, seed: int, shares: tuple[float, float]
) -> SiteData:
    """A site whose parts are drawn by patient; the test part plays the people nobody trained on."""
    owners, number = np.unique(patients, return_inverse=True)
    order = np.random.default_rng(seed).permutation(owners.size)
    part = np.full(owners.size, int(Part.TEST))
    part[order[: int(sum(shares) * owners.size)]] = int(Part.AUDIT)
    part[order[: int(shares[0] * owners.size)]] = int(Part.TRAIN)
    return SiteData(
        name,
        ("a",),
        images.half(),
        torch.zeros(images.shape[0], dtype=torch.int64),
        torch.from_numpy(number),
        torch.from_numpy(part[number]),
    )


@pytest.fixture(scope="module")
def chest() -> list[SiteData]:
    """149 patients of four sites, 64 x 64 pixels."""
    table = DATA / "ccx" / "metadata.csv"
    if not table.exists():
        pytest.skip(f"{table} is absent")
    with table.open(encoding="utf-8") as handle:
        rows = list(csv.DictReader(handle))
    pictures = [Image.open(table.parent / r["image"]).convert("L").resize((64, 64)) for r in rows]
    images = torch.from_numpy(np.stack([np.asarray(p) for p in pictures])).float()[:, None] / 127.5 - 1
    patients, sites = (np.array([r[key] for r in rows]) for key in ("patient_id", "site"))
    return [
        _site(name, images[sites == name], patients[sites == name], 0, (0.4, 0.3))
        for name in np.unique(sites)
    ]


@pytest.fixture(scope="module")
def pneumonia() -> list[SiteData]:
    """4708 images of 28 x 28 pixels without patient identities; repeated pictures are left out."""
    archive = DATA / "medmnist" / "pneumoniamnist.npz"
    if not archive.exists():
        pytest.skip(f"{archive} is absent")
    with np.load(archive, allow_pickle=False) as arrays:
        unique = np.unique(arrays["train_images"], axis=0)
    images = torch.from_numpy(unique).float()[:, None] / 127.5 - 1
    return [_site("one", images, np.arange(images.shape[0]), 0, (0.2, 0.1))]


def _images(sites: list[SiteData], part: Part) -> Tensor:
    return torch.cat([site.part(part).images for site in sites]).float()


def _audit(sites: list[SiteData], images: Tensor):
    rng = torch.Generator().manual_seed(0)
    release = LabelledImages(images, torch.zeros(images.shape[0], dtype=torch.int64))
    model = AuditedModel({"loss": lambda data: torch.randn(data.n_images, generator=rng)}, None, 1e-5)
    found = assess_audit(STUDY, sites, release, model)
    verdict, reasons = overall(found.rows)
    return AuditFile(**dict(found), verdict=verdict, reasons=reasons)


@pytest.mark.parametrize("data", ["chest", pytest.param("pneumonia", marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    "alter", [lambda x: x, _noised, lambda x: x.roll(1, 3)], ids=["exact", "noised", "shifted"]
)
def test_returned_training_images_fail(request, data, alter):
    sites = request.getfixturevalue(data)
    train = _images(sites, Part.TRAIN)[:200]
    result = _audit(sites, alter(train))
    assert result.verdict is Verdict.FAIL
    assert result.rows[0].verdict is Verdict.FAIL


@pytest.mark.parametrize("data", ["chest", pytest.param("pneumonia", marks=pytest.mark.slow)])
def test_returned_strangers_pass(request, data):
    sites = request.getfixturevalue(data)
    result = _audit(sites, _images(sites, Part.TEST)[:400])
    assert result.verdict is Verdict.PASS, result.reasons


@pytest.mark.parametrize("data", ["chest", pytest.param("pneumonia", marks=pytest.mark.slow)])
def test_a_tenth_of_copies_is_never_passed(request, data):
    sites = request.getfixturevalue(data)
    strangers, copies = _images(sites, Part.TEST)[:180], _noised(_images(sites, Part.TRAIN))
    images = torch.cat([strangers, copies[: strangers.shape[0] // 9]])
    result = _audit(sites, images)
    assert result.rows[0].verdict in {Verdict.REVIEW, Verdict.FAIL}
