"""Which synthetic images are suspected copies: nearer to ONE training patient than any other person is.

The score of an image is its isolation (`nearest.isolation`). Held-out patients say how isolated an image of
another person can be: the threshold tau is their r-th smallest score, one image a patient, and a synthetic
image below tau is a suspected copy. Fisher's exact test stays exact with a tau chosen this way
(`proportions.fisher_greater`), so no held-out patient is spent on calibration alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from fedgen.evidence.audit.comparison import Cell
from fedgen.evidence.audit.nearest import isolation
from fedgen_privacy.statistics.patients import one_image_each
from fedgen_privacy.statistics.proportions import fisher_greater

#: share of held-out patients below tau, so that one person held under two identities cannot hide copies
QUANTILE = 0.02

#: an image this isolated is a near copy: four times as near to one patient as to the next ten. Chest X-rays of
#: different people (64 pixels) stayed above 0.3; copies with 5 % noise stayed below 0.2
NEAR_COPY = 0.25


@dataclass(frozen=True)
class Suspects:
    """Suspected copies in one cell.

    Attributes:
        tau: the threshold.
        flagged: (n,) bool, synthetic images below tau.
        train_patients: training patients who are nearest to a flagged image.
        base: held-out patients below tau, by choice of tau.
        base_patients: held-out patients.
    """

    tau: float
    flagged: Tensor
    train_patients: int
    base: int
    base_patients: int

    @property
    def beyond(self) -> float:
        """Share of synthetic images that are suspected beyond likeness: the share of held-out patients is taken off.

        (s - b) / (1 - b), at least 0, as of the risks beyond a control of Giomi et al. (2023, equation 4).
        """
        share, base = float(self.flagged.double().mean()), self.base / self.base_patients
        return max(0.0, (share - base) / (1 - base)) if base < 1 else 0.0

    @property
    def p(self) -> float:
        """Fisher's exact p-value against "no more suspected copies than among held-out patients"."""
        return fisher_greater(int(self.flagged.sum()), self.flagged.numel(), self.base, self.base_patients)


def suspects(cell: Cell, seed: int) -> Suspects:
    """The synthetic images nearer to one training patient than all but 2 % of the held-out patients are."""
    chosen = one_image_each(cell.held_out_patients.numpy(), np.random.default_rng(seed))
    scores = np.sort(isolation(cell.held_out)[torch.from_numpy(chosen)].numpy())
    base = int(QUANTILE * scores.size)
    tau = float(scores[base])
    flagged = isolation(cell.synthetic) < tau
    copied = int(torch.unique(cell.synthetic.patient[flagged, 0]).numel())
    return Suspects(tau, flagged, copied, base, int(scores.size))


@dataclass(frozen=True)
class NearCopies:
    """Synthetic images within a fixed fraction of the distance that separates people.

    Attributes:
        count: synthetic images with an isolation below `NEAR_COPY`.
        patients: training patients of whom they are.
        base: real patients as near to ANOTHER patient, held-out and training together.
        p: Fisher's p-value against "no more near copies than real patients as near to another".
    """

    count: int
    patients: int
    base: int
    p: float


def near_copies(cell: Cell, seed: int) -> NearCopies:
    """Near copies, with all real patients as the base.

    The threshold is fixed beforehand, so training patients, compared with each other, may join the base, and
    rarer copies are seen than with held-out patients alone. Two training patients can be each other's
    nearest, which makes their scores come in pairs: half of them count.
    """
    chosen = one_image_each(cell.held_out_patients.numpy(), np.random.default_rng(seed))
    held_out = isolation(cell.held_out)[torch.from_numpy(chosen)] < NEAR_COPY
    train = isolation(cell.train) < NEAR_COPY
    near = isolation(cell.synthetic) < NEAR_COPY
    count, patients = int(near.sum()), int(torch.unique(cell.synthetic.patient[near, 0]).numel())
    base = int(held_out.sum()) + int(train.sum())
    trials = held_out.numel() + max(1, train.numel() // 2)
    p = fisher_greater(count, int(cell.synthetic.distance.shape[0]), min(base, trials), trials)
    return NearCopies(count, patients, base, p)
