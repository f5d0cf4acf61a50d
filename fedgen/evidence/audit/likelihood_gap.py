"""The generalisation gap of the feature likelihood divergence, FLD (Jiralerspong et al. 2023).

The release becomes a density: a mixture of isotropic Gaussians, one at each synthetic image, whose widths are those
under which the real images are most likely. A copy's Gaussian becomes as narrow as its patient is near. Training
patients who are more likely under it than held-out ones are memorised (section 3.3 of the paper: a negative gap).

The paper fits the widths to the training set, which then has the better of it even under an honest release. The gap is
printed so, for comparison; the test is of widths fitted to all audited patients, training and held-out alike.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from fedgen.data.site_data import LabelledImages
from fedgen.evidence.audit.drawn_samples import Samples, drawn
from fedgen.evidence.audit.planted_controls import beside_controls
from fedgen.evidence.audit.spaces import SPACES, squared_distances
from fedgen.evidence.measure import AuditedModel, Measure, Real
from fedgen.evidence.verdict import Hypothesis, Undecided
from fedgen.run.row import Finding, Row, Value, Verdict
from fedgen.study.audit_section import AuditSection
from fedgen_privacy.statistics.auc import above_chance
from fedgen_privacy.statistics.multiplicity import worse_of
from fedgen_privacy.statistics.patients import per_patient

#: Steps of expectation and maximisation; the likelihood rises with each, and hardly after these.
STEPS = 10
#: Variances are at least this share of the median one, or a copy that is equal would be infinitely likely.
FLOOR = 1e-4
FEW = "There are too few patients to tell memorising from likeness."


def log_likelihood(squares: Tensor, variances: Tensor, dimensions: int) -> Tensor:
    """Log density of each real image under the mixture, (n,) float64.

    Args:
        squares: (n, m) squared distances of real to synthetic images.
        variances: (m,) of the Gaussian at each synthetic image, in every direction.
        dimensions: of the space.
    """
    each = -squares / (2 * variances) - dimensions / 2 * torch.log(2 * math.pi * variances)
    return torch.logsumexp(each, 1) - math.log(squares.shape[1])


def fitted_variances(squares: Tensor, dimensions: int, steps: int = STEPS) -> Tensor:
    """Variances (m,) under which the real images are most likely, by expectation and maximisation.

    The paper takes steps of Adam on the same likelihood; these need no rate and never fall.

    Args:
        squares: (n, m) squared distances of real to synthetic images.
        dimensions: of the space.
        steps: of the fit.
    """
    start = float(squares.amin(1).median()) / dimensions
    variances = torch.full((squares.shape[1],), max(start, 1e-12), dtype=squares.dtype)
    for _ in range(steps):
        each = -squares / (2 * variances) - dimensions / 2 * torch.log(variances)
        share = torch.softmax(each, 1)
        weight = share.sum(0)
        fitted = (share * squares).sum(0) / (dimensions * weight.clamp_min(1e-12))
        # An image that nobody is near keeps its width, for nothing speaks for another.
        variances = torch.where(weight > 1e-6, fitted, variances).clamp_min(FLOOR * max(start, 1e-12))
    return variances


def paper_gap(samples: Samples, space: str) -> float:
    """The paper's gap of training minus held-out images: negative where training images are more likely."""
    train, held, d = _squares(samples, space)
    variances = fitted_variances(train, d)
    of_train, of_held = (float(log_likelihood(each, variances, d).mean()) for each in (train, held))
    # FLD is -100 / d times the log likelihood, less a constant that is gone in the gap.
    return 100 / d * (of_held - of_train)


def more_likely(samples: Samples, space: str) -> float:
    """Mann-Whitney p-value, of patients, against "training patients are no more likely" under widths of both sides."""
    train, held, d = _squares(samples, space)
    sides, variances = samples.together, fitted_variances(torch.cat([train, held]), d)
    scores = [
        per_patient(log_likelihood(squares, variances, d).numpy(), side.patients.numpy(), "mean")
        for squares, side in ((train, sides.train), (held, sides.held_out))
    ]
    return above_chance(*scores)


def _squares(samples: Samples, space: str) -> tuple[Tensor, Tensor, int]:
    sides, synthetic = samples.together, samples.synthetic.spaces[space]
    train, held = (squared_distances(side.spaces[space], synthetic) for side in (sides.train, sides.held_out))
    return train, held, max(1, synthetic.shape[1])


@dataclass(frozen=True)
class FeatureLikelihoodGap(Measure):
    """FLD's generalisation gap in every feature space."""

    id = "likelihood-gap"
    title = "Generalisation gap (FLD)"
    order = 9
    options: AuditSection

    def measure(
        self, real: Real, made: LabelledImages, model: AuditedModel | None, seed: int
    ) -> Iterator[Undecided]:
        """One row."""
        samples = drawn(real, made, seed).samples
        found = {space: more_likely(samples, space) for space in SPACES}
        sides = samples.together
        judged = min(sides.train.n_patients, sides.held_out.n_patients) >= self.options.minimum_patients
        row = Row(
            id=self.id,
            title=self.title,
            group="audit",
            about="Are training patients more likely under the release than held-out ones (Jiralerspong et al. 2023)?",
            values=tuple(
                Value.of(
                    f"gap, {words}",
                    paper_gap(samples, space),
                    note=f"p = {found[space]:.2g}, of widths fitted to both sides, uncorrected",
                )
                for space, words in SPACES.items()
            ),
            n={
                "train_patients": sides.train.n_patients,
                "held_out_patients": sides.held_out.n_patients,
                "synthetic_images": samples.synthetic.n_images,
            },
            findings=() if judged else (Finding(verdict=Verdict.INSUFFICIENT, sentence=FEW),),
            note="Negative where training images are more likely; a little so under any release, to whose widths they "
            "were fitted.",
        )
        calm = "Training patients are no more likely under the release than held-out ones."
        if not judged:
            yield Undecided(row, calm)
            return
        p = worse_of(*found.values())
        sentence = "Training patients are more likely under the release than held-out ones"
        yield beside_controls(
            Undecided(row, calm, (Hypothesis(p, Verdict.REVIEW, sentence),)),
            lambda tried: worse_of(*(more_likely(tried, space) for space in SPACES)),
            real,
            made,
            self.options.alpha,
            seed,
        )
