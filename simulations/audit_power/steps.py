"""What an attacker proves of a private step of a family that is trained by gradients: one patient, in or out by a coin.

    python simulations/audit_power/steps.py [--readme simulations/audit_power/README.md] [--steps 1000] [--family vae]

The installed gradients, clip and noise of each family's small network, on patients of noise. The attacker knows every
other patient and what was drawn, and guesses by the projection on the canary's clipped gradient. The same with 30 % of
the noise planted, which is what nothing in the images would show.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from readme_of import publish, table
from torch import Tensor
from worlds import DELTA

from fedgen.selftest.patients import COUNTS, batch
from fedgen.selftest.subject import Subject, installed, perturbed, stepping_families
from fedgen.training.joint import JointBatch
from fedgen_privacy.accounting import Spend, calibrate_noise, epsilon_reported
from fedgen_privacy.gradients.protocol import records_of
from fedgen_privacy.gradients.tree import tree_map
from fedgen_privacy.random import SecretRandom
from fedgen_privacy.statistics.two_worlds import epsilon_lower_bound

EPSILONS, PLANTED = (1.0, 3.0), 0.3
HEADER = ["family", "epsilon claimed", "sigma", "wrong guesses", "bound (95 %)", "bound at 30 % of the noise"]


class WeakNoise(SecretRandom):
    """30 % of the noise that is accounted."""

    def gaussian(self, shape: torch.Size | tuple[int, ...], std: float) -> Tensor:
        """See `SecretRandom.gaussian`."""
        return super().gaussian(shape, PLANTED * std)


class Attacked:
    """A family's private step, and what the attacker knows of it."""

    def __init__(self, subject: Subject) -> None:
        self._joint, networks = subject.joint, perturbed(subject, torch.float32)
        self._subject, self._values = subject, self._joint.values(networks)
        self._per_record = subject.per_record(networks)
        everyone: JointBatch = tree_map(
            lambda tensor: tensor.float() if tensor.is_floating_point() else tensor, batch(subject)
        )
        self._in_batch = {True: everyone, False: records_of(everyone, 1, len(COUNTS))}
        alone = (records_of(everyone, b, b + 1) for b in range(len(COUNTS)))
        # Shorter than any patient's gradient, so that the canary's is as long as it can be.
        self._clip = 0.5 * min(float(self._sum(one, 1e9, 0.0, SecretRandom()).norm()) for one in alone)
        self._without = self._sum(self._in_batch[False], self._clip, 0.0, SecretRandom())
        self._vector = self._sum(everyone, self._clip, 0.0, SecretRandom()) - self._without

    def _sum(self, patients: JointBatch, clip: float, sigma: float, random: SecretRandom) -> Tensor:
        step = self._subject.step(
            clipping_norm=clip,
            noise_multiplier=sigma,
            expected_batch=1.0,
            loss_bounds=self._joint.loss_bounds,
            chunk=len(COUNTS),
        )
        found = step(self._per_record, self._values, self._joint.batch(patients), random)
        return torch.cat([gradient.flatten() for gradient in found.gradients.values()]).double()

    def errors(self, sigma: float, steps: int, *, weak: bool) -> int:
        """How many of so many guesses are wrong."""
        # The threshold is half of the canary's length, fixed before any step.
        middle = self._vector @ self._vector / 2
        wrong = 0
        for there in np.random.default_rng().random(steps) < 0.5:
            random = WeakNoise() if weak else SecretRandom()
            released = self._sum(self._in_batch[bool(there)], self._clip, sigma, random)
            wrong += bool((released - self._without) @ self._vector > middle) != there
        return wrong


def line(attacked: Attacked, family: str, epsilon: float, steps: int) -> list[str]:
    """A row of the table."""
    sigma = calibrate_noise(epsilon=epsilon, delta=DELTA, sampling_rate=1.0, steps=1)
    wrong, weak = (attacked.errors(sigma, steps, weak=each) for each in (False, True))
    return [
        family,
        f"{epsilon_reported([Spend(sigma, 1.0, 1)], DELTA):.2f}",
        f"{sigma:.3g}",
        f"{wrong / steps:.1%}",
        f"{epsilon_lower_bound(wrong, steps, DELTA):.2f}",
        f"{epsilon_lower_bound(weak, steps, DELTA):.2f}",
    ]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--readme", type=Path, help="README whose table is written anew")
    parser.add_argument("--steps", type=int, default=1000, help="of each row, each with a coin")
    known = stepping_families()
    parser.add_argument("--family", choices=known, nargs="+", default=["vae", "diffusion", "gan"])
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    for family in arguments.family:
        attacked = Attacked(installed(family))
        rows += [line(attacked, family, epsilon, arguments.steps) for epsilon in EPSILONS]
    publish("steps", table(HEADER, rows), arguments.readme)


if __name__ == "__main__":
    main()
