"""Planted faults: the installed code with exactly one thing replaced by a mistake that has been made before."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from fedgen.families.contract import Draws, Objective
from fedgen.selftest.joint_faults import ClipsParts, integers_of_parts, several, train_apart
from fedgen.selftest.patients import batch
from fedgen.selftest.subject import Step, Subject, local_steps, perturbed
from fedgen.task.records import Records
from fedgen.training.backends import Backend
from fedgen.training.functional import batch_loss
from fedgen.training.local import Gaussian, LocalPlan
from fedgen.training.training_patients import TrainingPatients
from fedgen_privacy.accounting import Spend, epsilon_prv
from fedgen_privacy.distributed import NoiseShare, noise_share
from fedgen_privacy.gradients.hooks import HookedGradients
from fedgen_privacy.gradients.layers import Rule, rule_of
from fedgen_privacy.gradients.protocol import Batch, Gradients, Params, size_of
from fedgen_privacy.gradients.tree import tree_map
from fedgen_privacy.integer_step import Ring, integer_sum, with_noise
from fedgen_privacy.random import SecretRandom
from fedgen_privacy.step import GaussianStep, PrivateGradient


@dataclass(frozen=True)
class Fault:
    """A mistake, and how to make it.

    Attributes:
        name: what went wrong.
        plant: the subject with the mistake in it.
        possible: whether the subject's networks have what the mistake is made in.
    """

    name: str
    plant: Callable[[Subject], Subject]
    possible: Callable[[Subject], bool] = lambda subject: True


class _WeakNoise(SecretRandom):
    """30 % of the noise that is accounted."""

    def gaussian(self, shape: torch.Size | tuple[int, ...], std: float) -> Tensor:
        return super().gaussian(shape, 0.3 * std)


class _SharedNoise(SecretRandom):
    """One number for all coordinates: right in each, and gone in the difference of two."""

    def gaussian(self, shape: torch.Size | tuple[int, ...], std: float) -> Tensor:
        return super().gaussian((1,), std).expand(math.prod(shape)).reshape(shape)


class _Shuffled(SecretRandom):
    """Batches of a fixed size from a shuffled list of the patients, epoch after epoch."""

    _order: Tensor | None = None

    def poisson_sample(self, n: int, q: float) -> Tensor:
        size = max(1, round(q * n))
        if self._order is None or len(self._order) < size:
            self._order = self.permutation(n)
        batch, self._order = self._order[:size], self._order[size:]
        return batch


class _WrongRate(SecretRandom):
    """Patients are taken more often than the accountant is told."""

    def poisson_sample(self, n: int, q: float) -> Tensor:
        return super().poisson_sample(n, min(1.0, 1.25 * q))


class _TwoBatches(SecretRandom):
    """Two batches in one sum, noised and accounted as one."""

    def poisson_sample(self, n: int, q: float) -> Tensor:
        return torch.cat([super().poisson_sample(n, q), super().poisson_sample(n, q)])


def _known_key() -> SecretRandom:
    return SecretRandom(bytes(32))


@dataclass(frozen=True)
class _Unclipped(GaussianStep):
    """The noise of C without its clip."""

    def __call__(
        self, per_record: Gradients, params: Params, batch: Batch | None, random: SecretRandom
    ) -> PrivateGradient:
        return _without_clip(self)(per_record, params, batch, random)


def _without_clip(step: GaussianStep) -> GaussianStep:
    C, sigma = step.clipping_norm, step.noise_multiplier
    return GaussianStep(1e6 * C, 1e-6 * sigma, step.expected_batch, step.loss_bounds, step.chunk)


def _train_unclipped(
    objectives: tuple[Objective, ...],
    networks: Mapping[str, nn.Module],
    cohort: TrainingPatients,
    plan: LocalPlan,
    random: SecretRandom,
) -> list[Params]:
    if plan.mechanism is not None:
        C, sigma = plan.mechanism.clipping_norm, plan.mechanism.noise_multiplier
        plan = replace(plan, mechanism=Gaussian(1e6 * C, 1e-6 * sigma))
    return local_steps(objectives, networks, cohort, plan, random)


@dataclass(frozen=True)
class _Mean(GaussianStep):
    """Divides by the patients that happened to be in the batch."""

    def __call__(
        self, per_record: Gradients, params: Params, batch: Batch | None, random: SecretRandom
    ) -> PrivateGradient:
        size = 1 if batch is None else size_of(batch)
        mean = GaussianStep(
            self.clipping_norm, self.noise_multiplier, float(size), self.loss_bounds, self.chunk
        )
        return mean(per_record, params, batch, random)


@dataclass(frozen=True)
class _ClipsImages(GaussianStep):
    """Clips every image and calls it a patient."""

    def __call__(
        self, per_record: Gradients, params: Params, batch: Any, random: SecretRandom
    ) -> PrivateGradient:
        images = None if batch is None else {name: _as_patients(*part) for name, part in batch.items()}
        return super().__call__(per_record, params, images, random)


def _as_patients(records: Records, drawn: Draws) -> tuple[Records, Draws]:
    """Every image as a patient of its own."""
    present = torch.stack([*records.weights.values()]).amax(dim=0).flatten() > 0
    records, drawn = tree_map(lambda tensor: tensor.flatten(0, 1)[present].unsqueeze(1), (records, drawn))
    return records._replace(weights=tree_map(lambda w: (w > 0).to(w.dtype), records.weights)), drawn


class _Fronted(nn.Module):
    """A network behind a layer through which its images pass."""

    def __init__(self, front: nn.Module, network: nn.Module) -> None:
        super().__init__()
        self.front = front
        self.network = network

    def forward(self, x: Tensor, *rest: Any) -> Any:
        return self.network(self.front(x), *rest)


class _Codebook(nn.Module):
    """The codebook of a VQ-VAE (van den Oord et al. 2017, appendix A.1): a moving average of raw data."""

    mean: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            self.mean.mul_(0.99).add_(0.01 * x.mean())
        return x


def _batch_norm(x: Tensor) -> nn.Module:
    kind = {2: nn.BatchNorm1d, 4: nn.BatchNorm2d, 5: nn.BatchNorm3d}[x.ndim]
    return kind(x.shape[1])


def _first_input(subject: Subject) -> tuple[str, Tensor]:
    """The first network that a loss calls of those that it updates, and what it is given, rows first."""
    networks, patients = perturbed(subject, torch.float64), batch(subject)
    calls: list[tuple[str, Tensor]] = []
    objective = subject.objectives[0]
    for name in objective.updates:
        networks[name].register_forward_pre_hook(lambda _, args, name=name: calls.append((name, args[0])))
    objective.loss(networks, patients.records, patients.draws[objective.name])
    return calls[0]


def _behind(front: Callable[[Tensor], nn.Module]) -> Callable[[Subject], Subject]:
    def plant(subject: Subject) -> Subject:
        trained, x = _first_input(subject)

        def networks() -> dict[str, nn.Module]:
            built = subject.networks()
            return {**built, trained: _Fronted(front(x), built[trained]).train()}

        return replace(subject, networks=networks)

    return plant


def _one_step(spends: Sequence[Spend], delta: float) -> float:
    """Epsilon that forgets to compose."""
    return epsilon_prv([replace(spend, steps=min(spend.steps, 1)) for spend in spends], delta)


def _for_all_sites(**asked: Any) -> NoiseShare:
    """A share sized for every site of the roster, as if none failed and none told."""
    right = noise_share(**asked)
    honest = asked["needed"] - max(1, asked["colluders"])
    return replace(right, std=right.std * (honest / asked["sites"]) ** 0.5)


def _unclipped_integers(*arguments: Any, clipping_norm: float, share: NoiseShare, **options: Any) -> Tensor:
    """Rounded sums of whole gradients; the check of each record's norm is off, too."""
    lax = replace(share, sensitivity=10**9)
    return integer_sum(*arguments, clipping_norm=100 * clipping_norm, share=lax, **options)


