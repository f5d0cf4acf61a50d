"""What the release is worth as test patients may tell of it: how a classifier of synthetic images scores them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from fedgen.data.site_data import LabelledImages, Part, SiteData
from fedgen.evidence.downstream.linear import LINEAR
from fedgen.evidence.known_features import first_equal
from fedgen.evidence.middle import middle_slices
from fedgen.evidence.noised.bins import BINS, FloatArray, crowded, edges_about, edges_of, shares_of
from fedgen.evidence.noised.block import NoisedBlock, NoisedRow, Sums
from fedgen.run.row import Value
from fedgen_privacy.statistics.noised_counts import noised_auc, noised_share

#: (n, C, H, W) images -> (n, K) probabilities of the classes
Classifier = Callable[[Tensor], FloatArray]

ABOUT = (
    "A logistic regression on radiomics and a thumbnail, trained on the released images alone and so public, scores "
    "the test patients (TSTR). Only noised counts of scores by class left the sites; intervals include that noise."
)
GROUP = "noised"


def public_classifier(made: LabelledImages, classes: int) -> Classifier | None:
    """Trained on the release alone; None where it has images of one class.

    Args:
        made: the release, pictures.
        classes: K.
    """
    if len(torch.unique(made.labels)) < 2:
        return None
    judge = LINEAR["simple"]
    taught = judge.teach(judge.features(made.images), [made.labels.numpy()], first_equal(made.images).numpy())
    return lambda images: taught.think(judge.features(images), classes)[0]


@dataclass(frozen=True)
class NoisedWorth(NoisedBlock):
    """Counts of a class and of all others, by bin of the probability that the classifier gives the class.

    Attributes:
        of: index of the class.
        title: of the row.
        edges: of the bins.
        middles: (BINS,) probability that stands for a bin.
        two: whether there are two classes, so that the bins part right from wrong.
        alpha: 1 - confidence.
        classifier: of the release.
        id, share, names: see `NoisedBlock`.
    """

    kind = "evaluation"
    parts = (Part.TEST,)

    of: int
    title: str
    edges: FloatArray
    middles: FloatArray
    two: bool
    alpha: float
    classifier: Classifier
    id: str
    share: float
    names: tuple[str, ...]

    def of_patient(self, patient: SiteData, part: Part) -> FloatArray:
        """See `NoisedBlock.of_patient`: shares of her images by their class and bin."""
        scores = self.classifier(middle_slices(patient.images).float())[:, self.of]
        own = (patient.labels == self.of).numpy()
        told = [shares_of(scores[chosen], self.edges) * chosen.mean() for chosen in (own, ~own)]
        return np.concatenate(told)

    def row(self, sums: Sums) -> NoisedRow:
        """See `NoisedBlock.row`."""
        own, others = sums.values[:BINS], sums.values[BINS:]
        area = noised_auc(own, others, sums.noise, self.alpha)
        values = [Value(name="AUROC", value=area.value, low=area.low, high=area.high, chance=0.5)]
        if self.two:
            upper = np.arange(BINS) >= BINS // 2
            right = noised_share(
                sums.values, np.concatenate([upper, ~upper]).astype(float), sums.noise, self.alpha
            )
            values.append(
                Value(name="accuracy", value=right.value, low=right.low, high=right.high, chance=0.5)
            )
        off = noised_share(
            sums.values, np.concatenate([self.middles - 1, self.middles]), sums.noise, self.alpha
        )
        values.append(
            Value(
                name="predicted less observed share",
                value=off.value,
                low=off.low,
                high=off.high,
                note="calibration in the large, from the bins' middles",
            )
        )
        poor = (
            "; nearly all scores are in one bin, so that the AUROC is near 0.5 whatever the classifier knows"
        )
        return NoisedRow(
            id=self.id,
            title=self.title,
            group=GROUP,
            about=ABOUT,
            values=tuple(values),
            note=f"Noise of standard deviation {sums.noise:.3g} is in every count"
            f"{poor if crowded(own + others) else ''}.",
        )


def worth_blocks(
    made: LabelledImages, classes: tuple[str, ...], share: float, alpha: float
) -> tuple[NoisedWorth, ...]:
    """One block of two classes, one for each of more; none where the release has no two classes.

    Args:
        made: the release, pictures.
        classes: names.
        share: of all of them together.
        alpha: 1 - confidence.
    """
    classifier = public_classifier(made, len(classes))
    if classifier is None:
        return ()
    known, two = classifier(made.images), len(classes) == 2
    asked = (1,) if two else tuple(range(len(classes)))
    blocks = []
    for k in asked:
        scores = known[:, k]
        edges = edges_about(scores, 0.5) if two else edges_of(scores)
        blocks.append(
            NoisedWorth(
                of=k,
                title=f"Worth with noised counts (TSTR): {classes[k]}",
                edges=edges,
                middles=_middles(scores, edges),
                two=two,
                alpha=alpha,
                classifier=classifier,
                id=f"noised-worth-{k}",
                share=share / len(asked),
                names=tuple(f"{who}, bin {b + 1}" for who in ("of the class", "others") for b in range(BINS)),
            )
        )
    return tuple(blocks)


def _middles(scores: FloatArray, edges: FloatArray) -> FloatArray:
    """Mean of the synthetic scores in each bin; where there is none, the middle of the bin."""
    bounds = np.concatenate([[0.0], edges, [1.0]])
    bins = np.searchsorted(edges, scores, side="right")
    return np.array(
        [
            scores[bins == b].mean() if (bins == b).any() else (bounds[b] + bounds[b + 1]) / 2
            for b in range(BINS)
        ]
    )
