"""Scores of the two attackers: with the model, and with the release only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fedgen.data.site_data import OF_IMAGES, SiteData
from fedgen.errors import DataError
from fedgen.evidence.audit.audited import AuditedGroup, AuditedSite, usable
from fedgen.evidence.audit.membership import Scores
from fedgen.evidence.audit.nearest import nearest_patients
from fedgen.evidence.measure import Real
from fedgen.evidence.open_model import Score

_CHUNK = 256


def _scores(cohort: AuditedSite, train: Tensor, held_out: Tensor) -> Scores:
    return Scores(
        cohort.site,
        train.double().numpy(),
        cohort.train.patients.numpy(),
        held_out.double().numpy(),
        cohort.held_out.patients.numpy(),
    )


def _together(cohort: AuditedSite) -> SiteData:
    train, held_out = cohort.train.known, cohort.held_out.known
    if train is None or held_out is None:
        raise TypeError("only images of a site can be asked for")
    both = {name: (getattr(train, name), getattr(held_out, name)) for name in OF_IMAGES}
    joined: dict[str, Any] = {name: torch.cat(two) for name, two in both.items() if two[0] is not None}
    return replace(train, **joined)


@dataclass(frozen=True)
class Signs:
    """What one attack says of the images of a site.

    Attributes:
        cohort: the site.
        train: (n, k) float64 signs of the training images; higher means more likely a training image.
        held_out: (h, k) of the held-out ones.
    """

    cohort: AuditedSite
    train: Tensor
    held_out: Tensor

    def scores(self) -> Scores:
        """The mean of the signs."""
        return _scores(self.cohort, self.train.mean(dim=1), self.held_out.mean(dim=1))


def _ask(score: Score, cohort: AuditedSite, seed: int) -> Signs:
    known = _together(cohort)
    # In random order, so that nothing a chunk shares (its noise, its size) can tell members apart.
    order = torch.from_numpy(np.random.default_rng(seed).permutation(known.n_images))
    chunks = []
    for rows in order.split(_CHUNK):
        given = score(known.only(rows)).detach().cpu()
        if given.shape[:1] != rows.shape or given.ndim > 2 or not torch.isfinite(given).all():
            raise DataError(
                f"The model's membership score of site {cohort.site} is not one finite number an image: "
                "the training has probably diverged, look at its losses."
            )
        chunks.append(given.double().reshape(len(rows), -1))
    signs = torch.cat(chunks)[torch.argsort(order)]
    train, held_out = signs.split([cohort.train.n_images, cohort.held_out.n_images])
    return Signs(cohort, train, held_out)


def asked(real: Real, score: Score, seed: int) -> list[Signs]:
    """What an attacker who has the model finds at each site with training and held-out patients, computed once.

    Raises:
        DataError: a sign is not finite.
    """
    return real.once(("signs", score, seed), lambda: [_ask(score, cohort, seed) for cohort in usable(real)])


def release_attack(cohorts: Sequence[AuditedSite], synthetic: AuditedGroup) -> list[Scores]:
    """Scores of the attacker who has the release only: minus the distance to the nearest synthetic image."""
    found = []
    for cohort in cohorts:
        sides = [
            -nearest_patients(
                group.features, group.mirrors, synthetic.features, synthetic.patients, depth=1
            ).distance[:, 0]
            for group in (cohort.train, cohort.held_out)
        ]
        found.append(_scores(cohort, sides[0], sides[1]))
    return found
