"""One cell of the table: a family trained for a task, in a federation of two sites in this process.

Two rounds of a small network say that every part runs together, and how long it takes, not how good the images are.
"""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from in_process import trained

from fedgen.data.prepare import prepare_sites
from fedgen.data.site_data import SiteData
from fedgen.families.parts.conditioning import drawn_fields
from fedgen.families.registry import specs
from fedgen.pipeline.model import trained_networks
from fedgen.priors.build import Said, of_autoencoder, of_images
from fedgen.schema.section import Section
from fedgen.study.study import Study
from fedgen.task.stack import stacked
from fedgen.training.task_records import fields_of

SIZES = {2: (16, 16), 3: (16, 16, 16)}
PRIVACY: dict[str, dict[str, Any]] = {
    "none": {"mode": "none"},
    "epsilon 10": {"mode": "local", "epsilon": 10, "delta": 1e-2, "sampling_rate": None},
}
SITES, PATIENTS, SHOWN, EMBEDDED = 2, 10, 4, 4
TRAINING = {"rounds": 2, "local_steps": 1, "batch_patients": 2}
COVARIATES = {"age": {"lower": 20, "upper": 90}, "sex": {"values": ["F", "M"]}}
#: As the family `candidates` has it in its self-test.
PUBLIC = {"components": 8, "steps": 50}


@dataclass(frozen=True)
class Asked:
    """What a cell is of.

    Attributes:
        family: its name.
        task: one of `fedgen.selftest.tasks.tasks`.
        axes: of its images.
        privacy: key of PRIVACY.
        row: of the family's rows in the tables, itself or a system that its options make.
    """

    family: str
    task: str
    axes: int
    privacy: str
    row: str

    @property
    def name(self) -> str:
        """Of its file."""
        return f"{file_of(self.row)}-{self.task}-{self.axes}D-{self.privacy.replace(' ', '')}"

    @property
    def options(self) -> Section:
        """Of the family."""
        return specs()[self.family].rows[self.row]

    @property
    def on_prior(self) -> bool:
        """Whether it cannot do without a public prior."""
        return bool(specs()[self.family].why_prior(self.options))


def file_of(row: str) -> str:
    """A row's name as part of a file's."""
    return re.sub("[^a-z_]+", "_", row)


def sections(task: str, axes: int) -> dict[str, Any]:
    """Sections `data` and `task` of a study of phantoms for a task."""
    data: dict[str, Any] = {
        "image_size": SIZES[axes],
        "images_per_patient": 2,
        "phantom": {"sites": SITES, "patients": PATIENTS},
    }
    if task in ("translation", "unpaired"):
        data |= {"contrasts": ["T1w", "T2w"], "paired": task == "translation"}
        return {"data": data, "task": {"kind": "translate", "target": "T2w"}}
    data["modality"] = "T1w"
    if task in ("class", "pairs"):
        data |= {"labels": ["none", "lesion"], "one_class_sites": "allow"}
    asked: dict[str, Any] = {"given": ["class"]}
    if task == "pairs":
        mask = "tissue_mask" if axes == 2 else "dseg"
        data |= {"columns": {"mask": mask}, "unmasked": "exclude", "mask_classes": ["csf", "gray", "white"]}
        asked = {"makes": ["image", "mask"], "given": ["class"]}
    elif task != "class":
        asked = {"given": [] if task == "nothing" else [task]}
        if task == "covariates":
            data["covariates"] = COVARIATES
    return {"data": data, "task": asked}


def study_of(asked: Asked, prior: Path | None) -> Study:
    """The study of a cell."""
    said = _with_embedding(asked.task, asked.axes)
    model: dict[str, Any] = {
        "family": asked.family,
        asked.family: asked.options.model_dump(mode="json"),
    }
    if prior is not None:
        model["prior"] = {"sha256": _sha256(prior), "source": "phantoms of another seed: no patient"}
    return Study.model_validate(
        {
            "study": {"name": "zoo", "seed": 1},
            **said,
            "model": model,
            "training": TRAINING,
            "privacy": {k: v for k, v in PRIVACY[asked.privacy].items() if v is not None},
            "aggregation": {"secure": False, "minimum_sites": SITES},
            **_drawn_as(asked.task),
        }
    )


def _with_embedding(task: str, axes: int) -> dict[str, Any]:
    said = sections(task, axes)
    if task == "embedding":
        said["data"] |= {"columns": {"embedding": "vector"}, "embedding_size": EMBEDDED}
    return said


