"""Gradient inversion: what does a single patient's clipped and noised vector show of her image?

Secure aggregation keeps such a vector from the coordinator. Who breaks it, or runs a federation without it and a round
with one patient, has it. A site tries on its own patients: an image is sought whose vector has the direction of the
observed one (Geiping et al. 2020), with the patient's conditions and even the step's random numbers known, the worst
case. Whether what comes out shows THIS patient is a question of who is whose, not of how it looks.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from fedgen.data.site_data import LabelledImages
from fedgen.evidence.audit.audited import AuditedSite, usable
from fedgen.evidence.audit.white_hat import drawn, steps_within, vector_of
from fedgen.evidence.measure import AuditedModel, Measure, Real
from fedgen.evidence.open_model import OpenModel
from fedgen.evidence.verdict import Hypothesis, Undecided
from fedgen.run.row import Finding, Row, Value, Verdict
from fedgen.study.audit_section import AuditSection
from fedgen.task.records import Records
from fedgen.task.stack import stacked, unstacked
from fedgen.training.task_records import one_record_each
from fedgen_privacy.gradients.protocol import records_of
from fedgen_privacy.gradients.tree import tree_map
from fedgen_privacy.statistics.matching import identified, matching_p, own_similarity
from fedgen_privacy.statistics.patients import one_image_each
from fedgen_privacy.statistics.proportions import clopper_pearson

#: Patients whose vectors are inverted, at most.
PATIENTS = 12

#: Of Adam, and the weight of neighbours' differences, without which pixels are noise.
RATE, SMOOTHNESS = 0.1, 1e-3

#: Orders of who is whose that are drawn.
ORDERS = 20_000


@dataclass(frozen=True)
class Protection:
    """What is done to a vector.

    Attributes:
        bound: L2 norm it is clipped to; None where it is not.
        noise: standard deviation of the noise in each coordinate.
    """

    bound: float | None
    noise: float

    def __call__(self, vector: Tensor, rng: torch.Generator) -> Tensor:
        """The vector as it would be seen."""
        if self.bound is not None:
            vector = vector * min(1.0, self.bound / max(float(vector.norm()), 1e-12))
        return vector + self.noise * torch.randn(vector.shape, generator=rng).to(vector)


def protection(inside: OpenModel, patients: int, site: str) -> Protection:
    """That of the study at a site with so many training patients, in its first round, with the noise of a whole step.

    Where the sites make the noise together, a site's own part of it is smaller; there is no such study without secure
    aggregation.
    """
    gaussian = inside.recipe.mechanism.plan(patients, site, inside.device).local.mechanism
    if gaussian is None:
        return Protection(None, 0.0)
    bound = gaussian.clipping_norm if inside.recipe.study.steps else 1.0
    return Protection(bound, bound * gaussian.noise_multiplier)


def inverted(
    inside: OpenModel, record: Records, hidden: Protection, steps: int, rng: torch.Generator
) -> Tensor:
    """The image (C, *size) that is found for the protected vector of one record of one image."""
    task, device = inside.recipe.task, inside.device
    draws = {
        name: {key: draw.to(device) for key, draw in own.items()}
        for name, own in drawn(inside, 1, rng).items()
    }
    observed = hidden(vector_of(inside, record, draws).detach(), rng)
    truth = stacked(task, record.fields)
    x = (0.1 * torch.randn(truth.shape, generator=rng)).to(device).requires_grad_()
    optimizer = torch.optim.Adam([x], lr=RATE)
    for _ in range(steps):
        fields = {**record.fields, **unstacked(task, x)}
        vector = vector_of(inside, record._replace(fields=fields), draws)
        loss = 1 - torch.cosine_similarity(vector, observed, dim=0)
        rough = sum(x.diff(dim=axis).abs().mean() for axis in range(3, x.ndim))
        optimizer.zero_grad(set_to_none=True)
        (x.grad,) = torch.autograd.grad(loss + SMOOTHNESS * rough, x)
        optimizer.step()
        with torch.no_grad():
            x.clamp_(-1, 1)
    return x.detach()[0, 0].cpu()


def similarity(guesses: Tensor, truths: Tensor) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """Minus the squared error of every guess (n, ...) of every truth, over the mean square of the truths, (n, n)."""
    scale = truths.double().square().mean().clamp_min(1e-12)
    errors = (guesses[:, None].double() - truths[None].double()).square().flatten(2).mean(dim=2) / scale
    return np.asarray(-errors.numpy())


@dataclass(frozen=True)
class GradientInversion(Measure):
    """One row of a site alone, where the study gives it time (`audit.reconstruction_seconds`)."""

    id = "gradient-inversion"
    title = "Reconstruction from one patient's vector"
    order = 10
    of_images = False
    of_model = True
    options: AuditSection

    def measure(
        self, real: Real, made: LabelledImages, model: AuditedModel | None, seed: int
    ) -> Iterator[Undecided]:
        """One row or none: every site tries on its own patients, and all together would try the same again."""
        seconds, sites = self.options.reconstruction_seconds, usable(real)
        if not seconds or model is None or model.inside is None or len(sites) != 1:
            return
        inside = model.inside
        if inside.recipe.task.translates:
            return
        records = self._records(sites[0], inside, seed)
        hidden = protection(inside, sites[0].train.n_patients, sites[0].site)
        n = records.weights["patient"].shape[0]

        def one(steps: int) -> list[Tensor]:
            rng = torch.Generator().manual_seed(seed)
            return [inverted(inside, records_of(records, i, i + 1), hidden, steps, rng) for i in range(n)]

        first = records_of(records, 0, 1)
        steps = steps_within(
            seconds, n, lambda: inverted(inside, first, hidden, 1, torch.Generator().manual_seed(seed))
        )
        yield self.judged(torch.stack(one(steps)), records, inside, hidden, steps, seed)

    def _records(self, site: AuditedSite, inside: OpenModel, seed: int) -> Records:
        """One image of each of some training patients."""
        known = site.train.known
        assert known is not None
        rng = np.random.default_rng(seed)
        chosen = rng.permutation(one_image_each(site.train.patients.numpy(), rng))[:PATIENTS]
        records = one_record_each(inside.recipe.task, known.only(torch.from_numpy(chosen)))
        return tree_map(lambda tensor: tensor.to(inside.device), records)

    def judged(
        self,
        guesses: Tensor,
        records: Records,
        inside: OpenModel,
        hidden: Protection,
        steps: int,
        seed: int,
    ) -> Undecided:
        """The row of reconstructions (n, C, *size) of n patients."""
        truths = stacked(inside.recipe.task, records.fields)[:, 0].cpu()
        table, n = similarity(guesses, truths), len(truths)
        p = matching_p(table, ORDERS, np.random.default_rng(seed))
        right, secure = identified(table), inside.recipe.study.aggregation.secure
        found, limits = right / n, clopper_pearson(right, n, self.options.alpha)
        others = float((table.sum() - np.trace(table)) / (n * (n - 1))) if n > 1 else None
        few = n < max(4, self.options.minimum_patients)
        shows = (
            f"{right} of {n} reconstructions are nearest to their own patient (p = {p:.2g} before correction)"
        )
        hypotheses, findings = [], []
        if few:
            sentence = "There are too few patients to tell whose image a reconstruction is."
            findings.append(Finding(verdict=Verdict.INSUFFICIENT, sentence=sentence))
        elif not secure:
            sentence = (
                "The coordinator sees single updates (aggregation.secure is off), and from one patient's vector her "
                f"image is found: {right} of {n} reconstructions are nearest to their own patient"
            )
            hypotheses.append(Hypothesis(p, Verdict.REVIEW, sentence))
        calm = (
            f"Secure aggregation hides single vectors; of one that were seen, {shows}."
            if secure
            else (
                "One patient's vector, clipped and noised as the study has it, does not show whose image it is."
            )
        )
        row = Row(
            id=self.id,
            title=self.title,
            group="audit",
            about="Would a single patient's vector, if somebody saw it, show whose image it was made of?",
            values=(
                Value.of(
                    "reconstructions nearest to their own patient", found, *limits, f"by chance {1 / n:.2g}"
                ),
                Value.of("p, own patient (permutation of patients)", p),
                Value.of(
                    "squared error to the own image",
                    -float(table.diagonal().mean()),
                    note="mid-grey has 1",
                ),
                Value.of("squared error to other patients' images", None if others is None else -others),
                Value.of("nearer to the own image than to all", own_similarity(table)),
                Value.of("noise in a coordinate, of the norm of a vector", _share(hidden)),
            ),
            n={"train_patients": n},
            findings=tuple(findings),
            note=f"{steps} steps a patient; the attacker knows the conditions and the random numbers of the step, and "
            "the model is the released one.",
        )
        return Undecided(row, calm, tuple(hypotheses))


def _share(hidden: Protection) -> float:
    return 0.0 if hidden.bound is None else hidden.noise / hidden.bound
