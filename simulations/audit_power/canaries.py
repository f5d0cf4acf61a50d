"""What a run's own canaries prove: of a training as it should be, and of one with too little noise or none.

    python simulations/audit_power/canaries.py [--readme simulations/audit_power/README.md] [--only sums]

Everything is the installed code: sites make canaries, flip and keep coins, train, and guess by the loss of the model.
Only the noise of the rows that say so is planted. `sums` are runs of the family `latent`; `gradients` are of a small
autoencoder, whose canaries are many beside its patients, as in a run for the audit alone.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from readme_of import publish, table
from worlds import DELTA, SIDE, site_of, study_of, trained_on

from fedgen.evidence.audit.canary_audit import Counts, guessed, summed_counts
from fedgen.mechanisms.statistics import mean_of_site
from fedgen.study.study import Study
from fedgen.training.canary_coins import kept_canaries
from fedgen_privacy.statistics.one_run import detectable, epsilon_lower_bound
from fedgen_privacy.step import GaussianStep

#: Of studies with thousands of canaries, since the bound pays for each by delta.
SMALL = 1e-5


@contextmanager
def planted(factor: float) -> Iterator[None]:
    """Training with the noise times this; the accounting knows nothing of it."""

    def weak(*arguments: Any) -> torch.Tensor:
        *others, sigma, random = arguments
        return mean_of_site(*others, None if not sigma or not factor else factor * sigma, random)

    def step(**arguments: Any) -> GaussianStep:
        made = GaussianStep(**arguments)
        return replace(made, noise_multiplier=max(factor, 1e-6) * made.noise_multiplier)

    with (
        patch("fedgen.mechanisms.averaging.mean_of_site", weak),
        patch("fedgen.training.local.GaussianStep", step),
    ):
        yield


def counts_of_run(study: Study, patients: int, seed: int) -> Counts:
    """Of one run of one site."""
    site = site_of(patients, 0, seed)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "run"
        model = trained_on(study, [site], folder)
        sha256 = model.recipe.sha256
        canaries = kept_canaries(study, sha256, site, folder / "sites" / site.site, begun=True)
    assert canaries is not None
    return guessed(model.attacked().attacks["loss"], canaries, study.audit.canary_sides, seed)


def line(study: Study, patients: int, runs: int, factor: float) -> list[str]:
    """A row: what was claimed, what the noise was, and what was proven."""
    with planted(factor):
        counts = summed_counts(counts_of_run(study, patients, seed) for seed in range(runs))
    claimed, bound = study.privacy.epsilon, epsilon_lower_bound(*counts, study.privacy.delta)
    noise = {1.0: "as accounted", 0.0: "none"}.get(factor, f"{factor:g} of it")
    return [
        f"{claimed:g}",
        noise,
        f"{runs} x {study.audit.canaries}",
        f"{counts.right} of {counts.guesses}",
        f"{bound:.2f}",
        f"{detectable(counts.canaries, counts.guesses, study.privacy.delta):.2f}",
        "above the claim" if bound > claimed else "not above",
    ]


HEADER = ["claimed", "noise", "canaries", "right guesses", "bound (95 %)", "at most", ""]


def of_sums(runs: int) -> str:
    """Runs of one sum over 200 patients and 200 canaries."""
    return table(HEADER, [each for epsilon in (1.0, 2.0) for each in sums_at(epsilon, runs)])


def sums_at(epsilon: float, runs: int) -> list[list[str]]:
    """The rows of runs that claim this epsilon."""
    study = study_of(
        "latent",
        {"latent_size": SIDE * SIDE},
        privacy={"epsilon": epsilon, "delta": SMALL},
        audit={"canaries": 200, "canary_share": 1.0, "canary_guesses": 0.1},
    )
    return [line(study, 200, runs, factor) for factor in (1.0, 0.3, 0.0)]


def of_gradients(runs: int) -> str:
    """Runs of 300 steps over 20 patients and 60 canaries."""
    study = study_of(
        "vae",
        {"channels": (16, 32), "latent_size": 16, "reconstruction_std": 0.1},
        training={"rounds": 1, "local_steps": 300, "batch_patients": 20, "ema": 0.0},
        privacy={"epsilon": 1.0, "delta": DELTA},
        audit={"canaries": 60, "canary_share": 3.0},
    )
    return table(HEADER, [line(study, 20, runs, factor) for factor in (1.0, 0.3, 0.0)])


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--readme", type=Path, help="README whose tables are written anew")
    parser.add_argument("--only", choices=("sums", "gradients"), help="one of the two tables")
    parser.add_argument("--runs", type=int, default=10, help="of each row of sums")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.only != "gradients":
        publish("canaries-sums", of_sums(arguments.runs), arguments.readme)
    if arguments.only != "sums":
        publish("canaries-gradients", of_gradients(1), arguments.readme)


if __name__ == "__main__":
    main()
