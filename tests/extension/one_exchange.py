"""Run by a fresh process: three sites make one exchange in each mode, of a family that is one statistic.

Arguments: an empty folder, then pairs of a mode and yes or no, for secure aggregation. Prints one JSON object by mode.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import torch

from fedgen.data.site_data import Part, SiteData
from fedgen.federation.coordinator.aggregation import PlainAggregator
from fedgen.federation.coordinator.rounds import train
from fedgen.federation.coordinator.secure import SecureAggregator
from fedgen.federation.exchange.direct import DirectExchange
from fedgen.federation.site.site import Site
from fedgen.federation.terms.provision import keyholder, roster
from fedgen.recipe import Recipe
from fedgen.run.directory import RunDirectory
from fedgen.study.study import Study
from fedgen_privacy.ledger import Ledger

PATIENTS = {"east": 30, "north": 40, "south": 50}


def study(mode: str, secure: bool) -> Study:
    return Study.model_validate(
        {
            "study": {"name": "one-exchange", "seed": 5},
            "data": {"image_size": (16, 16), "labels": ("none", "lesion"), "images_per_patient": 1},
            "model": {"family": "brightness"},
            "training": {"rounds": 1, "local_steps": 1, "batch_patients": 120, "microbatch": 50},
            "privacy": {"mode": mode, "epsilon": 8.0, "delta": 1e-3, "sampling_rate": 1.0},
            "aggregation": {"secure": secure, "minimum_sites": 3, "tolerated_dropouts": 0},
        }
    )


def site_data(name: str) -> SiteData:
    """Patients with one image each; patient p is p % 10 / 10 bright, and two more are held out."""
    n = PATIENTS[name]
    return SiteData(
        site=name,
        classes=("none", "lesion"),
        images=(torch.arange(n + 2) % 10 / 10)[:, None, None, None].expand(-1, 1, 16, 16).half(),
        labels=torch.arange(n + 2) % 2,
        patients=torch.arange(n + 2),
        parts=torch.tensor([int(Part.TRAIN)] * n + [int(Part.AUDIT), int(Part.TEST)]),
    )


def exchanged(asked: Study, run: RunDirectory) -> dict[str, Any]:
    """What the model became, and what each site's ledger says of it."""
    run.path.mkdir()
    recipe = Recipe.of(asked)
    names = roster({site: run.site(site) for site in PATIENTS})
    sites = [
        Site(
            recipe,
            site_data(site),
            run.site(site),
            keyholder(recipe, names, site, run.site(site)),
            roster_size=len(PATIENTS),
        )
        for site in PATIENTS
    ]
    secure = asked.aggregation.secure
    aggregator = (
        SecureAggregator(recipe, names) if secure else PlainAggregator(recipe.mechanism.vector.length)
    )
    trained = train(recipe, DirectExchange(sites), aggregator, run)
    # A round without privacy has a row as well, which spends nothing.
    spends = [
        [row.spend for row in Ledger(run.site(site) / "ledger.jsonl") if row.spend is not None]
        for site in PATIENTS
    ]
    images = recipe.family.sample(
        recipe.networks(trained.checkpoint.model), {}, 2, torch.Generator().manual_seed(0)
    )
    return {
        "mechanism": recipe.mechanism.name,
        "private": asked.privacy.private,
        "round": trained.checkpoint.round,
        "charges": [len(of_site) for of_site in spends],
        "discrete": [spend.discrete for of_site in spends for spend in of_site],
        "epsilon": recipe.mechanism.statement(spends[0]).epsilon,
        "image": list(images.shape),
        "brightness": float(images.mean()),
        "holds_against": recipe.mechanism.statement(spends[0]).holds_against,
    }


if __name__ == "__main__":
    folder, *pairs = sys.argv[1:]
    found = {
        mode: exchanged(study(mode, secure == "yes"), RunDirectory(Path(folder) / mode))
        for mode, secure in zip(pairs[::2], pairs[1::2], strict=True)
    }
    print(json.dumps(found))
