"""Seconds that the evidence of a run takes, row by row, and of its dearest parts beside a peer in the same run.

    python benchmarks/evidence.py [--images 10000] [--ccx FOLDER] [--threads 2] [--out FILE.json]

First the preset `demo` with so many synthetic images: its stage `assess`, in which four virtual hospitals and then all
of them together audit and evaluate the release. With `--ccx` also the preset `chest_xray` on those images. Each run is
prepared, trained and sampled in this process first, which is not measured.

Features are made once an image, so a release that repeats images, as that of candidates does, costs less than one
that does not: how many are different is printed.

The peers, on the very arrays of the demo: scikit-learn's NearestNeighbors (brute, Euclidean) for the search of copies,
which knows no patients and is asked for mirrored images beside the others, and torchmetrics' Frechet distance for what
fidelity makes of features. Where the machine has other work, the seconds of the processor, of all threads together,
are those to compare.

Last, a step of a small classifier alone, and of two of them in threads and in processes: what side by side can save.

The benchmark exits 0 whatever the numbers.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch
from secagg.meter import machine
from sklearn.neighbors import NearestNeighbors

from fedgen.evidence.audit.audited import audited, join, release_group
from fedgen.evidence.audit.nearest import nearest_patients
from fedgen.evidence.downstream.classifier import Training
from fedgen.evidence.known_features import digests
from fedgen.evidence.measure import Real
from fedgen.evidence.metrics.feature_moments import FeatureMoments, frechet
from fedgen.evidence.workers import cores
from fedgen.pipeline.question import question_of
from fedgen.pipeline.runner import run_again
from fedgen.pipeline.simulation import Simulation
from fedgen.pipeline.site_numbers import released
from fedgen.pipeline.stages import ASSESS, PREPARE, SYNTHESIZE, TRAIN
from fedgen.pipeline.watch import SILENT, Watcher
from fedgen.study.load import load_study

HERE = Path(__file__).parent
#: Seconds that the stage may take on two cores.
TARGETS = {"demo": 60.0, "chest_xray": 600.0}
#: Rows that are printed.
DEAREST = 12
#: Of a network that is timed alone and beside another.
STEPS = 150


class Clock:
    """Seconds since the last row of the same thread and the same patients, by whose patients and by title."""

    def __init__(self) -> None:
        self.rows: dict[tuple[str, str], float] = {}
        self._begun, self._at = time.perf_counter(), dict[tuple[int, str], float]()

    def told(self, whose: str, title: str) -> None:
        now, me = time.perf_counter(), (threading.get_ident(), whose)
        self.rows[whose, title] = self.rows.get((whose, title), 0.0) + now - self._at.get(me, self._begun)
        # What is begun anew begins where something else has just ended.
        self._at[me] = self._begun = now


def seconds(of: Callable[[], object]) -> tuple[float, float]:
    """Of the wall and of the processor."""
    wall, cpu = time.perf_counter(), time.process_time()
    of()
    return time.perf_counter() - wall, time.process_time() - cpu


def assessed(preset: str, overrides: Sequence[str], data: Path | None, out: Path) -> tuple[Simulation, Any]:
    """A run with its evidence, and how long that took."""
    here = Simulation.create(load_study(preset, overrides), data, out, accepted=True)
    for stage in (PREPARE, TRAIN, SYNTHESIZE):
        stage.action(here, SILENT)
    clock = Clock()
    watcher: Watcher = replace(SILENT, measured=clock.told)
    wall, cpu = seconds(lambda: run_again(here, ASSESS, watcher))
    by_title: dict[str, float] = {}
    for (_, title), spent in clock.rows.items():
        by_title[title] = by_title.get(title, 0.0) + spent
    images = here.work.study.synthesis.images
    target = TARGETS[preset]
    met = "met" if wall < target else "missed"
    made = released(question_of(here.work))
    distinct = None if made is None else len(set(digests(made.images)))
    print(
        f"\n{preset}, {images} synthetic images, {distinct} of them different: "
        f"{wall:.1f} s, {cpu:.1f} s of the processor"
    )
    print(f"at most {target:.0f} s on two cores: {met}")
    print(f"{'row; the audits run beside the others':<66}{'seconds':>9}")
    for title, spent in sorted(by_title.items(), key=lambda row: -row[1])[:DEAREST]:
        print(f"{title[:64]:<66}{spent:>9.2f}")
    return here, {"wall": wall, "cpu": cpu, "images": images, "distinct": distinct, "rows": by_title}


def peers(here: Simulation) -> dict[str, Any]:
    """Ours and theirs on the demo's arrays."""
    made = released(question_of(here.work))
    assert made is not None
    real = Real(here.sites)
    train, synthetic = join([site.train for site in audited(real)]), release_group(real, made)
    # Equal queries: images of mirrors and the patients are what ours looks at besides.
    both = torch.cat([synthetic.features, synthetic.mirrors]).numpy()
    search = NearestNeighbors(n_neighbors=11, algorithm="brute").fit(train.features.numpy())
    features = synthetic.features[:, ::8].double()
    of_real = train.features[:, ::8].double()
    rows = {
        "nearest patients, with mirrors": (
            lambda: nearest_patients(synthetic.features, synthetic.mirrors, train.features, train.patients),
            lambda: search.kneighbors(both),
        ),
        "Frechet distance of 128 features": (
            lambda: frechet(FeatureMoments.of(of_real.numpy()), FeatureMoments.of(features.numpy())),
            lambda: _of_torchmetrics(of_real, features),
        ),
    }
    found = {}
    print(f"\n{'part':<44}{'ours cpu s':>12}{'peer cpu s':>12}{'peer / ours':>13}")
    for name, (ours, theirs) in rows.items():
        ours()
        mine, peer = seconds(ours), seconds(theirs)
        print(f"{name:<44}{mine[1]:>12.2f}{peer[1]:>12.2f}{peer[1] / mine[1]:>13.2f}")
        found[name] = {"ours": mine, "peer": peer}
    return found