def _drawn_as(task: str) -> dict[str, Any]:
    """Section `synthesis`: a translation has none, and volumes cannot be PNG."""
    return {} if task in ("translation", "unpaired") else {"synthesis": {"formats": ["nifti"]}}


def run(asked: Asked, work: Path) -> tuple[float, Tensor]:
    """Train the cell; seconds of a core for training and drawing, and SHOWN of the images, (n, C, *size) in [-1, 1]."""
    torch.manual_seed(0)
    sites = _sites(asked.task, asked.axes, 1, work)
    prior = (
        _prior(asked.task, asked.axes, work, not specs()[asked.family].needs_prior)
        if asked.on_prior
        else None
    )
    study = study_of(asked, prior)
    folder = work / "runs" / f"{asked.name}-{time.monotonic_ns()}"
    started = time.process_time()
    recipe, model = trained(study, list(sites), folder, prior)
    networks = trained_networks(recipe, model, "cpu")
    rng = torch.Generator().manual_seed(2)
    made = recipe.family.sample(networks, _given(recipe.task, sites[0], rng), SHOWN, rng)
    seconds = time.process_time() - started
    if made.shape != (SHOWN, *recipe.task.stack.shape) or not bool(torch.isfinite(made).all()):
        raise RuntimeError(f"{asked.name} draws {tuple(made.shape)}, or numbers that are not finite.")
    if float(made.abs().max()) > 1 + 1e-4:
        raise RuntimeError(f"{asked.name} draws values outside of [-1, 1].")
    return seconds, made


def _given(task: Any, site: SiteData, rng: torch.Generator) -> Mapping[str, Tensor]:
    if task.translates:
        fields = fields_of(task, site, torch.arange(SHOWN))
        return {name: tensor for name, tensor in fields.items() if name != task.makes[0].name}
    drawn = drawn_fields(task, (SHOWN,), rng)
    if "class" in drawn:
        drawn["class"] = torch.arange(SHOWN) % len(task.classes)
    return drawn


@lru_cache(maxsize=32)
def _sites(task: str, axes: int, seed: int, work: Path) -> tuple[SiteData, ...]:
    said = sections("nothing" if task == "embedding" else task, axes)
    study = Study.model_validate(
        {
            "study": {"name": "zoo", "seed": seed},
            **said,
            "aggregation": {"secure": False},
            "privacy": {"mode": "none"},
            **_drawn_as(task),
        }
    )
    own = work / "data" / f"{task}-{axes}-{seed}"
    sites = prepare_sites(study, None, own, work / "cache").sites
    return tuple(_embedded(site) if task == "embedding" else site for site in sites)


def _embedded(site: SiteData) -> SiteData:
    """With the means of four quarters of its first slice as what an encoder would say of an image."""
    flat = site.images.float().flatten(2).mean(dim=1)
    parts = torch.stack([part.mean(dim=1) + 1 for part in flat.chunk(EMBEDDED, dim=1)], dim=1)
    return replace(site, embeddings=parts / parts.norm(dim=1, keepdim=True).clamp_min(1e-6))


@lru_cache(maxsize=32)
def _prior(task: str, axes: int, work: Path, autoencoder: bool) -> Path:
    """Public images: phantoms of another seed, as the task stacks them; or a network hardly trained on them."""
    sites = _sites(task, axes, 1000, work)
    said = _with_embedding(task, axes)
    made = Study.model_validate(
        {"study": {"name": "zoo"}, **said, "aggregation": {"secure": False}, "privacy": {"mode": "none"},
         **_drawn_as(task)}
    ).made  # fmt: skip
    images = torch.cat([stacked(made, fields_of(made, each, torch.arange(each.n_images))) for each in sites])
    pixels, said_of = (
        np.ascontiguousarray(images.float().numpy()),
        Said("phantoms of another seed", "none needed"),
    )
    if autoencoder:
        content = of_autoencoder(pixels, PUBLIC["components"], 0, said_of, PUBLIC["steps"])
    else:
        content = of_images(pixels, PUBLIC["components"], len(images), said_of)
    path = work / f"prior-{task}-{axes}D-{'network' if autoencoder else 'images'}.safetensors"
    path.write_bytes(content)
    return path


def _sha256(path: Path) -> str:
    import hashlib

    return hashlib.sha256(path.read_bytes()).hexdigest()
