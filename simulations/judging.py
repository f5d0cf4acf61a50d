"""Judges of synthetic images: classifiers that learn from them alone, asked of real patients; distances and audits.

The judges are the product's own, by the rules of its reports: logistic regressions on pixels and on texture, and a
network.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fedgen.data.site_data import LabelledImages, Part, SiteData
from fedgen.evidence.audit.model_membership import ModelMembership
from fedgen.evidence.audit.release_membership import ReleaseMembership
from fedgen.evidence.downstream.arms import shuffled_within_classes
from fedgen.evidence.downstream.judged import predicted
from fedgen.evidence.downstream.linear import LINEAR
from fedgen.evidence.downstream.scores import auroc, weighted_auroc_within
from fedgen.evidence.downstream.site_alone import site_alone
from fedgen.evidence.measure import AuditedModel, Real
from fedgen.evidence.metrics.diversity import Diversity
from fedgen.evidence.metrics.fidelity import Fidelity
from fedgen.evidence.metrics.fidelity_words import FLOOR, VALUE
from fedgen.evidence.pooled import PooledImages, pool
from fedgen.evidence.verdict import Undecided
from fedgen.run.site_only import SiteOnly
from fedgen.study.study import Study

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Lesson:
    """What a judge learns from.

    Attributes:
        images: (n, C, H, W) in [-1, 1].
        labels: (n,).
        patients: (n,); each synthetic image is one of its own.
    """

    images: Tensor
    labels: Tensor
    patients: Tensor

    def some(self, most: int | None) -> Lesson:
        """At most so many images, drawn at random; None for all."""
        kept = torch.randperm(len(self.labels), generator=torch.Generator().manual_seed(0))[:most]
        return Lesson(self.images[kept], self.labels[kept], self.patients[kept])

    def shuffled(self, seed: int) -> Lesson:
        """With labels that say nothing."""
        return Lesson(self.images, shuffled_within_classes(self.labels, seed=seed), self.patients)


#: lesson, test images, number of classes, most steps, seed -> (n, K) probabilities
Judge = Callable[[Lesson, Tensor, int, int, int], FloatArray]


def of_release(made: LabelledImages) -> Lesson:
    """The synthetic images."""
    return Lesson(made.images, made.labels, torch.arange(len(made.labels)))


def of_patients(real: PooledImages) -> Lesson:
    """The real ones."""
    return Lesson(real.images, real.labels, real.patients)


def by_network(lesson: Lesson, test: Tensor, classes: int, steps: int, seed: int) -> FloatArray:
    """The product's own network, by its own rule of when to stop."""
    (found,) = predicted(
        lesson.images,
        lesson.labels,
        test,
        classes,
        patients=lesson.patients,
        judges=("network",),
        steps=steps,
        seeds=1,
        seed=seed,
    )["network"]
    return found


def by_linear(name: str) -> Judge:
    """One of the product's linear judges."""
    judge = LINEAR[name]
    # The same test images are asked of again and again.
    known: dict[int, tuple[Tensor, FloatArray]] = {}

    def asked(lesson: Lesson, test: Tensor, classes: int, steps: int, seed: int) -> FloatArray:
        if id(test) not in known:
            known[id(test)] = (test, judge.features(test))
        return judge(judge.features(lesson.images), lesson.labels.numpy(), known[id(test)][1], classes)

    return asked


#: In the order of their costs.
JUDGES: Mapping[str, Judge] = {
    "pixel": by_linear("pixel"),
    "texture": by_linear("texture"),
    "network": by_network,
}


def scores(probabilities: FloatArray, test: PooledImages) -> dict[str, float | None]:
    """AUROC of all test images, AUROC over pairs within a site, and accuracy; None where there is one class alone."""
    labels = test.labels.numpy()
    accuracy = float((probabilities.argmax(axis=1) == labels).mean())
    if len(np.unique(labels)) < 2:
        return {"auroc": None, "within": None, "accuracy": accuracy}
    within = weighted_auroc_within(labels, probabilities, np.ones((1, len(labels))), test.sites.numpy())
    return {
        "auroc": auroc(labels, probabilities),
        "within": float(within[0]) if np.isfinite(within[0]) else None,
        "accuracy": accuracy,
    }


def site_alone_scores(sites: Sequence[SiteData]) -> dict[str, float | None]:
    """Of one who knows an image's site and how its training images are shared out."""
    train, test = pool(sites, (Part.TRAIN,)), pool(sites, (Part.TEST,))
    known = site_alone(train.labels, train.sites, test.sites, len(sites[0].classes))
    return scores(known, test)


def likeness(study: Study, sites: Sequence[SiteData], made: LabelledImages) -> dict[str, float | None]:
    """FID and KID of random convolutions with their floors, and MS-SSIM within a class."""
    options = study.evaluation.model_copy(update={"extractors": ("random_conv",)})
    real, seed = Real(sites), study.study.seed
    found: dict[str, float | None] = {}
    for row in Fidelity(options).measure(real, made, None, seed):
        for name, said in (("", VALUE), (" floor", FLOOR)):
            value = row.get(said)
            if value is not None:
                found[row.id + name] = value.value
    pairs = [row for row in Diversity(options).measure(real, made, None, seed) if row.values]
    for name in ("synthetic", "real"):
        values = [value.value for row in pairs if (value := row.get(name)) and value.value is not None]
        found[f"MS-SSIM {name}"] = float(np.mean(values)) if values else None
    return found


def audits(
    study: Study, sites: Sequence[SiteData], made: LabelledImages, model: AuditedModel
) -> dict[str, Any]:
    """AUC of the membership attacks with the model and with the release alone, means over a patient's images."""
    real, found = Real(sites), {}
    for kind in (ModelMembership, ReleaseMembership):
        for said in kind(study.audit).measure(real, made, model, study.study.seed):
            if isinstance(said, SiteOnly):
                continue
            row = said.row if isinstance(said, Undecided) else said
            found[row.id] = row.values[0].value if row.values else None
    return found
