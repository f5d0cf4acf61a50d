"""How wide the intervals of paid evidence are: `python benchmarks/noised_evidence.py`, seconds of CPU, no patient.

For each epsilon that a study may give its evidence, and each number of patients at each of some sites, noised counts
are drawn as sites draw them: n test patients, half of either class, scored by a classifier whose AUROC is 0.85; n
training and n / 2 held-out patients whom an attack does not tell apart. Means over the draws.
"""

from __future__ import annotations

import math

import numpy as np
from scipy.stats import norm

from fedgen.evidence.noised.bins import BINS
from fedgen.evidence.noised.noised_rows import WORTH
from fedgen_privacy.accounting import calibrate_noise
from fedgen_privacy.statistics.noised_counts import noised_auc, noised_share, smallest_auc

EPSILONS, PATIENTS, SITES = (0.5, 1.0, 2.0), (50, 200), (1, 4)
DELTA, ALPHA, DRAWS, AUROC = 1e-5, 0.05, 200, 0.85


def shares(auroc: float) -> tuple[np.ndarray, np.ndarray]:
    """Shares by bin of a class and of the other, whose scores are normal and parted evenly over both together."""
    apart = math.sqrt(2) * float(norm.ppf(auroc))
    fine = np.linspace(-6, 6 + apart, 20001)
    both = (norm.cdf(fine) + norm.cdf(fine - apart)) / 2
    edges = np.interp(np.arange(1, BINS) / BINS, both, fine)
    return tuple(np.diff(np.concatenate([[0], norm.cdf(edges - at), [1]])) for at in (apart, 0.0))


def width(found) -> float:
    return found.high - found.low


def row(epsilon: float, patients: int, sites: int, rng: np.random.Generator) -> list[str]:
    sigma = calibrate_noise(epsilon=epsilon, delta=DELTA, sampling_rate=1.0, steps=1)
    n, noise = patients * sites, sigma * math.sqrt(sites)
    of_worth = noise / math.sqrt(WORTH)
    own, others = shares(AUROC)
    flat, right = np.full(BINS, 1 / BINS), np.zeros(2 * BINS, dtype=bool)
    right[:BINS], right[BINS:] = np.arange(BINS) >= BINS // 2, np.arange(BINS) < BINS // 2

    def drawn(count: int, by_bin: np.ndarray, std: float) -> np.ndarray:
        return rng.multinomial(count, by_bin) + std * rng.standard_normal(BINS)

    areas, accuracies, attacks, least = [], [], [], []
    for _ in range(DRAWS):
        a, b = drawn(n // 2, own, of_worth), drawn(n - n // 2, others, of_worth)
        areas.append(noised_auc(a, b, of_worth, ALPHA))
        accuracies.append(noised_share(np.concatenate([a, b]), right.astype(float), of_worth, ALPHA))
        members, held_out = drawn(n, flat, noise), drawn(n // 2, flat, noise)
        attacks.append(noised_auc(members, held_out, noise, ALPHA))
        least.append(smallest_auc(members, held_out, noise, ALPHA))
    seen = np.mean([found.low > 0.5 for found in areas])
    return [
        f"{epsilon:g}",
        f"{sites} x {patients}",
        f"{sigma:.2f}",
        f"{np.mean([width(found) for found in areas]):.2f}",
        f"{seen:.0%}",
        f"{np.mean([width(found) for found in accuracies]):.2f}",
        f"{np.mean([width(found) for found in attacks]):.2f}",
        f"{np.mean(least):.2f}",
    ]


def main() -> None:
    """Print the table."""
    rng = np.random.default_rng(0)
    print(
        "| epsilon | patients | sigma | AUROC | above 0.5 | accuracy | AUC of the attack | smallest AUC seen |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for epsilon in EPSILONS:
        for sites in SITES:
            for patients in PATIENTS:
                print(f"| {' | '.join(row(epsilon, patients, sites, rng))} |")


if __name__ == "__main__":
    main()
