"""A whole run directory as the stages would leave it: realistic numbers, some missing, and small images."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from fedgen.data.site_data import LabelledImages, SiteData
from fedgen.report.pictures import Triple, draw_neighbours, draw_real_vs_synthetic
from fedgen.run.directory import RunDirectory
from fedgen.synthesis.samples import write_samples

CLASSES = ("COVID-19", "Other pneumonia")
SITES = ("hannover", "australia_americas", "iberia")


def blobs(n: int, side: int, seed: int) -> torch.Tensor:
    """(n, 1, side, side) pictures of a bright disc on a gradient."""
    rng = torch.Generator().manual_seed(seed)
    y, x = torch.meshgrid(torch.linspace(-1, 1, side), torch.linspace(-1, 1, side), indexing="ij")
    centre = torch.rand(n, 2, 1, 1, generator=rng) - 0.5
    disc = ((x - centre[:, 0]) ** 2 + (y - centre[:, 1]) ** 2 < 0.15).float()
    return (0.5 * y + 0.8 * disc - 0.3).clamp(-1, 1).unsqueeze(1)


def site_data(name: str, seed: int, images: int = 24, side: int = 16) -> SiteData:
    """A site with two images a patient, in all three parts."""
    patients = torch.arange(images) // 2
    return SiteData(
        site=name,
        classes=CLASSES,
        images=blobs(images, side, seed).half(),
        labels=patients % 2,
        patients=patients,
        parts=(patients % 4 == 3).long() + (patients % 4 == 2).long() * 2,
    )


def privacy_json() -> dict[str, Any]:
    return {
        "unit": "patient",
        "mode": "local",
        "statement": "Whether or not a patient\u2019s images took part changes the probability of any result "
        "by at most a factor of e^7.9912, except with probability 0.00001.",
        "epsilon": 7.9912,
        "delta": 1e-5,
        "accountant": "PRV",
        "holds_against": "the coordinator, all other sites and whoever sees the model or its images",
        "sites": [
            {
                "site": site,
                "patients": patients,
                "sampling_rate": 16 / patients,
                "noise_multiplier": sigma,
                "steps": 200,
                "epsilon": epsilon,
                "epsilon_rdp": None if epsilon is None else epsilon * 1.08,
            }
            for site, patients, sigma, epsilon in zip(
                SITES, (46, 23, 18), (1.8213, 3.117, 3.905), (7.9912, 7.9731, None), strict=True
            )
        ],
        "limits": ["The epsilon covers training; site names and cohort sizes are published in clear."],
    }


def _values(auc: float, n: int) -> list[dict[str, Any]]:
    return [
        {"name": "AUC", "value": auc, "low": auc - 0.071, "high": auc + 0.068, "note": None},
        {"name": "TPR at 1 % FPR", "value": 0.0213, "low": 0.0006, "high": 0.089, "note": "Clopper-Pearson"},
        {
            "name": "TPR at 0.1 % FPR",
            "value": None,
            "low": None,
            "high": None,
            "note": f"needs 1000 non-members, has {n}",
        },
    ]


def audit_json() -> dict[str, Any]:
    return {
        "verdict": "REVIEW",
        "reasons": [
            "No attack found more than its bound allows, but with 31 held-out patients an AUC below 0.64 "
            "cannot be detected.",
            "Two synthetic images lie closer to a training image than 95 % of held-out images do.",
        ],
        "alpha": 0.05,
        "n": {"train_patients": 87, "held_out_patients": 31, "synthetic_images": 200},
        "claim": {"epsilon": 7.9912, "delta": 1e-5},
        "audits": [
            {
                "id": "loss_threshold",
                "title": "Membership inference by loss",
                "verdict": "PASS",
                "reason": "The lower bound of TPR at 1 % FPR (0.0006) is below the bound of the claim.",
                "values": _values(0.541, 31),
                "per_site": [
                    {"site": site, "values": _values(0.5 + 0.011 * i, 10)} for i, site in enumerate(SITES)
                ],
                "n": {"members": 87, "non_members": 31},
            },
            {
                "id": "copies",
                "title": "Copies in the synthetic images",
                "verdict": "REVIEW",
                "reason": "The copy rate is above the held-out baseline, but not significantly (p = 0.081).",
                "values": [
                    {"name": "copy rate", "value": 0.01, "low": 0.0012, "high": 0.0357, "note": "2 of 200"},
                    {"name": "held-out baseline", "value": 0.0, "low": 0.0, "high": 0.112, "note": "0 of 31"},
                    {
                        "name": "C_T (z)",
                        "value": -0.8317,
                        "low": None,
                        "high": None,
                        "note": "below \u22123 is copying",
                    },
                ],
                "per_site": [],
                "n": {"synthetic_images": 200},
            },
            {
                "id": "canaries",
                "title": "Empirical epsilon from canaries",
                "verdict": "INSUFFICIENT",
                "reason": "No canaries were inserted in this run.",
                "values": [
                    {
                        "name": "epsilon, lower bound",
                        "value": None,
                        "low": None,
                        "high": None,
                        "note": "not run",
                    }
                ],
                "per_site": None,
                "n": None,
            },
        ],
        "limits": ["Membership was tested with the loss alone; reference-model attacks were not run."],
        "seed": 3,
    }


def _metric(value: float | None) -> dict[str, Any] | None:
    if value is None:
        return None
    return {"value": value, "low": value - 0.083, "high": value + 0.079, "std_seeds": 0.0131}


def evaluation_json() -> dict[str, Any]:
    arms = [
        ("TRTR", "Train on real, test on real", 87, 0.861, 0.779),
        ("TSTR", "Train on synthetic, test on real", 200, 0.774, 0.703),
        ("TRTR+S", "Train on real and synthetic, test on real", 287, 0.868, 0.788),
        ("TRTR+R", "Control: train on real, duplicated to the size of real and synthetic", 287, 0.859, 0.772),
        ("TSTR-shuffled", "Control: train on synthetic with shuffled labels", 200, None, None),
    ]
    return {
        "n": {"test_patients": 40, "synthetic_images": 200},
        "fidelity": [
            {
                "extractor": {"name": name, "hash": digest, "dimensions": dimensions},
                "metric": metric,
                "value": value,
                "std": std,
                "floor": floor,
                "floor_std": floor_std,
                "n_real": 142,
                "n_synthetic": 200,
                "note": note,
            }
            for name, digest, dimensions, metric, value, std, floor, floor_std, note in (
                (
                    "radiomics",
                    "9f2c" * 16,
                    93,
                    "Fr\u00e9chet distance",
                    41.2871,
                    2.113,
                    6.4412,
                    0.702,
                    "not FRD",
                ),
                (
                    "radiomics",
                    "9f2c" * 16,
                    93,
                    "Kernel distance (KID)",
                    0.0731,
                    0.0042,
                    0.00018,
                    0.0031,
                    None,
                ),
                ("random_conv", "51ab" * 16, 256, "Fr\u00e9chet distance", 12.904, 0.611, 3.022, None, None),
                (
                    "random_conv",
                    "51ab" * 16,
                    256,
                    "coverage",
                    None,
                    None,
                    0.912,
                    None,
                    "fewer than 5 neighbours",
                ),
            )
        ],
        "diversity": {
            "metric": "MS-SSIM",
            "scales": 3,
            "classes": [
                {"class": CLASSES[0], "synthetic": 0.4127, "real": 0.3561, "pairs": 500, "note": None},
                {
                    "class": CLASSES[1],
                    "synthetic": None,
                    "real": 0.3312,
                    "pairs": 0,
                    "note": "one synthetic image",
                },
            ],
        },
        "downstream": {
            "task": "COVID-19 against other pneumonia",
            "steps": 200,
            "seeds": 3,
            "arms": [
                {
                    "arm": arm,
                    "title": title,
                    "n_train": n,
                    "pooled": {
                        "auroc": _metric(auroc),
                        "balanced_accuracy": _metric(accuracy),
                        "note": None if auroc else "not run",
                    },
                    "per_site": [
                        {
                            "site": site,
                            "test_patients": 18 - 4 * i,
                            "auroc": None if i == 0 or auroc is None else _metric(auroc - 0.02 * i),
                            "balanced_accuracy": None if accuracy is None else _metric(accuracy - 0.01 * i),
                            "note": "a single class" if i == 0 else None,
                        }
                        for i, site in enumerate(SITES)
                    ],
                }
                for arm, title, n, auroc, accuracy in arms
            ],
            "differences": [
                {
                    "arm": "TSTR",
                    "against": "TRTR",
                    "metric": "auroc",
                    "value": -0.087,
                    "low": -0.161,
                    "high": -0.012,
                },
                {
                    "arm": "TRTR+S",
                    "against": "TRTR",
                    "metric": "auroc",
                    "value": 0.007,
                    "low": None,
                    "high": None,
                },
            ],
        },
        "limits": ["Site and label are confounded: most COVID-19 images come from one hospital."],
        "seed": 3,
    }


def run_json() -> dict[str, Any]:
    return {
        "status": "done",
        "study": "chest-xray",
        "seed": 3,
        "sites": [
            {
                "site": site,
                "patients": patients,
                "images": images,
                "parts": {"train": train, "audit": audit, "test": patients - train - audit},
                "classes": {CLASSES[0]: images - 4 * i, CLASSES[1]: 4 * i},
            }
            for i, (site, patients, images, train, audit) in enumerate(
                zip(SITES, (71, 33, 19), (243, 47, 42), (46, 23, 12), (11, 5, 3), strict=True)
            )
        ],
        "rounds": 20,
        "model": {"family": "diffusion", "parameters": 287_121, "sha256": "c0ffee" * 10 + "abcd"},
        "privacy": {"unit": "patient", "mode": "local", "epsilon": {"max": 7.9912, "sites": {}}},
        "secure_aggregation": {
            "enabled": False,
            "protocol": None,
            "dropouts": 0,
            "statement": "Secure aggregation was off: the coordinator saw each site\u2019s update, and "
            "protection against it rests on the noise each site added itself.",
        },
        "audit": {"verdict": "REVIEW", "reasons": []},
        "evaluation": {},
        "timings": {"train": 834.2, "synthesize": 21.7, "audit": 48.9, "evaluate": 3721.0},
        "versions": {"fedgen": "0.1.0", "torch": "2.13.0", "monai": "1.6.1", "opacus": "1.6.0"},
        "findings": ["10 images without a listed label were left out at australia_americas."],
    }


def events() -> list[dict[str, Any]]:
    start: list[dict[str, Any]] = [
        {"time": "2026-01-01T10:00:00+00:00", "event": "start", "site": None, "round": None}
    ]
    return start + [
        {
            "time": f"2026-01-01T10:{n:02d}:00+00:00",
            "event": "round",
            "site": None,
            "round": n,
            "losses": {
                "diffusion": {"value": None if n == 3 else 0.9 / n**0.5 + 0.2 + 0.02 * (n % 3), "std": 0.06}
            },
            "epsilon": 7.9912 * (n / 20) ** 0.6,
            "sites": [site for i, site in enumerate(SITES) if (n + i) % 7 or not i],
            "seconds": 41.0,
        }
        for n in range(1, 21)
    ]


STUDY = {
    "study": {
        "name": "chest-xray",
        "seed": 3,
        "description": "Chest X-rays of three sites, one family, DP at each site.",
    },
    "data": {"labels": list(CLASSES), "phantom": None},
    "privacy": {"mode": "local", "epsilon": 8.0},
    "synthesis": {"images": 200},
}


def build_run(
    path: Path,
    *,
    sites: list[SiteData] | None = None,
    synthetic: LabelledImages | None = None,
    side: int = 16,
) -> RunDirectory:
    """Write a finished run into the new folder `path`."""
    run = RunDirectory(path)
    path.mkdir(parents=True)
    run.study.write_text(yaml.safe_dump(STUDY, sort_keys=False), encoding="utf-8")
    for name, value in (
        ("run.json", run_json()),
        ("privacy.json", privacy_json()),
        ("audit.json", audit_json()),
        ("evaluation.json", evaluation_json()),
    ):
        run.write_json(name, value)
    run.events.write_text("".join(json.dumps(event) + "\n" for event in events()), encoding="utf-8")
    sites = sites or [site_data(name, seed, side=side) for seed, name in enumerate(SITES)]
    synthetic = synthetic or LabelledImages(images=blobs(16, side, 99), labels=torch.arange(16) % 2)
    write_samples(run.samples, synthetic, CLASSES, ("png",))
    draw_real_vs_synthetic(run.figures, sites, synthetic, CLASSES)
    triples = [
        Triple(
            synthetic.images[i],
            sites[0].images[i].float(),
            sites[0].images[-1 - i].float(),
            0.12 + i,
            0.31 + i,
            SITES[0],
        )
        for i in range(4)
    ]
    draw_neighbours(run.figures, triples)
    return run


@pytest.fixture(scope="session")
def template_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run that tests copy, and never change."""
    return build_run(tmp_path_factory.mktemp("template") / "chest-xray").path


@pytest.fixture
def finished_run(template_run: Path, tmp_path: Path) -> RunDirectory:
    """A finished run."""
    return RunDirectory(Path(shutil.copytree(template_run, tmp_path / "chest-xray-20260101T100000Z")))
