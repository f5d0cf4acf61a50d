"""Membership inference by attackers who have the release alone: how they are judged, and their controls."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import rankdata
from torch import Tensor

from fedgen.data.site_data import LabelledImages
from fedgen.evidence.audit.drawn_samples import TOGETHER, Samples, drawn
from fedgen.evidence.audit.membership import Scores, membership, pool, rules, why_invalid
from fedgen.evidence.audit.planted_controls import beside_controls
from fedgen.evidence.audit.spaces import SPACES
from fedgen.evidence.measure import AuditedModel, Real
from fedgen.evidence.verdict import Undecided
from fedgen.run.row import Value
from fedgen.study.audit_section import AuditSection
from fedgen_privacy.statistics.auc import above_chance, auc
from fedgen_privacy.statistics.multiplicity import worse_of

#: Scores of the training and of the held-out images of all sites together; higher means more likely a member.
Attack = Callable[[Samples], tuple[Tensor, Tensor]]
#: The same in one feature space.
InSpace = Callable[[Samples, str], tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class SampleQuestion:
    """What an audit was asked, as `Measure.measure` is.

    Attributes:
        real: the patients.
        made: the release.
        model: whose claim the result is compared with.
        options: how attacks are judged.
        seed: of every draw.
    """

    real: Real
    made: LabelledImages
    model: AuditedModel
    options: AuditSection
    seed: int

    @classmethod
    def of(
        cls, real: Real, made: LabelledImages, model: AuditedModel | None, options: AuditSection, seed: int
    ) -> SampleQuestion:
        """The question.

        Raises:
            ValueError: no model, and so no claim to judge by.
        """
        if model is None:
            raise ValueError("an audit needs the claim of the model's training")
        return cls(real, made, model, options, seed)


def in_all_spaces(in_space: InSpace) -> Attack:
    """The attack that goes by the mean rank of an image over the spaces, among training and held-out images alike.

    Which space tells most is not known beforehand; ranks of all images together treat members as they treat others.
    """

    def attack(samples: Samples) -> tuple[Tensor, Tensor]:
        n = samples.together.train.n_images
        ranks = [rankdata(torch.cat(_in(samples, in_space, space)).numpy()) for space in SPACES]
        scores = torch.from_numpy(np.mean(ranks, axis=0))
        return scores[:n], scores[n:]

    return attack


def _in(samples: Samples, in_space: InSpace, space: str) -> tuple[Tensor, Tensor]:
    return samples.once((in_space, space), lambda: in_space(samples, space))


def sample_membership(id: str, title: str, about: str, in_space: InSpace, asked: SampleQuestion) -> Undecided:
    """The row of an attack on a sample of the patients, beside its controls.

    Args:
        id, title, about: of the row.
        in_space: it treats training and held-out patients alike, or the test of its scores is not exact.
        asked: on what.
    """
    samples, attack = drawn(asked.real, asked.made, asked.seed).samples, in_all_spaces(in_space)
    found = controlled(id, title, about, _by_site(samples, *attack(samples)), attack, asked)
    values = []
    for space, words in SPACES.items():
        sides = _scores(TOGETHER, samples, *_in(samples, in_space, space)).by_patient("mean")
        values.append(Value.of(f"AUC by {words} alone", auc(*sides), note="not tested by itself"))
    return replace(found, row=found.row.model_copy(update={"values": (*found.row.values, *values)}))


def controlled(
    id: str, title: str, about: str, found: list[Scores], attack: Attack, asked: SampleQuestion
) -> Undecided:
    """The row of scores, beside the controls of the attack that gave them.

    Where the membership results of these patients are invalid, or patients are too few, no control would change it.
    """
    invalid = why_invalid(asked.real, asked.options, asked.seed)
    judged = rules(asked.options, asked.model, asked.seed)
    row = membership(id, title, about, found, judged, invalid=invalid)
    if invalid is not None or not pool(found).judged(asked.options.minimum_patients):
        return row

    def p(samples: Samples) -> float:
        scores = _scores(TOGETHER, samples, *attack(samples))
        return worse_of(*(above_chance(*scores.by_patient(how)) for how in ("mean", "max")))

    return beside_controls(row, p, asked.real, asked.made, asked.options.alpha, asked.seed)


def _scores(name: str, samples: Samples, train: Tensor, held_out: Tensor) -> Scores:
    sides = samples.together
    return Scores(
        name,
        _numbers(train),
        sides.train.patients.numpy(),
        _numbers(held_out),
        sides.held_out.patients.numpy(),
    )


def _by_site(samples: Samples, train: Tensor, held_out: Tensor) -> list[Scores]:
    found, at = [], [0, 0]
    for site in samples.sites:
        end = [at[0] + site.train.n_images, at[1] + site.held_out.n_images]
        found.append(
            Scores(
                site.site,
                _numbers(train[at[0] : end[0]]),
                site.train.patients.numpy(),
                _numbers(held_out[at[1] : end[1]]),
                site.held_out.patients.numpy(),
            )
        )
        at = end
    return found


def _numbers(scores: Tensor) -> NDArray[np.float64]:
    return scores.double().numpy()
