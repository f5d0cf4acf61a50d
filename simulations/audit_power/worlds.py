"""Patients of no hospital and models that were trained on them in this process, for the tables of this folder."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from fedgen.data.site_data import LabelledImages, Part, SiteData
from fedgen.evidence.assess import assess_audit
from fedgen.evidence.measure import AuditedModel
from fedgen.pipeline.model import audited_model, trained_networks
from fedgen.recipe import Recipe
from fedgen.run.evidence_files import Audited
from fedgen.study.study import Study

# The modules beside this folder, whatever it was started from.
sys.path.insert(0, str(Path(__file__).parent.parent))
from in_process import trained

SIDE = 16
DELTA = 1e-3
#: Options of a small diffusion model.
DIFFUSION: dict[str, Any] = {"channels": (16, 32), "attention": (False, False), "sampler_steps": 12}


def textures(n: int, seed: int, side: int = SIDE) -> Tensor:
    """(n, 1, side, side) float32: smooth, of 36 free numbers each."""
    rng = torch.Generator().manual_seed(seed)
    coarse = torch.randn(n, 1, 6, 6, generator=rng)
    return (0.3 * interpolate(coarse, size=(side, side), mode="bicubic", align_corners=True)).clamp(-1, 1)


def site_of(train: int, held_out: int, seed: int, name: str = "site") -> SiteData:
    """A site with one image a patient."""
    images = textures(train + held_out, seed)
    parts = torch.tensor([int(Part.TRAIN)] * train + [int(Part.AUDIT)] * held_out)
    return SiteData(
        name, ("a",), images.half(), torch.zeros_like(parts), torch.arange(train + held_out), parts
    )


def study_of(family: str, options: Mapping[str, Any], **sections: Mapping[str, Any]) -> Study:
    """A study of one site or several, in the clear."""
    return Study.model_validate(
        {
            "study": {"name": "audit-power"},
            "data": {"image_size": (SIDE, SIDE), "labels": ("a",), "images_per_patient": 1},
            "model": {"family": family, family: dict(options)},
            "aggregation": {"secure": False, "minimum_sites": 1},
            "synthesis": {"images": 100},
            "audit": {"bootstrap": 100},
            **{name: dict(section) for name, section in sections.items()},
        }
    )


@dataclass(frozen=True)
class Trained:
    """A model, with what was promised, as an attacker has it."""

    recipe: Recipe
    vector: Tensor
    epsilon: float | None

    def attacked(self) -> AuditedModel:
        """The model as its audits attack it."""
        return audited_model(self.recipe, self._networks, "cpu", self.epsilon)

    @property
    def _networks(self) -> dict[str, Any]:
        return trained_networks(self.recipe, self.vector, "cpu")

    def drawn(self, n: int, seed: int = 0) -> LabelledImages:
        """n images of it."""
        labels = torch.zeros(n, dtype=torch.int64)
        rng = torch.Generator().manual_seed(seed)
        return LabelledImages(self.recipe.family.sample(self._networks, {"class": labels}, n, rng), labels)

    def audited(self, site: SiteData, n: int) -> Audited:
        """All audits of the model and of n of its images."""
        return assess_audit(self.recipe.study, [site], self.drawn(n), self.attacked())


def trained_on(study: Study, sites: Sequence[SiteData], folder: Path | None = None) -> Trained:
    """Train as a federation does, in this process; `folder` keeps what the sites keep."""
    with tempfile.TemporaryDirectory() as scratch:
        recipe, vector = trained(study, list(sites), folder or Path(scratch) / "run", None)
    patients = sites[0].part(Part.TRAIN).n_patients
    return Trained(recipe, vector, recipe.mechanism.plan(patients, sites[0].site).epsilon)