def _weak_integers(total: Tensor, share: NoiseShare, random: SecretRandom) -> Ring:
    """30 % of the share."""
    return with_noise(total, replace(share, std=0.3 * share.std), random)


def _make(step: Callable[..., Step]) -> Callable[[Subject], Subject]:
    return lambda subject: replace(subject, step=step)


def _draw(random: Callable[[], SecretRandom]) -> Callable[[Subject], Subject]:
    return lambda subject: replace(subject, random=random)


_TRAINER_WITHOUT_CLIP = Fault(
    "clipping off in the trainer", lambda subject: replace(subject, train=_train_unclipped)
)


def _misread(layer: nn.Module) -> Rule:
    """Reads a convolution's input as if its memory were in the order of its axes, as Opacus 1.6 does."""
    right = rule_of(layer)

    def rule(
        layer: nn.Module, params: Params, inputs: tuple[Tensor, ...], backprop: Tensor, b: int
    ) -> Params:
        read = tuple(x.as_strided(x.shape, torch.empty(x.shape, device="meta").stride()) for x in inputs)
        return right(layer, params, read, backprop, b)

    return rule if isinstance(layer, nn.Conv2d | nn.Conv3d) else right


def _rows_alone(layer: nn.Module) -> Rule:
    """Takes each row for a record, as Opacus does where a patient's images and draws are repeated rows."""
    right = rule_of(layer)

    def rule(
        layer: nn.Module, params: Params, inputs: tuple[Tensor, ...], backprop: Tensor, b: int
    ) -> Params:
        return right(layer, params, inputs, backprop, len(backprop))

    return rule


