"""Checks of each family: the gradient is each patient's own, and one clip bounds it."""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from fedgen.errors import PrivacyRefusedError
from fedgen.families.parts.noise_records import noise_records
from fedgen.selftest.finding import Check, CheckResult, at_most
from fedgen.selftest.patients import COUNTS, Pretended, batch, one
from fedgen.selftest.subject import Subject, perturbed
from fedgen.training.backends import Precision
from fedgen.training.functional import trainable
from fedgen.training.joint import JointBatch
from fedgen.training.local import Gaussian, LocalPlan
from fedgen.training.soundness import unsound
from fedgen_privacy.gradients.protocol import Batch, Gradients, Params, records_of
from fedgen_privacy.step import LOSS_SHARE, PrivateGradient

EQUALITY, NORMS, SUMS = "gradients equal a loop", "true clipped norm", "sum over a public divisor"
TRAINER, MIXED = "trainer clips patients", "trainer clips patients in bfloat16"

#: Relative difference of float64 gradients: rounding, and nothing else.
EXACT = 1e-9
#: Share of a patient's gradient that float32 may lose or add.
SINGLE = 1e-4
#: Share of the parameters that must have a gradient, or the comparison says nothing about them.
ALIVE = 0.9
#: Noise small enough to read the sum through it; not zero, since the trainer's plan asks for some.
SILENT = 1e-10
#: B of the steps below: more than the patients there are, so that a mean over those is not the same as the sum over B.
EXPECTED_BATCH = 16.0


def refusable(name: str) -> Callable[[Check], Check]:
    """Turn a refusal of hooks, or torch's to differentiate a forward pass that writes to a buffer, into a failure."""

    def decorate(check: Check) -> Check:
        @functools.wraps(check)
        def guarded(subject: Subject) -> CheckResult:
            try:
                return check(subject)
            except PrivacyRefusedError as error:
                return CheckResult(name, subject.family, False, float("inf"), 0.0, "<=", f"refused: {error}")
            except RuntimeError as error:
                # Other errors are defects, and must not count as a fault that was caught.
                if not re.search(r"in-?place", str(error)):
                    raise
                sentence = "refused: a forward pass writes to a buffer, so no gradient is one patient's alone"
                return CheckResult(name, subject.family, False, float("inf"), 0.0, "<=", sentence)

        return guarded

    return decorate


def independence(subject: Subject) -> CheckResult:
    """No patient's loss depends on another in the batch, and a forward pass stores nothing of the data."""
    networks = perturbed(subject, torch.float64)
    before = _buffers(networks)
    patients = batch(subject)
    together = _losses(subject, networks, patients)
    stored = sum(not torch.equal(before[name], buffer) for name, buffer in _buffers(networks).items())
    alone = torch.cat([_losses(subject, networks, one(patients, b)) for b in range(len(COUNTS))])
    difference = float(((together - alone).abs() / alone.abs().clamp_min(1e-12)).max())
    name = "patients are independent"
    if stored:
        sentence = (
            f"a forward pass rewrote {stored} buffers from the patients' images, outside every clip and noise"
        )
        return CheckResult(name, subject.family, False, float(stored), 0.0, "<=", sentence)
    sentence = "largest relative change of a patient's loss by the other patients in the batch, and no buffer written"
    return at_most(name, subject.family, difference, EXACT, sentence)


def soundness(subject: Subject) -> CheckResult:
    """What a private study is refused for: a layer or a loss that mixes patients, or keeps something of them."""
    found = unsound(subject.objectives, subject.networks(), subject.task, subject.backend)
    sentence = "how many layers or losses mix patients or remember them" if found is None else found.sentence
    return at_most("network is sound", subject.family, float(found is not None), 0.0, sentence)


@refusable(EQUALITY)
def equality(subject: Subject) -> CheckResult:
    """Per-record gradients equal ordinary autograd, one patient at a time, in float64."""
    per_record, params, patients, expected = _case(subject)
    alive = float((expected != 0).any(dim=0).double().mean())
    if alive < ALIVE:
        sentence = f"only {alive:.0%} of the parameters have a gradient, so a comparison would prove nothing"
        return CheckResult(EQUALITY, subject.family, False, alive, ALIVE, ">=", sentence)
    pieces = per_record(params, patients, chunk=3)
    actual = torch.cat([_rows(gradients) for gradients, _ in pieces])
    if len(actual) != len(expected):
        sentence = (
            f"{len(actual)} gradients, each of which would be clipped by itself, for {len(expected)} patients"
        )
        return CheckResult(EQUALITY, subject.family, False, len(actual), len(expected), "<=", sentence)
    error_of = float(((actual - expected).norm(dim=1) / expected.norm(dim=1)).max())
    return at_most(
        EQUALITY, subject.family, error_of, EXACT, "largest relative error of a patient's gradient, float64"
    )


@refusable(NORMS)
def clipped_norms(subject: Subject) -> CheckResult:
    """One patient, images and draws together, moves gradient and reported loss by at most C."""
    per_record, params, patients, expected = _case(subject)
    C = _clipping_norm(subject, expected)
    nobody = _released(subject, per_record, params, None, C)
    moved = []
    for b in range(len(COUNTS)):
        alone = records_of(patients, b, b + 1)
        with_b = _released(subject, per_record, params, alone, C)
        gradient = EXPECTED_BATCH * (_vector(with_b.gradients) - _vector(nobody.gradients)).norm()
        # In the units of the noise, which is the same for each loss as for every coordinate of the gradient.
        reported = [
            (there - before) / std * SILENT * C
            for there, before, std in zip(with_b.losses, nobody.losses, with_b.loss_stds, strict=True)
        ]
        moved.append(math.hypot(float(gradient), *reported))
    sentence = "largest change of gradient sum and reported losses by one patient, in clipping norms C"
    return at_most(NORMS, subject.family, max(moved) / C, 1 + 1e-6, sentence)


