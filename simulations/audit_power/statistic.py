"""What attackers prove of private sums: one patient, in or out by a coin, and the released model's own audit.

    python simulations/audit_power/statistic.py [--sums 2000] [--worlds 10] [--family latent]

First table: the installed code of each family of statistics, at the noise that a study of that epsilon has, in
thousands of sums; the bound of epsilon that the guesses prove (95 %), and the same with 30 % of the noise planted.
Second: the membership audit's attack on the released model, 20 patients against 20 held-out ones.
"""

from __future__ import annotations

import argparse
import math
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from fedgen.data.site_data import Part, SiteData
from fedgen.families.contract import statistics_of
from fedgen.families.registry import family_class, specs
from fedgen.mechanisms.schedule import Query
from fedgen.mechanisms.statistics import advanced, levels_of_site, mean_of_site
from fedgen.selftest.sum_canaries import errors
from fedgen.selftest.sums import SumSubject, installed_sums
from fedgen.task.image_spec import ImageSpec
from fedgen.task.records import one_image_each
from fedgen.task.task import image_of_class
from fedgen.training.local import LocalPlan
from fedgen.training.training_patients import TrainingPatients
from fedgen_privacy.accounting import Spend, calibrate_noise, epsilon_reported
from fedgen_privacy.random import SecretRandom
from fedgen_privacy.statistics.auc import auc
from fedgen_privacy.statistics.two_worlds import epsilon_lower_bound

DELTA = 1e-3
EPSILONS = (1.0, 2.0, 3.0, 1e4)
PLANTED = 0.3
PATIENTS, SIDE = 20, 32
#: Of the second moments, without which the second table would have means alone, and nothing to find.
MOMENTS = 0.65


def weakened(subject: SumSubject) -> SumSubject:
    """The subject with 30 % of the noise, of a site alone and of the sites together."""

    def mean(*arguments: object) -> Tensor:
        *others, sigma, random = arguments
        return mean_of_site(*others, None if sigma is None else PLANTED * sigma, random)  # type: ignore[arg-type, operator]

    def levels(*arguments: object) -> Tensor:
        *others, share, random = arguments
        weak = replace(share, std=max(0.5, PLANTED * share.std))  # type: ignore[type-var, attr-defined]
        return levels_of_site(*others, weak, random)  # type: ignore[arg-type]

    return replace(subject, mean=mean, levels=levels)


def canaries(sums: int, families: list[str]) -> None:
    """The first table."""
    print(f"\nOne patient in {sums} sums, delta {DELTA:g}\n")
    print(
        "| family | mode | epsilon claimed | sigma | wrong guesses | bound (95 %) | bound at 30 % of the noise |"
    )
    print("|---|---|---|---|---|---|---|")
    for name in families:
        for subject in installed_sums(name):
            for mode in ("local", "distributed"):
                for epsilon in EPSILONS:
                    discrete = mode == "distributed"
                    sigma = calibrate_noise(
                        epsilon=epsilon, delta=DELTA, sampling_rate=1.0, steps=1, discrete=discrete
                    )
                    claim = epsilon_reported([Spend(sigma, 1.0, 1, discrete)], DELTA)
                    wrong, weak = (
                        errors(each, sigma, sums, together=discrete) for each in (subject, weakened(subject))
                    )
                    cells = (name, mode, f"{claim:.2f}", f"{sigma:.3g}", f"{wrong / sums:.1%}")
                    bounds = (f"{epsilon_lower_bound(each, sums, DELTA):.2f}" for each in (wrong, weak))
                    print("| " + " | ".join((*cells, *bounds)) + " |", flush=True)


def textures(seed: int) -> tuple[SiteData, Tensor]:
    """A site of `PATIENTS` smooth random textures, and as many of others."""
    rng = torch.Generator().manual_seed(seed)
    coarse = torch.randn(2 * PATIENTS, 1, 6, 6, generator=rng)
    images = (0.3 * interpolate(coarse, size=(SIDE, SIDE), mode="bicubic", align_corners=True)).clamp(-1, 1)
    labels, patients = torch.zeros(PATIENTS, dtype=torch.int64), torch.arange(PATIENTS)
    parts = torch.full((PATIENTS,), int(Part.TRAIN))
    return SiteData("site", ("a",), images[:PATIENTS].half(), labels, patients, parts), images.half().float()


def attack(epsilon: float, d: int, seed: int) -> float:
    """AUC of the released model's score of patients in the sum, of family latent, against others."""
    site, images = textures(seed)
    task = image_of_class(ImageSpec(channels=1, size=(SIDE, SIDE)), ("a",))
    family = family_class("latent")(task, specs()["latent"].options(latent_size=d, moment_weight=MOMENTS))
    networks, (statistic,) = family.networks(), statistics_of(family)
    sigma = None
    if math.isfinite(epsilon):
        sigma = calibrate_noise(epsilon=epsilon, delta=DELTA, sampling_rate=1.0, steps=1)
    plan = LocalPlan(
        steps=1, batch=1, sampling_rate=1.0, images=1, multiplicity=1, chunk=8, device="cpu", mechanism=None
    )
    query, cohort = Query(statistic), TrainingPatients(site, 1)
    mean = mean_of_site(query, networks, cohort, plan, sigma, SecretRandom())
    networks = advanced(query, networks, mean, (sigma or 0.0) / PATIENTS)
    records = one_image_each({"image": images, "class": torch.zeros(len(images), dtype=torch.int64)})
    scores = family.score(networks, records, torch.Generator()).detach().double().numpy()
    return auc(scores[:PATIENTS], scores[PATIENTS:])


def members(worlds: int) -> None:
    """The second table."""
    sizes = (8, 16, 24, 32, 64)
    print(
        f"\nAUC of the audit's attack on the model, {PATIENTS} patients, mean and sd over {worlds} cohorts\n"
    )
    print("| epsilon | " + " | ".join(f"d = {d}" for d in sizes) + " |\n" + "|---" * (len(sizes) + 1) + "|")
    for epsilon in (math.inf, 1e4, 10.0, 3.0, 1.0):
        found = [np.array([attack(epsilon, d, seed) for seed in range(worlds)]) for d in sizes]
        shown = "no privacy" if math.isinf(epsilon) else f"{epsilon:g}"
        print(
            f"| {shown} | " + " | ".join(f"{each.mean():.2f} ± {each.std():.2f}" for each in found) + " |",
            flush=True,
        )


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sums", type=int, default=2000, help="sums of each row, each with a coin")
    parser.add_argument("--worlds", type=int, default=10, help="cohorts of each cell of the second table")
    families = [name for name, spec in specs().items() if spec.sums]
    parser.add_argument("--family", choices=families, nargs="+", default=families, help="of the first table")
    arguments = parser.parse_args()
    canaries(arguments.sums, arguments.family)
    members(arguments.worlds)


if __name__ == "__main__":
    main()