def _channels_last(networks: Mapping[str, nn.Module]) -> dict[str, nn.Module]:
    """The same networks, with the memory of every convolution's input in the order that MONAI's attention leaves."""
    for network in networks.values():
        for layer in network.modules():
            if isinstance(layer, nn.Conv2d | nn.Conv3d):
                layer.register_forward_pre_hook(_last)
                # What comes out would be in that order, too, and a `view` further on refuse it.
                layer.register_forward_hook(lambda _, inputs, output: output.contiguous())
    return dict(networks)


def _last(_: nn.Module, inputs: tuple[Tensor]) -> tuple[Tensor]:
    order = torch.channels_last if inputs[0].ndim == 4 else torch.channels_last_3d
    return (inputs[0].contiguous(memory_format=order),)


def _hooks_by(rules: Callable[[nn.Module], Rule]) -> Callable[[Subject], Subject]:
    def gradients(objective: Objective, networks: Mapping[str, nn.Module], backend: Backend) -> Gradients:
        updated = {name: networks[name] for name in objective.updates}
        return HookedGradients(batch_loss(objective, networks), updated, rules)

    return lambda subject: replace(subject, backend="hooks", gradients=gradients)


def _misread_channels_last(subject: Subject) -> Subject:
    planted = _hooks_by(_misread)(subject)
    return replace(planted, networks=lambda: _channels_last(subject.networks()))


def _convolves(subject: Subject) -> bool:
    networks = subject.networks()
    trained = [networks[name] for objective in subject.objectives for name in objective.updates]
    return any(isinstance(layer, nn.Conv2d | nn.Conv3d) for network in trained for layer in network.modules())


#: Planted in every family where they are possible, for the checks of a family to find.
FAMILY_FAULTS = (
    _TRAINER_WITHOUT_CLIP,
    Fault("clipping off in the step", _make(_Unclipped)),
    Fault("mean instead of sum", _make(_Mean)),
    Fault("images clipped, patients reported", _make(_ClipsImages)),
    Fault("BatchNorm", _behind(_batch_norm)),
    Fault("EMA codebook", _behind(lambda x: _Codebook())),
    Fault("clipping off in integers", lambda subject: replace(subject, integers=_unclipped_integers)),
    Fault("each objective clipped by itself", _make(ClipsParts), several),
    Fault(
        "each objective's integers by themselves", lambda s: replace(s, integers=integers_of_parts), several
    ),
)
#: Planted in every family where they are possible, with gradients by hooks.
BACKEND_FAULTS = (
    Fault("channels-last misread", _misread_channels_last, _convolves),
    # Parts of different numbers of rows do not even stand side by side.
    Fault("rows clipped, patients reported", _hooks_by(_rows_alone), lambda subject: not several(subject)),
)
#: Planted once, for the checks of what all families share to find.
SHARED_FAULTS = (
    _TRAINER_WITHOUT_CLIP,
    Fault("noise x 0.3", _draw(_WeakNoise)),
    Fault("noise shared by coordinates", _draw(_SharedNoise)),
    Fault("noise under a known key", _draw(_known_key)),
    Fault("shuffle instead of Poisson", _draw(_Shuffled)),
    Fault("wrong sampling rate", _draw(_WrongRate)),
    Fault("gradient of two batches", _draw(_TwoBatches)),
    Fault("one step of each objective", lambda subject: replace(subject, train=train_apart)),
    Fault("30 % of the integer noise", lambda subject: replace(subject, noised=_weak_integers)),
    Fault("noise shared among all sites", lambda subject: replace(subject, share=_for_all_sites)),
    Fault("accountant forgets steps", lambda subject: replace(subject, epsilon=_one_step)),
)