@refusable(SUMS)
def clipped_sums(subject: Subject) -> CheckResult:
    """The step is the SUM of clipped gradients over the public B, whatever the number of patients in the batch."""
    per_record, params, patients, expected = _case(subject)
    C = _clipping_norm(subject, expected)
    share = C * (1 - LOSS_SHARE**2) ** 0.5
    clipped = expected * (share / expected.norm(dim=1, keepdim=True)).clamp(max=1)
    worst = 0.0
    for size in (1, len(COUNTS)):
        some = records_of(patients, 0, size)
        released = _vector(_released(subject, per_record, params, some, C).gradients)
        wrong = (EXPECTED_BATCH * released - clipped[:size].sum(dim=0)).norm() / C
        worst = max(worst, float(wrong))
    sentence = "largest distance of a step from the sum of clipped gradients over the expected batch, in clipping norms"
    return at_most(SUMS, subject.family, worst, 1e-6, sentence)


@refusable(TRAINER)
def trained_norm(subject: Subject) -> CheckResult:
    """What the trainer itself gives the optimizer for one patient with three images is within C / B."""
    sentence = "norm of one patient's part in the trainer's own step, in clipping norms (float32)"
    return at_most(TRAINER, subject.family, _trained_norm(subject, "float32"), 1 + SINGLE, sentence)


@refusable(MIXED)
def mixed_norm(subject: Subject) -> CheckResult:
    """The same with forward and backward passes in bfloat16: rounding before the clip cannot loosen it."""
    sentence = "norm of one patient's part in the trainer's own step, in clipping norms (bfloat16)"
    return at_most(MIXED, subject.family, _trained_norm(subject, "bfloat16"), 1 + SINGLE, sentence)


def _trained_norm(subject: Subject, precision: Precision) -> float:
    networks = perturbed(subject, torch.float32)
    M, C, B = 3, 1e-3, 2
    patient = Pretended(noise_records(subject.task, (M,), torch.Generator().manual_seed(3)))
    plan = LocalPlan(
        steps=1,
        batch=B,
        sampling_rate=1.0,
        images=M,
        multiplicity=2,
        chunk=2,
        device=subject.device,
        mechanism=Gaussian(C, SILENT),
        backend=subject.backend,
        precision=precision,
    )
    released = subject.train(subject.objectives, networks, patient, plan, subject.random())
    return B * float(_vector(released[0]).norm()) / C


#: What every backend must pass in every family.
BACKEND_CHECKS: tuple[Check, ...] = (
    soundness,
    equality,
    clipped_norms,
    clipped_sums,
    trained_norm,
    mixed_norm,
)
#: What a family must pass however its gradients are computed.
FAMILY_CHECKS: tuple[Check, ...] = (independence,)


def _case(subject: Subject) -> tuple[Gradients, Params, Batch, Tensor]:
    """Gradients and parameters as the step takes them, the batch, and the true gradients (B, P)."""
    networks = perturbed(subject, torch.float64)
    patients, joint = batch(subject), subject.joint
    expected = [_true_gradient(subject, networks, one(patients, b)) for b in range(len(COUNTS))]
    return (
        subject.per_record(networks),
        joint.values(networks),
        joint.batch(patients),
        torch.stack(expected),
    )


def _true_gradient(subject: Subject, networks: Mapping[str, nn.Module], patient: JointBatch) -> Tensor:
    """(P,) of one patient, by ordinary autograd: every objective's, for the networks it updates."""
    found: list[Tensor] = []
    for objective in subject.objectives:
        loss = objective.loss(networks, patient.records, patient.draws[objective.name]).sum()
        found += torch.autograd.grad(loss, list(trainable(objective, networks).values()))
    return torch.cat([gradient.flatten() for gradient in found])


def _losses(subject: Subject, networks: Mapping[str, nn.Module], patients: JointBatch) -> Tensor:
    """(B, objectives)."""
    found = [
        objective.loss(networks, patients.records, patients.draws[objective.name]).detach()
        for objective in subject.objectives
    ]
    return torch.stack(found, dim=1)


def _clipping_norm(subject: Subject, gradients: Tensor) -> float:
    """A C that clips every patient, in each objective's part of the vector by itself."""
    networks = subject.networks()
    sizes = [sum(p.numel() for p in trainable(each, networks).values()) for each in subject.objectives]
    norms = torch.stack([part.norm(dim=1) for part in gradients.split(sizes, dim=1)])
    return float(norms[norms > 0].min()) / 2


def _released(
    subject: Subject, per_record: Gradients, params: Params, patients: Batch | None, C: float
) -> PrivateGradient:
    step = subject.step(
        clipping_norm=C,
        noise_multiplier=SILENT,
        expected_batch=EXPECTED_BATCH,
        loss_bounds=subject.joint.loss_bounds,
        chunk=3,
    )
    return step(per_record, params, patients, subject.random())


def _buffers(networks: Mapping[str, nn.Module]) -> dict[str, Tensor]:
    return {
        f"{network}/{name}": buffer.clone()
        for network, module in networks.items()
        for name, buffer in module.named_buffers()
    }


def _rows(gradients: Params) -> Tensor:
    return torch.cat([g.flatten(1) for g in gradients.values()], dim=1)


def _vector(gradients: Params) -> Tensor:
    return torch.cat([g.flatten() for g in gradients.values()])
