"""Model inversion: what the model itself believes in most, is it nearer to training patients than to others?

Images that the model draws are moved to where its own membership score is highest. A model that has learned people by
heart leads to them; one that has learned what they have in common leads to what is nobody's, and held-out patients are
as near. The test is that of data copying: which patients are held out is exchanged.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from fedgen.data.site_data import LabelledImages
from fedgen.evidence.audit.audited import group, usable
from fedgen.evidence.audit.comparison import compare
from fedgen.evidence.audit.data_copying import nearer_to_train
from fedgen.evidence.audit.membership import why_invalid
from fedgen.evidence.audit.white_hat import steps_within
from fedgen.evidence.measure import AuditedModel, Measure, Real
from fedgen.evidence.open_model import OpenModel
from fedgen.evidence.verdict import Hypothesis, Undecided
from fedgen.families.parts.conditioning import drawn_fields
from fedgen.run.row import Finding, Row, Value, Verdict
from fedgen.study.audit_section import AuditSection
from fedgen.task.records import one_image_each
from fedgen.task.stack import unstacked

#: Images that are moved, how many at once, and the rate of Adam.
IMAGES, CHUNK, RATE = 48, 16, 0.02

#: Choices of who is held out that are drawn.
CHOICES = 10_000


def beginnings(inside: OpenModel, n: int, rng: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
    """n images (n, C, *size) that the model draws, and the conditions they are of, which nobody has."""
    task = inside.recipe.task
    given = drawn_fields(task, (n,), rng)
    return inside.recipe.family.sample(inside.networks, given, n, rng).detach().cpu(), given


def climbed(
    inside: OpenModel, images: Tensor, given: dict[str, Tensor], steps: int, seed: int
) -> tuple[Tensor, float]:
    """The images after so many steps up the model's score, (n, C, *size) in [-1, 1], and its mean rise."""
    task, device = inside.recipe.task, inside.device
    x = images.detach().clone().to(device).requires_grad_()
    fields = {name: value.to(device) for name, value in given.items()}
    optimizer = torch.optim.Adam([x], lr=RATE)

    def score() -> Tensor:
        records = one_image_each({**unstacked(task, x), **fields})
        rng = torch.Generator().manual_seed(seed)
        return inside.recipe.family.score(inside.networks, records, rng)

    with sdpa_kernel(SDPBackend.MATH):
        first = score().detach()
        for _ in range(steps):
            (gradient,) = torch.autograd.grad(-score().sum(), x)
            x.grad = torch.nan_to_num(gradient)
            optimizer.step()
            with torch.no_grad():
                x.clamp_(-1, 1)
        return x.detach().cpu(), float((score().detach() - first).mean())


@dataclass(frozen=True)
class ModelInversion(Measure):
    """One row, where the study gives it time (`audit.reconstruction_seconds`)."""

    id = "model-inversion"
    title = "Reconstruction from the model"
    order = 11
    of_images = False
    of_model = True
    options: AuditSection

    def measure(
        self, real: Real, made: LabelledImages, model: AuditedModel | None, seed: int
    ) -> Iterator[Undecided]:
        """One row or none."""
        seconds = self.options.reconstruction_seconds
        if not seconds or model is None or model.inside is None or model.inside.recipe.task.translates:
            return
        inside = model.inside
        images, given = beginnings(inside, IMAGES, torch.Generator().manual_seed(seed))

        def part(at: int, steps: int) -> tuple[Tensor, float]:
            rows = slice(at, at + CHUNK)
            own = {name: value[rows] for name, value in given.items()}
            return climbed(inside, images[rows], own, steps, seed)

        starts = range(0, IMAGES, CHUNK)
        steps = steps_within(seconds, len(starts), lambda: part(0, 1))
        found = [part(at, steps) for at in starts]
        moved = torch.cat([each for each, _ in found])
        yield self.judged(real, inside, moved, sum(rise for _, rise in found) / len(found), steps, seed)

    def judged(
        self, real: Real, inside: OpenModel, moved: Tensor, rise: float, steps: int, seed: int
    ) -> Undecided:
        """The row of images (n, C, *size) that were moved up the score."""
        task = inside.recipe.task
        (name,) = (field.name for field in task.makes if field.kind == "image")
        images = unstacked(task, moved)[name]
        n = len(images)
        results = group(images, torch.zeros(n, dtype=torch.int64), torch.arange(n))
        cell = compare(usable(real), results, self.options.minimum_patients, seed)[0]
        share, expected, p = nearer_to_train(cell, CHOICES, seed)
        hypotheses, findings = [], []
        invalid = why_invalid(real, self.options, seed)
        if not cell.judged:
            few = "There are too few patients to tell whom a reconstruction resembles."
            findings.append(Finding(verdict=Verdict.INSUFFICIENT, sentence=few))
        elif invalid is not None:
            findings.append(Finding(verdict=Verdict.REVIEW, sentence=f"The result is invalid: {invalid}"))
        else:
            sentence = (
                f"What the model believes in most is nearer to training than to held-out patients ({share:.0%}, by "
                f"chance {expected:.0%})"
            )
            hypotheses.append(Hypothesis(p, Verdict.REVIEW, sentence))
        row = Row(
            id=self.id,
            title=self.title,
            group="audit",
            about="Do images that the model believes in most lead to training patients?",
            values=(
                Value.of("results nearer to a training than to a held-out patient", share),
                Value.of("the same if train and held-out were exchanged at random", expected),
                Value.of("p, nearer to training patients (permutation of patients, uncorrected)", p),
                Value.of("rise of the score", rise, note="of the model's own, on average"),
            ),
            n={
                "train_patients": cell.train_patients,
                "held_out_patients": cell.n_held_out,
                "synthetic_results": n,
            },
            findings=tuple(findings),
            note=f"{steps} steps from images that the model draws.",
        )
        calm = "What the model believes in most is as near to held-out as to training patients."
        return Undecided(row, calm, tuple(hypotheses))
