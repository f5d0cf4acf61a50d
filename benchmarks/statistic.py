"""A study of one private sum against ten rounds of DP-SGD, in time and in bytes, and how the sum's cost grows.

    python benchmarks/statistic.py [--quick] [--out FILE.json]

The same three sites, patients, images and classes, the same epsilon, secure aggregation on, all in this process: the
family `latent` in both modes, then the VAE, the cheapest family that takes gradients, for ten rounds of eight steps.
Seconds are of processor time on one core, since other work on the machine would be measured with any other; a site's
are those of the slowest one, the coordinator's all the rest. Bytes are of the encoded messages of one site, JSON and
vector; TLS and HTTP come on top for all alike. Audit and synthesis are not counted. The sum has second moments, its
longest form. Medians of several runs of the sum; the ten rounds run once. The growth tables change one number of the
case at a time.

The benchmark exits 0 whatever the numbers.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

# Before torch starts its threads: each side works on one core.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from secagg.meter import machine

from fedgen.data.site_data import Part, SiteData
from fedgen.federation.coordinator.rounds import train
from fedgen.federation.coordinator.secure import SecureAggregator
from fedgen.federation.site.site import Site
from fedgen.federation.terms.provision import keyholder, roster
from fedgen.protocol.messages import Answer, Task
from fedgen.protocol.wire import encode_answer, encode_task
from fedgen.recipe import Recipe
from fedgen.run.directory import RunDirectory
from fedgen.study.study import Study

RESULTS = Path(__file__).parent / "results"
SITES, SIDE, ROUNDS, STEPS = 3, 32, 10, 8
GROWTH = {"patients": (50, 200, 1000, 5000), "latent": (8, 16, 32, 64), "classes": (2, 8)}
QUICK = {"patients": (50, 200), "latent": (8, 32), "classes": (2, 8)}


@dataclass(frozen=True)
class Case:
    """What is trained on what; patients are of all sites together, with one image each."""

    family: str = "latent"
    mode: str = "distributed"
    patients: int = 200
    latent: int = 16
    classes: int = 2

    def study(self) -> Study:
        """The study."""
        model: dict[str, Any] = {"family": self.family}
        if self.family == "latent":
            model["latent"] = {"latent_size": self.latent, "moment_weight": 0.65}
        privacy: dict[str, Any] = {"mode": self.mode, "epsilon": 3.0, "delta": 1e-4}
        batch = 8
        if self.mode == "distributed":
            batch, privacy["sampling_rate"] = max(1, round(0.5 * self.patients)), 0.5
        return Study.model_validate(
            {
                "study": {"name": "benchmark", "seed": 1},
                "data": {
                    "image_size": [SIDE, SIDE],
                    "labels": [f"class {k}" for k in range(self.classes)],
                    "images_per_patient": 1,
                },
                "model": model,
                "training": {"rounds": ROUNDS, "local_steps": STEPS, "batch_patients": batch},
                "privacy": privacy,
                "aggregation": {"minimum_sites": SITES, "tolerated_dropouts": 0, "weight_cap": 4096},
            }
        )

    def sites(self) -> list[SiteData]:
        """Smooth random images; every patient trains."""
        rng = torch.Generator().manual_seed(0)
        made = []
        for site in range(SITES):
            n = self.patients // SITES + (site < self.patients % SITES)
            coarse = 0.3 * torch.randn(n, 1, 6, 6, generator=rng)
            images = torch.nn.functional.interpolate(coarse, size=(SIDE, SIDE), mode="bilinear").clamp(-1, 1)
            names = tuple(f"class {k}" for k in range(self.classes))
            labels, patients = torch.arange(n) % self.classes, torch.arange(n)
            parts = torch.full((n,), int(Part.TRAIN))
            made.append(SiteData(f"site-{site + 1}", names, images.half(), labels, patients, parts))
        return made


class Metered:
    """Sites in this process, whose messages are encoded and counted."""

    def __init__(self, sites: Sequence[Site]) -> None:
        self._sites = {site.name: site for site in sites}
        self.seconds: dict[str, float] = dict.fromkeys(self._sites, 0.0)
        self.down: Counter[str] = Counter()
        self.up: Counter[str] = Counter()

    def sites(self) -> Sequence[str]:
        """All of them."""
        return sorted(self._sites)

    def stream(self, tasks: Mapping[str, Task], deadline: float) -> Iterator[tuple[str, Answer]]:
        """Ask one after the other."""
        for name, task in tasks.items():
            self.down[name] += _bytes(*encode_task(task))
            begun = time.process_time()
            answer = self._sites[name].answer(task)
            self.seconds[name] += time.process_time() - begun
            self.up[name] += _bytes(*encode_answer(answer))
            yield name, answer


def _bytes(text: str, vector: Any) -> int:
    return len(text.encode()) + (0 if vector is None else vector.nbytes)


def measured(case: Case, folder: Path) -> dict[str, Any]:
    """One whole training."""
    study = case.study()
    recipe, data = Recipe.of(study), case.sites()
    names = roster({site.site: folder / site.site for site in data})
    here = [
        Site(
            recipe,
            site,
            folder / site.site,
            keyholder(recipe, names, site.site, folder / site.site),
            roster_size=SITES,
        )
        for site in data
    ]
    exchange, run = Metered(here), RunDirectory(folder / "run")
    run.path.mkdir()
    begun = time.process_time()
    train(recipe, exchange, SecureAggregator(recipe, names), run)
    whole = time.process_time() - begun
    return {
        **asdict(case),
        "rounds": recipe.rounds,
        "numbers": recipe.mechanism.vector.length,
        "site_seconds": max(exchange.seconds.values()),
        "coordinator_seconds": whole - sum(exchange.seconds.values()),
        "down": max(exchange.down.values()),
        "up": max(exchange.up.values()),
    }


def median(case: Case, repeats: int) -> dict[str, Any]:
    """The case, with the medians of its times over some runs."""
    found = []
    for _ in range(repeats):
        with tempfile.TemporaryDirectory() as folder:
            found.append(measured(case, Path(folder)))
    times = {
        key: statistics.median(run[key] for run in found) for key in ("site_seconds", "coordinator_seconds")
    }
    return {**found[-1], **times}


def table(rows: Sequence[Mapping[str, Any]], against: Mapping[str, Any] | None = None) -> str:
    """One row a case; with ratios where there is something to compare with."""
    more = "" if against is None else " x less time | x fewer bytes |"
    lines = [
        "| family | mode | patients | d | classes | rounds | numbers | site s | coordinator s | down kB | up kB |"
        + more,
        "|---" * (11 + 2 * (against is not None)) + "|",
    ]
    for row in rows:
        d = row["latent"] if row["family"] == "latent" else "-"
        cells = [
            row["family"],
            row["mode"],
            row["patients"],
            d,
            row["classes"],
            row["rounds"],
            row["numbers"],
        ]
        cells += [f"{row['site_seconds']:.3f}", f"{row['coordinator_seconds']:.3f}"]
        cells += [f"{row['down'] / 1e3:.1f}", f"{row['up'] / 1e3:.1f}"]
        if against is not None:
            cells += [f"{_time(against) / _time(row):.0f}", f"{_traffic(against) / _traffic(row):.0f}"]
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    return "\n".join(lines)


def _time(row: Mapping[str, Any]) -> float:
    return float(row["site_seconds"] + row["coordinator_seconds"])


def _traffic(row: Mapping[str, Any]) -> float:
    return float(row["down"] + row["up"])


def main() -> None:
    """Command line."""
    started = time.perf_counter()
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="fewer sizes, one run each")
    parser.add_argument("--out", type=Path, help="default: benchmarks/results/statistic[_quick].json")
    arguments = parser.parse_args()
    repeats, growth = (1, QUICK) if arguments.quick else (5, GROWTH)
    out = arguments.out or RESULTS / ("statistic_quick.json" if arguments.quick else "statistic.json")
    about = machine()
    print(", ".join(f"{key} {value}" for key, value in about.items()))
    base = Case()
    median(base, 1)  # warms up
    sums = [median(case, repeats) for case in (base, replace(base, mode="local"))]
    gradients = median(Case("vae", "local"), 1)
    print(
        f"\nOne sum, and {ROUNDS} rounds of {STEPS} steps of DP-SGD\n" + table([*sums, gradients], gradients)
    )
    grown: dict[str, list[dict[str, Any]]] = {}
    for key, values in growth.items():
        grown[key] = [median(replace(base, **{key: value}), repeats) for value in values]
        print(f"\nGrowth with {key}\n" + table(grown[key]), flush=True)
    seconds = time.perf_counter() - started
    out.parent.mkdir(parents=True, exist_ok=True)
    record = {"machine": about, "seconds": seconds, "sums": sums, "gradients": gradients, "growth": grown}
    out.write_text(json.dumps(record, indent=1) + "\n")
    print(f"\n{seconds:.0f} s; wrote {out}")


if __name__ == "__main__":
    main()
