"""Attribute inference: is more learned of training patients, from their images, than of patients who were not there?

That an image shows its patient's class or age is medicine and no leak, so the held-out patients say what is learned
without having been in the training: residual risk is (training - held-out) / (1 - held-out), as in Anonymeter (Giomi
et al. 2023). Beside it stands a regression on simple features that never saw the model.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from fedgen.data.site_data import LabelledImages, SiteData
from fedgen.evidence.audit.attributes import Attribute, attributes, class_of
from fedgen.evidence.audit.audited import AuditedGroup, release_group, usable
from fedgen.evidence.audit.blind import FOLDS, RIDGE, simple_features
from fedgen.evidence.audit.membership import why_invalid
from fedgen.evidence.audit.nearest import nearest_patients
from fedgen.evidence.measure import AuditedModel, Measure, Real
from fedgen.evidence.verdict import Hypothesis, Undecided
from fedgen.run.row import Finding, Row, SitePart, Value, Verdict
from fedgen.study.audit_section import AuditSection
from fedgen_privacy.statistics.auc import above_chance, auc
from fedgen_privacy.statistics.patients import one_image_each
from fedgen_privacy.statistics.proportions import clopper_pearson, fisher_greater

#: Patients a side and site of whom one image each is guessed at: every guess is a score of every value.
PATIENTS = 100

#: guess(group of images of a site) -> (n,) guesses as `Attribute.truth` gives them
Guess = Callable[[AuditedGroup], torch.Tensor]


@dataclass(frozen=True)
class Guessed:
    """How well an attribute was guessed at one site, one image a patient.

    Attributes:
        site: its name.
        train, held_out: (n,) and (h,) of each patient 1 or 0 for right or wrong, or minus the error of a number.
        blind: (n,) the same of training patients by the regression that never saw the model.
    """

    site: str
    train: NDArray[np.float64]
    held_out: NDArray[np.float64]
    blind: NDArray[np.float64]


def _one_each(group: AuditedGroup, rng: np.random.Generator) -> AuditedGroup:
    chosen = torch.from_numpy(rng.permutation(one_image_each(group.patients.numpy(), rng))[:PATIENTS])
    known = group.known
    assert known is not None
    keep = torch.zeros(group.n_images, dtype=torch.bool)
    keep[chosen] = True
    rows = group.rows(keep)
    return AuditedGroup(
        rows.images, rows.labels, rows.patients, rows.features, rows.mirrors, known.only(keep)
    )


def _known(group: AuditedGroup) -> SiteData:
    assert group.known is not None
    return group.known


def success(attribute: Attribute, guess: torch.Tensor, truth: torch.Tensor) -> NDArray[np.float64]:
    """1 or 0 for right or wrong, or minus the error of a number, (n,)."""
    if attribute.number:
        found: NDArray[np.float64] = -(guess - truth).abs().double().numpy()
        return found
    return (guess == truth).double().numpy()


def _blind(attribute: Attribute, train: AuditedGroup, held_out: AuditedGroup, seed: int) -> torch.Tensor:
    """Guesses of training patients by who has images and truth of the held-out ones alone."""
    truth = attribute.truth(_known(held_out))
    target = (
        truth.double().numpy()
        if attribute.number
        else torch.nn.functional.one_hot(truth.long(), attribute.values).double().numpy()
    )
    if held_out.n_images < FOLDS:
        return torch.full((train.n_images,), float(truth.double().median()))
    model = make_pipeline(StandardScaler(), Ridge(alpha=RIDGE))
    found = model.fit(simple_features(held_out.images), target).predict(simple_features(train.images))
    return torch.from_numpy(found if attribute.number else found.argmax(axis=1))


def guessed(real: Real, attribute: Attribute, guess: Guess, seed: int) -> list[Guessed]:
    """How well it is guessed at each site whose patients differ in it."""
    found = []
    for cohort in usable(real):
        rng = np.random.default_rng(seed)
        train, held_out = _one_each(cohort.train, rng), _one_each(cohort.held_out, rng)
        truths = [attribute.truth(_known(group)) for group in (train, held_out)]
        if torch.cat(truths).unique().numel() < 2:
            continue
        blind = _blind(attribute, train, held_out, seed)
        found.append(
            Guessed(
                cohort.site,
                success(attribute, guess(train), truths[0]),
                success(attribute, guess(held_out), truths[1]),
                success(attribute, blind, truths[0]),
            )
        )
    return found


@dataclass(frozen=True)
class AttributeInference(Measure):
    """A row for each attribute, and for the class one more of who has the release alone."""

    id = "attribute-inference"
    title = "Attribute inference"
    order = 7
    of_images = False
    options: AuditSection

    def measure(
        self, real: Real, made: LabelledImages, model: AuditedModel | None, seed: int
    ) -> Iterator[Undecided]:
        """No row where there is nothing to guess."""
        if model is None:
            raise ValueError("an audit needs to know what is known of the model")
        invalid = why_invalid(real, self.options, seed)
        loss = model.attacks.get("loss")
        for attribute in () if model.inside is None or loss is None else attributes(model.inside):
            found = guessed(real, attribute, self._with_model(attribute, model), seed)
            if found:
                yield self._row(attribute, "", "the model", found, invalid)
        if len(made.images) and len(real.classes) > 1:
            attribute = class_of(real.classes)
            release = release_group(real, made)
            found = guessed(real, attribute, self._with_release(release), seed)
            if found:
                yield self._row(attribute, "-release", "the synthetic images", found, invalid)

    @staticmethod
    def _with_model(attribute: Attribute, model: AuditedModel) -> Guess:
        score = model.attacks["loss"]
        return lambda group: attribute.guessed(score, _known(group))

    @staticmethod
    def _with_release(release: AuditedGroup) -> Guess:
        def guess(group: AuditedGroup) -> torch.Tensor:
            near = nearest_patients(
                group.features, group.mirrors, release.features, release.patients, depth=1
            )
            return release.labels[near.image]

        return guess

    def _row(
        self, attribute: Attribute, end: str, having: str, found: Sequence[Guessed], invalid: str | None
    ) -> Undecided:
        whole = Guessed(
            "all sites" if len(found) > 1 else found[0].site,
            *(
                np.concatenate([getattr(each, side) for each in found])
                for side in ("train", "held_out", "blind")
            ),
        )
        least = max(2, self.options.minimum_patients)
        judged = [each for each in (whole, *(found if len(found) > 1 else ())) if self._enough(each, least)]
        hypotheses, findings = [], []
        if not judged or judged[0] is not whole:
            few = "There are too few patients to tell what is learned of them."
            findings.append(Finding(verdict=Verdict.INSUFFICIENT, sentence=few))
        elif invalid is not None:
            findings.append(Finding(verdict=Verdict.REVIEW, sentence=f"The result is invalid: {invalid}"))
        else:
            hypotheses = [self._hypothesis(attribute, having, each) for each in judged]
        row = Row(
            id=f"{self.id}-{attribute.id}{end}",
            title=f"{self.title}: {attribute.title}, with {having}",
            group="audit",
            about=f"Does who has an image and {having} learn more of {attribute.title} of training than of held-out "
            "patients?",
            values=self._values(attribute, whole),
            per_site=tuple(
                SitePart(site=each.site, values=self._values(attribute, each))
                for each in (found if len(found) > 1 else ())
            ),
            n={"train_patients": whole.train.size, "held_out_patients": whole.held_out.size},
            findings=tuple(findings),
        )
        calm = f"Of training patients no more is learned than of held-out patients: {attribute.title}."
        return Undecided(row, calm, tuple(hypotheses))

    @staticmethod
    def _enough(found: Guessed, least: int) -> bool:
        return min(found.train.size, found.held_out.size) >= least

    def _hypothesis(self, attribute: Attribute, having: str, found: Guessed) -> Hypothesis:
        p = (
            above_chance(found.train, found.held_out)
            if attribute.number
            else fisher_greater(
                int(found.train.sum()), found.train.size, int(found.held_out.sum()), found.held_out.size
            )
        )
        return Hypothesis(
            p,
            Verdict.REVIEW,
            f"With {having} {attribute.title} of training patients of {found.site} is guessed better than that of "
            "held-out patients",
        )

    def _values(self, attribute: Attribute, found: Guessed) -> tuple[Value, ...]:
        sides = {
            "training patients": found.train,
            "held-out patients": found.held_out,
            "training patients, without the model": found.blind,
        }
        if attribute.number:
            return (
                *(
                    Value.of(f"mean error, {who}", -float(each.mean()), note="of a range of 2")
                    for who, each in sides.items()
                ),
                Value.of(
                    "AUC of smaller errors, training against held-out", auc(found.train, found.held_out)
                ),
            )
        main, control = float(found.train.mean()), float(found.held_out.mean())
        return (
            *(
                Value.of(
                    f"right, {who}",
                    float(each.mean()),
                    *clopper_pearson(int(each.sum()), each.size, self.options.alpha),
                )
                for who, each in sides.items()
            ),
            Value.of(
                "residual risk",
                None if control == 1 else (main - control) / (1 - control),
                note="(training - held-out) / (1 - held-out); below 0 nothing is learned",
            ),
        )
