"""Authenticity (Alaa et al. 2022): is a synthetic image nearer to a patient than the patient's nearest fellow is?

Such an image is not authentic: it says more of that patient than any other person's image does. A smooth generator
makes such images of everybody, trained on or not, so copying is concluded only where they are of training patients
more often than chance has it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
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
from fedgen_privacy.statistics.multiplicity import worse_of
from fedgen_privacy.statistics.patients import exchanged, one_image_each

FEW = "There are too few patients to tell memorising from likeness."


def unauthentic(synthetic: Tensor, real: Tensor, patients: Tensor) -> tuple[Tensor, Tensor]:
    """Which images are nearer to their nearest real image than that is to the nearest one of another patient.

    Section 4.2 of the paper, with other patients in the place of other images: two images of one patient are alike.

    Args:
        synthetic: (m, d) features.
        real: (n, d) features of at least two patients.
        patients: (n,) their patients.

    Returns:
        (m,) bool, and the (m,) index of the nearest real image.
    """
    among = squared_distances(real, real).masked_fill_(patients[:, None] == patients[None], math.inf)
    fellow = among.amin(1)
    distance, nearest = squared_distances(synthetic, real).min(1)
    return distance < fellow[nearest], nearest


@dataclass(frozen=True)
class Authentic:
    """What is found in one space.

    Attributes:
        share: authentic synthetic images, the training patients being all there are: the paper's authenticity.
        held_out: the same of held-out patients in the place of the release, one image each.
        of_train: of the images that are not authentic among all real patients, those whose patient trained.
        expected: the same if train and held-out patients were exchanged at random.
        p: permutation p-value against "no more of them than that".
    """

    share: float
    held_out: float
    of_train: float | None
    expected: float
    p: float


def authentic(samples: Samples, space: str, permutations: int, seed: int) -> Authentic:
    """Authenticity in one space; the test is of patients, and train and held-out are alike to it."""
    sides, synthetic = samples.together, samples.synthetic.spaces[space]
    train, held = sides.train.spaces[space], sides.held_out.spaces[space]
    rng = np.random.default_rng(seed)
    one_each = torch.from_numpy(one_image_each(sides.held_out.patients.numpy(), rng))
    share, same = (
        1 - float(unauthentic(images, train, sides.train.patients)[0].double().mean())
        for images in (synthetic, held[one_each])
    )
    patients = torch.cat([sides.train.patients, sides.held_out.patients])
    copied, nearest = unauthentic(synthetic, torch.cat([train, held]), patients)
    owners, inside = patients[nearest[copied]].numpy(), (nearest[copied] < sides.train.n_images).numpy()
    people = (sides.train.n_patients, sides.held_out.n_patients)
    of_train, expected, p = exchanged(owners, inside, *people, permutations, rng)
    return Authentic(share, same, of_train, expected, p)


@dataclass(frozen=True)
class Authenticity(Measure):
    """Authenticity in every feature space, and whose the images are that are not authentic."""

    id = "authenticity"
    title = "Authenticity"
    order = 8
    options: AuditSection

    def measure(
        self, real: Real, made: LabelledImages, model: AuditedModel | None, seed: int
    ) -> Iterator[Undecided]:
        """One row."""
        samples = drawn(real, made, seed).samples
        found = {space: self._of(samples, space, seed) for space in SPACES}
        sides = samples.together
        n = {
            "train_patients": sides.train.n_patients,
            "held_out_patients": sides.held_out.n_patients,
            "synthetic_images": samples.synthetic.n_images,
        }
        judged = min(sides.train.n_patients, sides.held_out.n_patients) >= self.options.minimum_patients
        row = Row(
            id=self.id,
            title=self.title,
            group="audit",
            about="Is a synthetic image nearer to a patient than the nearest other patient is (Alaa et al. 2022)?",
            values=tuple(value for space in SPACES for value in _values(SPACES[space], found[space])),
            n=n,
            findings=() if judged else (Finding(verdict=Verdict.INSUFFICIENT, sentence=FEW),),
        )
        calm = "Synthetic images that are too near to a patient are of training patients no more often than by chance."
        if not judged:
            yield Undecided(row, calm)
            return
        sentence = "Synthetic images that are nearer to a patient than anybody else is are mostly of training patients"
        p = worse_of(*(each.p for each in found.values()))
        yield beside_controls(
            Undecided(row, calm, (Hypothesis(p, Verdict.FAIL, sentence),)),
            lambda tried: worse_of(*(self._of(tried, space, seed).p for space in SPACES)),
            real,
            made,
            self.options.alpha,
            seed,
        )

    def _of(self, samples: Samples, space: str, seed: int) -> Authentic:
        return authentic(samples, space, self.options.bootstrap, seed)


def _values(words: str, found: Authentic) -> tuple[Value, ...]:
    return (
        Value.of(f"authentic synthetic images, {words}", found.share),
        Value.of(f"the same of held-out patients, {words}", found.held_out),
        Value.of(
            f"too near ones that are of training patients, {words}",
            found.of_train,
            note=f"{found.expected:.2f} by chance; p = {found.p:.2g}, uncorrected"
            + ("; none is too near" if found.of_train is None else ""),
        ),
    )