def _of_torchmetrics(real: torch.Tensor, made: torch.Tensor) -> float:
    from torchmetrics.image.fid import FrechetInceptionDistance

    class Through(torch.nn.Module):
        num_features = real.shape[1]

        def forward(self, features: torch.Tensor) -> torch.Tensor:
            return features

    metric = FrechetInceptionDistance(feature=Through(), normalize=True).set_dtype(torch.float64)
    metric.update(real, real=True)
    metric.update(made, real=False)
    return float(metric.compute())


def train(side: int) -> None:
    """One small network for `STEPS` steps on one thread."""
    torch.set_num_threads(1)
    images = torch.rand(600, 1, side, side) * 2 - 1
    training = Training(images, torch.arange(600) % 2, 2, seed=0)
    for _ in range(STEPS):
        training.step()


def both(pool: Executor, side: int) -> None:
    """Two networks at the same time."""
    list(pool.map(train, [side] * 2))


def two_at_a_time() -> dict[str, dict[str, float]]:
    """Milliseconds a step of a network alone, and a step of each of two in threads and in processes."""
    print(f"\n{'ms a step and network':<26}{'alone':>9}{'2 threads':>12}{'2 processes':>13}")
    found = {}
    for side in (32, 64):
        train(side)
        rows = {"alone": seconds(partial(train, side))[0] / STEPS}
        pools = {
            "threads": ThreadPoolExecutor(2),
            "processes": ProcessPoolExecutor(2, mp_context=get_context("spawn")),
        }
        for name, pool in pools.items():
            with pool:
                # Once before, so that no start is measured.
                both(pool, side)
                rows[name] = seconds(partial(both, pool, side))[0] / (2 * STEPS)
        found[f"{side} x {side}"] = rows
        shown = [1000 * rows[name] for name in ("alone", "threads", "processes")]
        print(f"{side} x {side:<21}{shown[0]:>9.1f}{shown[1]:>12.1f}{shown[2]:>13.1f}")
    return found


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=10_000, help="synthetic images of the demo")
    parser.add_argument("--ccx", type=Path, help="folder of the chest X-rays; left out without")
    parser.add_argument("--threads", type=int, default=2, help="cores to use, whatever OMP_NUM_THREADS says")
    parser.add_argument("--out", type=Path, default=HERE / "results" / "evidence.json")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    # What the environment says would keep the networks that are trained side by side to fewer cores.
    os.environ["OMP_NUM_THREADS"] = str(arguments.threads)
    load = round(os.getloadavg()[0], 1)
    about = {**machine(), "torch": torch.__version__, "threads": cores(), "load before": load}
    print(", ".join(f"{key} {value}" for key, value in about.items()), flush=True)
    with tempfile.TemporaryDirectory() as folder:
        here, demo = assessed("demo", [f"synthesis.images={arguments.images}"], None, Path(folder))
        result: dict[str, Any] = {"machine": about, "demo": demo, "peers": peers(here)}
        result["two at a time"] = two_at_a_time()
        if arguments.ccx is None:
            print("\nchest_xray: left out, for no --ccx names its images")
        else:
            _, result["chest_xray"] = assessed("chest_xray", [], arguments.ccx, Path(folder))
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(result, indent=1) + "\n")
    print(f"\nwrote {arguments.out}")


if __name__ == "__main__":
    main()
