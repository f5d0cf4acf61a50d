"""What noise made by all sites costs, beside one trusted place and beside noise of each site.

    python benchmarks/distributed_noise.py

Two tables: the noise in a step's mean gradient by mode, and how long exact integer noise takes beside Gaussian noise of
the same cryptographic generator and beside torch's own, which is not secret.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch

from fedgen_privacy.accounting import calibrate_noise
from fedgen_privacy.discrete_gaussian import discrete_gaussian
from fedgen_privacy.distributed import noise_share
from fedgen_privacy.random import SecretRandom

RESULTS = Path(__file__).resolve().parent / "results" / "distributed_noise.json"
#: records of all sites, expected batch of all sites, steps, delta: MNIST at the size of DPDM
N, B, T, DELTA = 60_000, 4096, 4400, 1e-5
SITES = 4


def noise_by_mode() -> list[dict[str, float]]:
    """Standard deviation of the noise in the mean gradient, in units of C / B."""
    rows = []
    for epsilon in (10.0, 1.0, 0.2):
        options = {"epsilon": epsilon, "delta": DELTA, "sampling_rate": B / N, "steps": T}
        prv, rdp = calibrate_noise(**options), calibrate_noise(**options, discrete=True)
        share = noise_share(
            clipping_norm=1.0,
            noise_multiplier=rdp,
            dimension=1_750_000,
            expected_batch=B,
            needed=SITES,
            colluders=0,
            sites=SITES,
        )
        distributed = share.total_std(SITES)
        # Each site's mean is over B / n patients with noise sigma, and the mean of n such has noise sigma n / sqrt(n).
        local = prv * SITES**0.5
        rows.append(
            {
                "epsilon": epsilon,
                "central": prv,
                "distributed": distributed,
                "distributed / central": distributed / prv,
                "of which RDP": rdp / prv,
                "of which a site that tells": (SITES / (SITES - 1)) ** 0.5,
                "of which rounding": share.sensitivity / share.scale,
                "local": local,
                "local / distributed": local / distributed,
            }
        )
    return rows


def seconds(action: Callable[[], object], repetitions: int = 5) -> float:
    """Median time."""
    times = []
    for _ in range(repetitions):
        started = time.perf_counter()
        action()
        times.append(time.perf_counter() - started)
    return statistics.median(times)


def samplers() -> list[dict[str, float]]:
    """Seconds for noise on so many coordinates."""
    random, rows = SecretRandom(), []
    for d in (100_000, 1_750_000):
        exact = seconds(lambda d=d: discrete_gaussian(random, d, 2e5))
        secret = seconds(lambda d=d: random.gaussian((d,), 1.0))
        plain = seconds(lambda d=d: torch.randn(d))
        rows.append(
            {
                "coordinates": d,
                "exact integers": exact,
                "secret floats": secret,
                "torch.randn": plain,
                "integers / floats": exact / secret,
            }
        )
    return rows


def show(title: str, rows: list[dict[str, float]]) -> None:
    """Print a Markdown table."""
    print(f"\n{title}\n\n| " + " | ".join(rows[0]) + " |\n" + "| --- " * len(rows[0]) + "|")
    for row in rows:
        print("| " + " | ".join(f"{value:.4g}" for value in row.values()) + " |")


def main() -> None:
    """Measure, print, write."""
    torch.set_num_threads(1)
    noise, speed = noise_by_mode(), samplers()
    show(f"Noise in the mean gradient, in C / B ({N} records, batch {B}, {T} steps, {SITES} sites)", noise)
    show("Seconds for a step's noise, one thread", speed)
    RESULTS.write_text(json.dumps({"noise": noise, "seconds": speed}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
