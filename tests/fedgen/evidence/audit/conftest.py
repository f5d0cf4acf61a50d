"""A cheap world of patients: smooth random textures, several images a patient that resemble each other."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from fedgen.data.site_data import LabelledImages, Part, SiteData
from fedgen.evidence.assess import assess_audit
from fedgen.evidence.audit.spaces import SPACES, THUMBNAIL
from fedgen.evidence.measure import AuditedModel
from fedgen.evidence.verdict import overall
from fedgen.run.evidence_files import AuditFile
from fedgen.study.audit_section import AuditSection
from fedgen.study.study import Study

SIDE = 32


@dataclass(frozen=True)
class World:
    """Sites with their patients, and images of patients who are in no site."""

    sites: tuple[SiteData, ...]
    strangers: Tensor

    def part(self, part: Part) -> Tensor:
        """All images of a part, float32."""
        return torch.cat([site.part(part).images for site in self.sites]).float()


def _textures(
    patients: int, images: int, variation: float, anatomy: float, rng: np.random.Generator
) -> tuple[Tensor, Tensor]:
    owner = np.repeat(np.arange(patients), rng.integers(1, images + 1, patients))
    common = anatomy * np.random.default_rng(0).normal(size=(1, 1, 6, 6))
    base = (common + rng.normal(size=(patients, 1, 6, 6)))[owner]
    small = torch.from_numpy(base + variation * rng.normal(size=base.shape)).float()
    large = functional.interpolate(small, size=(SIDE, SIDE), mode="bicubic", align_corners=True)
    return (0.2 * large).clamp(-1, 1), torch.from_numpy(owner)


@pytest.fixture(scope="session")
def make_world():
    """make(seed, train, held_out, strangers, sites=1, images=3, variation=0.3) with patients a site."""

    def make(
        seed: int,
        train: int,
        held_out: int,
        strangers: int,
        *,
        sites: int = 1,
        images: int = 3,
        variation: float = 0.3,
        stranger_images: int = 1,
        anatomy: float = 0.0,
    ) -> World:
        rng = np.random.default_rng(seed)
        made = []
        for index in range(sites):
            pictures, owner = _textures(train + held_out, images, variation, anatomy, rng)
            parts = torch.where(owner < train, int(Part.TRAIN), int(Part.AUDIT))
            made.append(
                SiteData(
                    f"site{index}",
                    ("a",),
                    pictures.half(),
                    torch.zeros_like(owner),
                    owner,
                    parts.to(torch.int64),
                )
            )
        return World(tuple(made), _textures(strangers, stranger_images, variation, anatomy, rng)[0])

    return make


@pytest.fixture(scope="session")
def labelled():
    """Images as a synthetic set of class 0."""

    def make(images: Tensor) -> LabelledImages:
        return LabelledImages(images.float(), torch.zeros(images.shape[0], dtype=torch.int64))

    return make


@pytest.fixture
def section() -> AuditSection:
    """Few bootstrap replicates, everything else as by default."""
    return AuditSection(bootstrap=100)


@pytest.fixture
def random_score():
    """A model that knows nothing."""

    def make(seed: int):
        rng = torch.Generator().manual_seed(seed)
        return lambda data: torch.randn(data.n_images, generator=rng)

    return make


@pytest.fixture
def knowing_score():
    """A model overfit to `known` images: scores them higher by `advantage` standard deviations."""

    def make(known: Tensor, advantage: float, seed: int = 0):
        rng = torch.Generator().manual_seed(seed)
        seen = {image.half().numpy().tobytes() for image in known}

        def score(data: SiteData) -> Tensor:
            inside = torch.tensor([image.half().numpy().tobytes() in seen for image in data.images])
            return torch.randn(data.n_images, generator=rng) + advantage * inside

        return score

    return make


@pytest.fixture
def run_audit(monkeypatch):
    """run_audit(section, sites, release, score, epsilon=..., delta=..., seed=...): the content of audit.json.

    `score` is the one attack on the model, attacks by name, or None for no model. Samples are compared by thumbnails
    alone: the other spaces take most of the time, and `test_control_pairs` has them all.
    """
    for space in set(SPACES) - {THUMBNAIL}:
        monkeypatch.delitem(SPACES, space)

    def run(section, sites, release, score, *, epsilon, delta, seed):
        study = Study.model_validate(
            {"study": {"name": "t", "seed": seed}, "data": {"labels": ["a"]}, "audit": section}
        )
        attacks = score if isinstance(score, dict) else {} if score is None else {"loss": score}
        found = assess_audit(study, sites, release, AuditedModel(attacks, epsilon, delta))
        verdict, reasons = overall(found.rows)
        return AuditFile(**dict(found), verdict=verdict, reasons=reasons)

    return run
