"""What audit and evaluation tell where they are paid for: the blocks of a study, and its rows from noised sums."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from fedgen.data.site_data import LabelledImages
from fedgen.evidence.middle import made_as_pictures
from fedgen.evidence.noised.block import FloatArray, Kind, NoisedBlock, NoisedRow, Sums, blocks_of
from fedgen.evidence.noised.noised_membership import NoisedMembership, with_score
from fedgen.evidence.noised.noised_moments import moments_block
from fedgen.evidence.noised.noised_worth import worth_blocks
from fedgen.evidence.open_model import Score
from fedgen.run.evidence_files import Audited, AuditNumbers, Claim, Evaluated, EvaluationNumbers
from fedgen.run.row import Row
from fedgen.study.study import Study

#: Share of a test patient's vector for what the release is worth; the rest is for how like it is.
WORTH = 0.6
_ALWAYS = (
    "Of audit and evaluation nothing left the sites but noised sums: how many patients are behind a number is itself "
    "known through noise alone.",
    "Which patients train, audit and test is taken as fixed, and the noise is of floating-point numbers.",
)
_AUDIT = (
    "One attack, chosen beforehand, was told: copies, neighbours, data copying and other attacks stayed at the sites.",
)
_EVALUATION = (
    "One synthetic set of one trained generator was evaluated: no spread covers training it again.",
    "The classifier is small and was trained on synthetic images alone; no real one stands beside it, whose comparison "
    "would have to be paid for.",
)


def blocks(study: Study, made: LabelledImages, epsilon: float) -> tuple[NoisedBlock, ...]:
    """What a patient tells, in the order of her vector.

    Args:
        study: with `evidence.privacy`.
        made: the release.
        epsilon: what the training patients were promised.
    """
    alpha, delta = study.audit.alpha, study.privacy.delta
    attack = NoisedMembership(None, None, alpha, epsilon, delta)
    pictures = made_as_pictures(made)
    worth = worth_blocks(pictures, study.data.classes, WORTH, alpha)
    return (attack, *worth, moments_block(pictures, 1 - WORTH if worth else 1.0))


def attacked(
    blocks: tuple[NoisedBlock, ...], score: Score, study: Study, made: LabelledImages
) -> tuple[NoisedBlock, ...]:
    """The same blocks, able to attack: the bins of the attack's score are made of the release.

    Args:
        blocks: of `blocks`.
        score: the attack `loss` on the model.
        study, made: as of `blocks`.
    """
    return tuple(
        with_score(each, score, study.made, made) if isinstance(each, NoisedMembership) else each
        for each in blocks
    )


def audited_privately(
    study: Study, rows: Sequence[Row], epsilon: float, patients: Mapping[str, int]
) -> Audited:
    """An audit of noised rows.

    Args:
        study: its seed, delta and alpha.
        rows: of noised sums.
        epsilon: claimed.
        patients: `train_patients`, whose number is public.
    """
    return Audited(
        alpha=study.audit.alpha,
        claim=Claim(epsilon=epsilon, delta=study.privacy.delta),
        n=dict(patients),
        rows=tuple(rows),
        limits=(*_AUDIT, *_ALWAYS),
        seed=study.study.seed,
    )


def evaluated_privately(study: Study, rows: Sequence[Row]) -> Evaluated:
    """An evaluation of noised rows."""
    return Evaluated(n={}, rows=tuple(rows), limits=(*_EVALUATION, *_ALWAYS), seed=study.study.seed)


def rows_of(blocks: tuple[NoisedBlock, ...], sums: Mapping[str, Sums], kind: Kind) -> tuple[NoisedRow, ...]:
    """The rows of one kind of answer, from sums alone."""
    return tuple(row for block in blocks_of(blocks, kind) for row in block.rows(sums[block.id]))


def rows_of_all(
    blocks: tuple[NoisedBlock, ...],
    answers: Sequence[AuditNumbers | EvaluationNumbers],
    noise_multiplier: float,
    kind: Kind,
) -> tuple[NoisedRow, ...]:
    """The rows over all sites: their sums added, whose noises' variances add up too.

    A site whose answer lacks a count of a block is not in that block's sums.

    Args:
        blocks: of the study.
        answers: of the sites.
        noise_multiplier: sigma of each site's sum.
        kind: which answers these are.
    """
    rows: list[NoisedRow] = []
    for block in blocks_of(blocks, kind):
        found = [told for each in answers if (told := _counts(block, each.rows)) is not None]
        if found:
            noise = noise_multiplier / math.sqrt(block.share) * math.sqrt(len(found))
            rows += block.rows(Sums(np.sum(found, axis=0), noise, len(found)))
    return tuple(rows)


def _counts(block: NoisedBlock, rows: Sequence[Row]) -> FloatArray | None:
    row = next((row for row in rows if row.id == block.sums_id), None)
    values = [None if row is None else row.get(name) for name in block.names]
    numbers = [each.value for each in values if each is not None and each.value is not None]
    return np.array(numbers, dtype=np.float64) if len(numbers) == len(block.names) else None
