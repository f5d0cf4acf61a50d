"""The thing under test: every part a privacy claim rests on, each replaceable by a mistake."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor, nn

from fedgen.families.contract import Objective, objectives_of
from fedgen.families.registry import family_class, specs
from fedgen.schema.section import Section
from fedgen.selftest.tasks import CLASSES, IMAGES, GatedTask, cells
from fedgen.task.task import Task, image_of_class
from fedgen.training.backends import Backend, gradients_of
from fedgen.training.joint import Joint
from fedgen.training.local import LocalPlan, LocalTrainer
from fedgen.training.training_patients import TrainingPatients
from fedgen_privacy.accounting import Spend, epsilon_prv, epsilon_rdp
from fedgen_privacy.distributed import NoiseShare, noise_share
from fedgen_privacy.gradients.joint import named
from fedgen_privacy.gradients.protocol import Batch, Gradients, Params
from fedgen_privacy.integer_step import Ring, integer_sum, with_noise
from fedgen_privacy.random import SecretRandom
from fedgen_privacy.step import GaussianStep, PrivateGradient

#: `fedgen.training.backends.gradients_of`
GradientsMaker = Callable[[Objective, Mapping[str, nn.Module], Backend], Gradients]

#: a private step as `GaussianStep` takes it
Step = Callable[[Gradients, Params, Batch | None, SecretRandom], PrivateGradient]


class StepMaker(Protocol):
    """`fedgen_privacy.step.GaussianStep`."""

    def __call__(
        self,
        *,
        clipping_norm: float,
        noise_multiplier: float,
        expected_batch: float,
        loss_bounds: tuple[float, ...],
        chunk: int,
    ) -> Step:
        """A step with this mechanism."""


class Train(Protocol):
    """Local steps of the trainer, seen through what each of them would release."""

    def __call__(
        self,
        objectives: tuple[Objective, ...],
        networks: Mapping[str, nn.Module],
        cohort: TrainingPatients,
        plan: LocalPlan,
        random: SecretRandom,
    ) -> list[Params]:
        """The noised gradients the optimizers were given, as one vector, for each step."""


#: epsilon of a history at delta
Accountant = Callable[[Sequence[Spend], float], float]


class _Watched(LocalTrainer):
    """The installed trainer, with what it gave the optimizers since the last step."""

    given: dict[str, Params]

    def apply(self, objective: Objective, gradients: Mapping[str, Tensor]) -> None:
        super().apply(objective, gradients)
        self.given[objective.name] = {name: tensor.clone() for name, tensor in gradients.items()}


def local_steps(
    objectives: tuple[Objective, ...],
    networks: Mapping[str, nn.Module],
    cohort: TrainingPatients,
    plan: LocalPlan,
    random: SecretRandom,
) -> list[Params]:
    """The installed trainer: `LocalTrainer`, the one that every site runs."""
    trainer = _Watched(objectives, networks)
    trainer.given = {}
    released: list[Params] = []

    def collect(step: int) -> None:
        released.append(named(trainer.given))
        trainer.given = {}

    trainer.run(cohort, plan, random, collect)
    return released


@dataclass(frozen=True)
class Subject:
    """What is under test; the defaults are what is installed.

    Attributes:
        family: the family's name.
        networks: fresh networks by name, in the mode in which they are trained.
        objectives: the family's objectives on data.
        task: what its records are of.
        device: torch device of the gradient checks and of the trainer.
        backend: how per-record gradients are computed.
        gradients: makes per-record gradients of an objective and networks.
        step: the private step.
        random: sampling and noise, fresh at each call.
        integers: a site's sum of clipped and rounded records in mode distributed.
        share: a site's share of the noise there.
        noised: a site's sum with that noise.
        train: the trainer.
        epsilon: the accountant whose number is printed.
        epsilon_rdp: the accountant it is checked against.
    """

    family: str
    networks: Callable[[], dict[str, nn.Module]]
    objectives: tuple[Objective, ...]
    task: Task = field(default_factory=lambda: image_of_class(IMAGES[2], CLASSES))
    device: str = "cpu"
    backend: Backend = "vmap"
    gradients: GradientsMaker = gradients_of
    step: StepMaker = GaussianStep
    random: Callable[[], SecretRandom] = SecretRandom
    integers: Callable[..., Tensor] = integer_sum
    share: Callable[..., NoiseShare] = noise_share
    noised: Callable[[Tensor, NoiseShare, SecretRandom], Ring] = with_noise
    train: Train = local_steps
    epsilon: Accountant = epsilon_prv
    epsilon_rdp: Accountant = epsilon_rdp

    @property
    def joint(self) -> Joint:
        """The objectives as the trainer steps with them."""
        return Joint(self.objectives)

    def per_record(self, networks: Mapping[str, nn.Module]) -> Gradients:
        """A patient's gradients of all objectives as one vector."""
        return self.joint.gradients_by(lambda each: self.gradients(each, networks, self.backend))


def installed(
    family: str,
    device: str = "cpu",
    backend: Backend = "vmap",
    cell: GatedTask | None = None,
    options: Section | None = None,
) -> Subject:
    """The installed code with a small network of `family`.

    Args:
        family: its name.
        device: torch device.
        backend: of per-record gradients.
        cell: what is asked of it; the first that it does where None.
        options: instead of its small ones.

    Raises:
        ValueError: the family has no objective on data.
    """
    spec = specs()[family]
    task = (cell or next(cells(spec))).task
    built = family_class(family)(task, options or spec.small)
    objectives = tuple(objective for objective in objectives_of(built) if objective.touches_data)
    if not objectives:
        raise ValueError(f"the family {family} has no objective on data")
    return Subject(family, built.networks, objectives, task, device, backend)


def private_families() -> tuple[str, ...]:
    """Every registered family that may be trained privately, by name."""
    return tuple(spec.name for spec in specs().values() if spec.private)


def stepping_families() -> tuple[str, ...]:
    """Those of them that take steps, and are not made of sums alone."""
    return tuple(name for name in private_families() if not specs()[name].sums)


def perturbed(subject: Subject, dtype: torch.dtype) -> dict[str, nn.Module]:
    """The subject's networks away from their initial point, the same at every call.

    Layers that start at zero give every layer before them a zero gradient: compared there, any two gradients agree.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        networks = subject.networks()
        for network in networks.values():
            network.to(dtype)
            with torch.no_grad():
                for parameter in network.parameters():
                    parameter.add_(0.1 * torch.randn_like(parameter))
            network.to(subject.device)
    return networks
