"""A site's local steps: the one trainer of every family.

Each objective that touches data takes a private step (or, in a study without privacy, a plain one); the
others see only networks that are already private and train plainly.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from fedgen.families.contract import Draws, Objective
from fedgen.task.records import Records
from fedgen.training.backends import Backend, Precision, casting, gradients_of
from fedgen.training.functional import trainable
from fedgen.training.optimizer_state import memory_of, remember
from fedgen.training.training_patients import TrainingPatients
from fedgen_privacy.gradients.tree import tree_map
from fedgen_privacy.random import SecretRandom
from fedgen_privacy.step import GaussianStep


@dataclass(frozen=True)
class Gaussian:
    """The Gaussian mechanism of a private run: C and sigma."""

    clipping_norm: float
    noise_multiplier: float


@dataclass(frozen=True)
class LocalPlan:
    """Everything a round of local steps depends on besides model and data.

    Attributes:
        steps: local steps.
        batch: B, expected patients of a batch and divisor of the gradient.
        sampling_rate: q, each patient's probability to be in a batch.
        images: m, images of a patient in a record.
        multiplicity: K, draws an image.
        chunk: records differentiated at once.
        device: torch device.
        mechanism: None for a run without privacy.
        backend: how per-record gradients are computed.
        precision: of forward and backward passes.
    """

    steps: int
    batch: int
    sampling_rate: float
    images: int
    multiplicity: int
    chunk: int
    device: str
    mechanism: Gaussian | None
    backend: Backend = "vmap"
    precision: Precision = "float32"


@dataclass(frozen=True)
class LossReport:
    """Mean loss over steps; `std` is the standard deviation of the privacy noise in it, 0 without privacy."""

    value: float
    std: float


@dataclass
class _Running:
    total: float = 0.0
    variance: float = 0.0
    count: int = 0

    def add(self, value: float, std: float) -> None:
        self.total += value
        self.variance += std * std
        self.count += 1

    def report(self) -> LossReport:
        return LossReport(self.total / self.count, self.variance**0.5 / self.count)


@dataclass
class LocalTrainer:
    """Optimizers of a family's objectives, over one set of networks.

    Args:
        objectives: of the family, in the order of a step.
        networks: updated in place.
        learning_rate: overrides each objective's own where given.
    """

    objectives: tuple[Objective, ...]
    networks: Mapping[str, nn.Module]
    learning_rate: float | None = None
    optimizers: dict[str, torch.optim.Adam] = field(init=False)

    def __post_init__(self) -> None:
        self.optimizers = {
            objective.name: torch.optim.Adam(
                list(trainable(objective, self.networks).values()),
                lr=self.learning_rate or objective.optimizer.learning_rate,
                betas=objective.optimizer.betas,
            )
            for objective in self.objectives
        }

    def run(
        self,
        cohort: TrainingPatients,
        plan: LocalPlan,
        random: SecretRandom,
        on_step: Callable[[int], None] | None = None,
    ) -> dict[str, LossReport]:
        """Take `plan.steps` steps and return each objective's mean loss."""
        running = {objective.name: _Running() for objective in self.objectives}
        draws_rng = random.generator()
        for step in range(1, plan.steps + 1):
            for objective in self.objectives:
                if self.due(objective, step):
                    loss = self._step(objective, cohort, plan, random, draws_rng)
                    if loss is not None:
                        running[objective.name].add(loss.value, loss.std)
            if on_step is not None:
                on_step(step)
        return {name: losses.report() for name, losses in running.items() if losses.count}

    def due(self, objective: Objective, step: int) -> bool:
        """Whether an objective has its turn in a step, counted from 1; asked once a step."""
        # What touches data steps as `mechanism_steps` counts, whatever anything remembers.
        if objective.touches_data:
            return step % objective.every == 0
        due = objective.due(step, memory_of(self.optimizers[objective.name]))
        if not due:
            self._remember(objective, None)
        return due

    def _remember(self, objective: Objective, draws: Draws | None) -> None:
        optimizer = self.optimizers[objective.name]
        remember(optimizer, objective.remember(self.networks, draws, memory_of(optimizer)))

    def _step(
        self,
        objective: Objective,
        cohort: TrainingPatients,
        plan: LocalPlan,
        random: SecretRandom,
        draws_rng: torch.Generator,
    ) -> LossReport | None:
        params = trainable(objective, self.networks)
        if not objective.touches_data:
            return self.without_data(objective, plan, draws_rng)
        records, draws = sampled(objective, cohort, plan, random, draws_rng)
        if plan.mechanism is not None:
            gradients, report = self._private(objective, params, records, draws, plan, random)
        elif records is None:
            return None
        else:
            gradients, value = self._plain(objective, params, records, draws, plan)
            report = LossReport(value, 0.0)
        self.apply(objective, gradients)
        return report

    def apply(self, objective: Objective, gradients: Mapping[str, Tensor]) -> None:
        """Let an objective's optimizer take a step with these gradients, by parameter name."""
        for name, parameter in trainable(objective, self.networks).items():
            parameter.grad = gradients[name].to(parameter.device)
        self.optimizers[objective.name].step()

    def without_data(self, objective: Objective, plan: LocalPlan, draws_rng: torch.Generator) -> LossReport:
        """A plain step of an objective that reads no data."""
        drawn = objective.draw(plan.batch, 1, 1, draws_rng)
        draws = {name: tensor.to(plan.device) for name, tensor in drawn.items()}
        self._remember(objective, draws)
        gradients, value = self._plain(objective, trainable(objective, self.networks), None, draws, plan)
        self.apply(objective, gradients)
        return LossReport(value, 0.0)

    def _plain(
        self,
        objective: Objective,
        params: dict[str, Tensor],
        records: Records | None,
        draws: Draws,
        plan: LocalPlan,
    ) -> tuple[dict[str, Tensor], float]:
        with casting(plan.precision, plan.device):
            loss = objective.loss(self.networks, records, draws).mean()
        gradients = torch.autograd.grad(loss, list(params.values()))
        return dict(zip(params, gradients, strict=True)), float(loss.detach())

    def _private(
        self,
        objective: Objective,
        params: dict[str, Tensor],
        records: Records | None,
        draws: Draws,
        plan: LocalPlan,
        random: SecretRandom,
    ) -> tuple[dict[str, Tensor], LossReport]:
        assert plan.mechanism is not None
        step = GaussianStep(
            clipping_norm=plan.mechanism.clipping_norm,
            noise_multiplier=plan.mechanism.noise_multiplier,
            expected_batch=float(plan.batch),
            loss_bound=objective.loss_bound,
            chunk=plan.chunk,
        )
        values = {name: parameter.detach() for name, parameter in params.items()}
        batch = None if records is None else (records, draws)
        per_record = gradients_of(objective, self.networks, plan.backend, plan.precision)
        private = step(per_record, values, batch, random)
        return private.gradients, LossReport(private.loss, private.loss_std)


def sampled(
    objective: Objective,
    cohort: TrainingPatients,
    plan: LocalPlan,
    random: SecretRandom,
    draws_rng: torch.Generator,
) -> tuple[Records | None, Draws]:
    """A Poisson sample of the cohort's patients with the objective's random numbers; None where nobody is in it."""
    patients = random.poisson_sample(cohort.n_patients, plan.sampling_rate)
    if not len(patients):
        return None, {}
    records = cohort.records(patients, random)
    draws = objective.draw(len(patients), plan.images, plan.multiplicity, draws_rng)
    return tree_map(lambda tensor: tensor.to(plan.device), (records, draws))


def mechanism_steps(objectives: tuple[Objective, ...], local_steps: int) -> int:
    """How often the data are touched in `local_steps`: what one round costs in the accountant."""
    return sum(local_steps // objective.every for objective in objectives if objective.touches_data)
