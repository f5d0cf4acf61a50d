"""A site's local steps: the one trainer of every family.

The objectives that touch data take a private step together (or, in a study without privacy, a plain one); the
others see only networks that are already private and train plainly.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from fedgen.families.contract import PROGRESS, Draws, Objective
from fedgen.task.records import Records
from fedgen.training.backends import Backend, Precision, casting
from fedgen.training.functional import trainable
from fedgen.training.joint import Joint, JointBatch, reading
from fedgen.training.optimizer_state import memory_of, remember
from fedgen.training.training_patients import TrainingPatients
from fedgen_privacy.gradients.joint import named
from fedgen_privacy.gradients.protocol import Params
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
        span: the shares of the study's training that are done before the round and after it; None outside of one.
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
    span: tuple[float, float] | None = None

    def told(self, objective: Objective, draws: Draws, step: int) -> Draws:
        """The draws of a step of the round, from 1, with how far the study is where the objective asks."""
        if self.span is None or not objective.paced:
            return draws
        begin, end = self.span
        done = begin + (end - begin) * (step - 1) / self.steps
        like = next(iter(draws.values()))
        return {**draws, PROGRESS: torch.full((len(like),), done, device=like.device)}


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
            joint = reading(self.objectives, step)
            for objective in self.objectives:
                losses: dict[str, LossReport] = {}
                if objective.touches_data:
                    # All at once, where the first of them stands.
                    if joint is not None and objective is joint.objectives[0]:
                        losses = self._with_data(joint, cohort, plan, random, draws_rng, step)
                elif self.due(objective, step):
                    losses = {objective.name: self.without_data(objective, plan, draws_rng, step)}
                for name, loss in losses.items():
                    running[name].add(loss.value, loss.std)
            if on_step is not None:
                on_step(step)
        return {name: losses.report() for name, losses in running.items() if losses.count}

    def due(self, objective: Objective, step: int) -> bool:
        """Whether an objective without data has its turn in a step, counted from 1; asked once a step."""
        due = objective.due(step, memory_of(self.optimizers[objective.name]))
        if not due:
            self._remember(objective, None)
        return due

    def _remember(self, objective: Objective, draws: Draws | None) -> None:
        optimizer = self.optimizers[objective.name]
        remember(optimizer, objective.remember(self.networks, draws, memory_of(optimizer)))

    def _with_data(
        self,
        joint: Joint,
        cohort: TrainingPatients,
        plan: LocalPlan,
        random: SecretRandom,
        draws_rng: torch.Generator,
        step: int,
    ) -> dict[str, LossReport]:
        batch = sampled(joint, cohort, plan, random, draws_rng, step)
        if plan.mechanism is not None:
            gradients, reports = self._private(joint, batch, plan, random)
        elif batch is None:
            return {}
        else:
            gradients, reports = self._plain_jointly(joint, batch, plan)
        for objective, part in joint.parts(gradients):
            self.apply(objective, part)
        return reports

    def apply(self, objective: Objective, gradients: Mapping[str, Tensor]) -> None:
        """Let an objective's optimizer take a step with these gradients, by parameter name."""
        for name, parameter in trainable(objective, self.networks).items():
            parameter.grad = gradients[name].to(parameter.device)
        self.optimizers[objective.name].step()

    def without_data(
        self, objective: Objective, plan: LocalPlan, draws_rng: torch.Generator, step: int
    ) -> LossReport:
        """A plain step of an objective that reads no data; the step's number in the round is from 1."""
        drawn = plan.told(objective, objective.draw(plan.batch, 1, 1, draws_rng), step)
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

    def _plain_jointly(
        self, joint: Joint, batch: JointBatch, plan: LocalPlan
    ) -> tuple[Params, dict[str, LossReport]]:
        parts, reports = {}, {}
        for objective in joint.objectives:
            name = objective.name
            params = trainable(objective, self.networks)
            parts[name], value = self._plain(objective, params, batch.records, batch.draws[name], plan)
            reports[name] = LossReport(value, 0.0)
        return named(parts), reports

    def _private(
        self, joint: Joint, batch: JointBatch | None, plan: LocalPlan, random: SecretRandom
    ) -> tuple[Params, dict[str, LossReport]]:
        assert plan.mechanism is not None
        step = GaussianStep(
            clipping_norm=plan.mechanism.clipping_norm,
            noise_multiplier=plan.mechanism.noise_multiplier,
            expected_batch=float(plan.batch),
            loss_bounds=joint.loss_bounds,
            chunk=plan.chunk,
        )
        per_record = joint.gradients(self.networks, plan.backend, plan.precision)
        values = joint.values(self.networks)
        private = step(per_record, values, None if batch is None else joint.batch(batch), random)
        losses = zip(joint.names, private.losses, private.loss_stds, strict=True)
        return private.gradients, {name: LossReport(value, std) for name, value, std in losses}


def sampled(
    joint: Joint,
    cohort: TrainingPatients,
    plan: LocalPlan,
    random: SecretRandom,
    draws_rng: torch.Generator,
    step: int,
) -> JointBatch | None:
    """A Poisson sample of the cohort's records with each objective's random numbers; None where nobody is in it.

    The step's number in the round is from 1.
    """
    patients = random.poisson_sample(cohort.n_records, plan.sampling_rate)
    if not len(patients):
        return None
    records = cohort.records(patients, random)
    drawn = joint.draw(len(patients), plan.images, plan.multiplicity, draws_rng)
    draws = {each.name: plan.told(each, drawn[each.name], step) for each in joint.objectives}
    return tree_map(lambda tensor: tensor.to(plan.device), JointBatch(records, draws))
