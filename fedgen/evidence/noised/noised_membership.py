"""The membership attack as patients may tell of it: in which bin of the attack's score she is, by her part."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
import torch

from fedgen.data.site_data import LabelledImages, Part, SiteData
from fedgen.evidence.noised.bins import BINS, FloatArray, crowded, edges_of, shares_of
from fedgen.evidence.noised.block import NoisedBlock, NoisedRow, Sums
from fedgen.evidence.open_model import Score
from fedgen.run.row import Finding, Value, Verdict
from fedgen.task.task import Task
from fedgen.training.noise_site import noise_site
from fedgen_privacy.statistics.dp_bounds import auc_bound, replace_one
from fedgen_privacy.statistics.noised_counts import (
    epsilon_seen,
    noised_advantage,
    noised_auc,
    noised_share,
    smallest_auc,
)

#: Released images whose scores make the bins, and the standard deviations of what is added to them, so that bins reach
#: from images as the model makes them to those that are far from all it knows.
REFERENCES, BLURRED = 40, (0.0, 0.05, 0.1, 0.2, 0.4)
#: An attack that could not have seen an AUC below this says nothing.
BLIND = 0.75
ABOUT = (
    "The attack `loss` of the model on training and on held-out patients, in bins of the score that were fixed on "
    "synthetic images beforehand. Only noised counts left the sites; intervals include that noise. Every other audit "
    "stayed at the sites."
)


def reference_scores(score: Score, task: Task, made: LabelledImages) -> FloatArray:
    """Scores of released images, as they are and disturbed; no patient is read.

    Args:
        score: the attack.
        task: of the study.
        made: the release.
    """
    chosen = torch.linspace(0, len(made.images) - 1, min(REFERENCES, len(made.images))).long()
    rng = torch.Generator().manual_seed(0)
    images = made.images[chosen]
    disturbed = torch.cat([images + std * torch.randn(images.shape, generator=rng) for std in BLURRED])
    owners = torch.arange(len(disturbed))
    site = replace(
        noise_site(task, owners, rng),
        images=disturbed.clamp(-1, 1).half(),
        labels=made.labels[chosen].repeat(len(BLURRED)),
        classes=task.classes or ("noise",),
    )
    if made.masks is not None:
        masks = made.masks[chosen]
        site = replace(site, masks=masks.repeat(len(BLURRED), *(1 for _ in masks.shape[1:])))
    return one_sign(score)(site)


def one_sign(score: Score) -> Callable[[SiteData], FloatArray]:
    """The attack's score of each image, the mean where it has several signs."""

    def found(site: SiteData) -> FloatArray:
        values = score(site).double()
        numbers: FloatArray = (values if values.ndim == 1 else values.mean(dim=1)).numpy()
        return numbers

    return found


@dataclass(frozen=True)
class NoisedMembership(NoisedBlock):
    """Counts of training and of held-out patients by bin of the attack's score.

    Attributes:
        score: of a site's images; None where only sums are read.
        edges: of the bins; None likewise.
        alpha: 1 - confidence.
        epsilon, delta: what the training patients were promised.
    """

    kind = "audit"
    parts = (Part.TRAIN, Part.AUDIT)

    score: Callable[[SiteData], FloatArray] | None
    edges: FloatArray | None
    alpha: float
    epsilon: float
    delta: float
    id: str = "noised-membership"
    share: float = 1.0
    names: tuple[str, ...] = field(
        default=tuple(f"{who}, bin {b + 1}" for who in ("training", "held out") for b in range(BINS))
    )

    def of_patient(self, patient: SiteData, part: Part) -> FloatArray:
        """See `NoisedBlock.of_patient`: shares of her images by bin, among the training or the held-out patients."""
        assert self.score is not None and self.edges is not None
        told = np.zeros(2 * BINS)
        first = 0 if part is Part.TRAIN else BINS
        told[first : first + BINS] = shares_of(self.score(patient), self.edges)
        return told

    def row(self, sums: Sums) -> NoisedRow:
        """See `NoisedBlock.row`; the verdict is REVIEW at best, because no other audit was told."""
        members, others = sums.values[:BINS], sums.values[BINS:]
        area = noised_auc(members, others, sums.noise, self.alpha)
        least = smallest_auc(members, others, sums.noise, self.alpha)
        upper = (np.arange(BINS) >= BINS // 2).astype(np.float64)
        advantage = noised_advantage((members, upper), (others, upper), sums.noise, self.alpha)
        sides = [noised_share(side, upper, sums.noise, self.alpha) for side in (members, others)]
        permitted = auc_bound(*replace_one(self.epsilon, self.delta))
        return NoisedRow(
            id=self.id,
            title="Membership inference with noised counts",
            group="audit",
            about=ABOUT,
            values=(
                Value(name="AUC", value=area.value, low=area.low, high=area.high, chance=0.5),
                Value(name="smallest detectable AUC", value=least, note="80 % power, noise included"),
                Value(name="AUC permitted", value=permitted, note="of a split of fixed size: 2 epsilon"),
                Value(name="TPR less FPR", value=advantage.value, low=advantage.low, high=advantage.high),
                Value(
                    name="epsilon seen, at least",
                    value=epsilon_seen(sides[0], sides[1], self.delta),
                    note="at the middle edge, of a split of fixed size; 0 where nothing was seen",
                ),
                *self.counts(sums),
            ),
            findings=(self._finding(sums, area.low, least, permitted),),
            note=f"Noise of standard deviation {sums.noise:.3g} is in every count.",
        )

    def _finding(self, sums: Sums, low: float, least: float, permitted: float) -> Finding:
        if low > permitted:
            return Finding(
                verdict=Verdict.FAIL,
                sentence=f"The attack's AUC is above {low:.2f}, more than the {permitted:.2f} that epsilon "
                f"{self.epsilon:.3g} permits.",
            )
        if low > 0.5:
            return Finding(
                verdict=Verdict.REVIEW,
                sentence=f"Training patients score higher than held-out patients: the AUC is above {low:.2f}, within "
                "the claimed epsilon.",
            )
        if crowded(sums.values[:BINS] + sums.values[BINS:]):
            return Finding(
                verdict=Verdict.INSUFFICIENT,
                sentence="Nearly all patients are in one bin of the attack's score, so that the counts tell nothing.",
            )
        if least > BLIND:
            seen = "no AUC at all" if least >= 1 else f"no AUC below about {least:.2f}"
            return Finding(
                verdict=Verdict.INSUFFICIENT,
                sentence=f"The noise swamps the counts: {seen} would have been seen.",
            )
        return Finding(
            verdict=Verdict.REVIEW,
            sentence=f"The attack finds nothing, and would have seen an AUC of {least:.2f}; no other audit was told, "
            "so that a person has to judge whether this is enough.",
        )


def with_score(block: NoisedMembership, score: Score, task: Task, made: LabelledImages) -> NoisedMembership:
    """The block as a site has it, its bins made of the release.

    Args:
        block: without a score.
        score: the attack `loss`.
        task: of the study.
        made: the release.
    """
    edges = edges_of(reference_scores(score, task, made))
    return replace(block, score=one_sign(score), edges=edges)
