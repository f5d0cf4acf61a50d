"""Scores of the two attackers: with the model, and with the release only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fedgen.data.site_data import OF_IMAGES, SiteData
from fedgen.errors import DataError
from fedgen.evidence.audit.audited import AuditedGroup, AuditedSite
from fedgen.evidence.audit.membership import Scores
from fedgen.evidence.audit.nearest import nearest_patients
from fedgen.evidence.measure import Score

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


def _ask(score: Score, cohort: AuditedSite, seed: int) -> Scores:
    known = _together(cohort)
    # In random order, so that nothing a chunk shares (its noise, its size) can tell members apart.
    order = torch.from_numpy(np.random.default_rng(seed).permutation(known.n_images))
    scores = torch.empty(known.n_images, dtype=torch.float64)
    for rows in order.split(_CHUNK):
        given = score(known.only(rows)).detach().cpu()
        if given.shape != rows.shape or not torch.isfinite(given).all():
            raise DataError(
                f"The model's membership score of site {cohort.site} is not one finite number an image: "
                "the training has probably diverged, look at its losses."
            )
        scores[rows] = given.double()
    train, held_out = scores.split([cohort.train.n_images, cohort.held_out.n_images])
    return _scores(cohort, train, held_out)


def loss_attack(score: Score, cohorts: Sequence[AuditedSite], seed: int) -> list[Scores]:
    """Scores of the attacker who has the model (Yeom et al. 2018).

    Raises:
        DataError: a score is not finite.
    """
    return [_ask(score, cohort, seed) for cohort in cohorts]


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
