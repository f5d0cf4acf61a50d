"""What a generative family is: networks, contributions, a sampler and a score; never a trainer.

A contribution is what a patient gives, as a bounded vector; there are two kinds. An objective gives one loss PER
RECORD, and a record is a PATIENT: up to M images, each with K draws of noise, averaged inside the loss. The private
trainer differentiates that loss for one record at a time, so one clip bounds the whole patient; the plain trainer
averages it over the batch. A statistic gives one vector per record, bounded by construction, and few sums of it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from fedgen.priors.prior import Prior
from fedgen.task.records import Records
from fedgen.task.task import Task

#: A network inside a loss: called like the module, whatever parameters stand behind it.
Apply = Callable[..., Any]

#: Told (parts done, parts in all) while something long is going on.
Told = Callable[[int, int], None]

#: Random numbers of a step, drawn outside the loss; every tensor starts with the record dimension B.
Draws = dict[str, Tensor]

#: Among the draws of an objective that is `paced`, (B,): the share of the study's steps that are done, in [0, 1), which
#: is public. Outside of a study's rounds there is none, and a loss reads that all of them are done.
PROGRESS = "progress"

#: What an objective without data remembers from step to step and round to round: named scalars.
Memory = Mapping[str, Tensor]


def unheard(done: int, total: int) -> None:
    """Nobody is told."""


@dataclass(frozen=True)
class Adam:
    """Options of one objective's optimizer."""

    learning_rate: float
    betas: tuple[float, float] = (0.9, 0.999)


class Objective(ABC):
    """One loss and the networks it updates.

    Objectives that read data in one step are one vector of a record, clipped once (`fedgen.training.joint`). A family
    that wants one of them to weigh less multiplies its loss by a public constant, and `loss_bound` with it: Adam does
    not mind.
    """

    #: name in logs and results
    name: str
    #: networks whose parameters this objective updates
    updates: tuple[str, ...]
    #: whether the loss reads real images; if so, a private run gives it a DP step
    touches_data: bool
    #: public bound of one record's loss in what is reported; larger losses are reported as this
    loss_bound: float
    #: its turns are the steps whose number, from 1, is a multiple of this
    every: int = 1
    #: whether the loss asks how far the study is, see `PROGRESS`
    paced: bool = False
    #: whether the loss differentiates a network by itself (`torch.func`), where hooks cannot follow: vmap is then taken
    second_order: bool = False
    optimizer: Adam

    @abstractmethod
    def draw(self, B: int, M: int, K: int, rng: torch.Generator) -> Draws:
        """Random numbers for B records of M images with K draws each; each tensor has shape (B, ...)."""

    @abstractmethod
    def loss(self, networks: Mapping[str, Apply], records: Records | None, draws: Draws) -> Tensor:
        """Loss of each record, shape (B,); no value of one record may depend on another record.

        A network is called with R rows, of which the first R / B belong to the first record, and so on.

        Args:
            networks: every network of the family by name, callable.
            records: the batch, or None for an objective that does not touch data.
            draws: what `draw` returned.
        """

    def why_never(self, steps: int) -> str | None:
        """Why the objective would never have a turn in so many steps in a row; None where it has."""
        if not self.touches_data or self.every <= steps:
            return None
        return (
            f"The objective {self.name} has a turn in one of {self.every} steps, but there are {steps} in a row, so "
            "that it would never have one: raise training.local_steps, or training.rounds where a round is one step"
        )

    def due(self, step: int, memory: Memory) -> bool:
        """Whether an objective that does not touch data has its turn.

        Those that do step at every multiple of `every`, as the accountant counts, and are never asked.

        Args:
            step: local step of the round, from 1.
            memory: what `remember` returned last; empty before the first step.
        """
        return step % self.every == 0

    def remember(self, networks: Mapping[str, nn.Module], draws: Draws | None, memory: Memory) -> Memory:
        """What to remember after a local step, from the networks before this objective's own update.

        Args:
            networks: every network of the family by name.
            draws: what the step's loss reads, or None where it was not this objective's turn.
            memory: what was remembered before.
        """
        return memory


class Statistic(ABC):
    """One vector a record, of which only a noised sum over records is ever seen."""

    #: name in logs and results
    name: str
    #: d, numbers of a record's vector
    length: int

    @abstractmethod
    def draw(self, B: int, M: int, K: int, rng: torch.Generator) -> Draws:
        """Random numbers for B records of M images with K draws each; each tensor has shape (B, ...)."""

    @abstractmethod
    def vectors(self, networks: Mapping[str, Apply], records: Records, draws: Draws) -> Tensor:
        """Vector of each record, shape (B, d), of L2 norm at most 1 whatever the record holds.

        No value of one record may depend on another record.

        Args:
            networks: every network of the family by name, callable.
            records: the batch.
            draws: what `draw` returned.
        """

    @abstractmethod
    def advance(self, networks: Mapping[str, nn.Module], means: Tensor, noise: float) -> dict[str, nn.Module]:
        """The networks after the sum; all of it is post-processing and costs no privacy.

        Args:
            networks: every network of the family by name; may be changed in place.
            means: (S, d) noised sums over the expected number of records, a row a sample of the patients; S is 1
                unless the study asks for more.
            noise: standard deviation of the privacy noise in each of their numbers; 0 without privacy.
        """

    def mistakes(self) -> dict[str, Statistic]:
        """This statistic with one mistake in it whose bound then fails, by what is wrong; the self-test plants each."""
        return {}


#: What a patient contributes to.
Contribution = Objective | Statistic

#: A membership attack by who has the networks: of B records (B,), or of several signs (B, k), of which the mean is
#: judged; higher means more likely a training record. The random numbers are the same for every record, and no value of
#: one record may depend on another.
Attack = Callable[[Mapping[str, nn.Module], Records, torch.Generator], Tensor]


class Family(ABC):
    """A set of networks with what patients contribute to them."""

    #: images that are best sampled at once; bounds memory
    batch: int = 64

    @abstractmethod
    def __init__(self, task: Task, options: Any) -> None:
        """For what is made from what, with the family's own options."""

    def on(self, prior: Prior) -> Family:
        """This family on another public prior, of the task's images; for a family whose `SPEC` says that it has one.

        Raises:
            TypeError: it stands on none.
        """
        raise TypeError(f"{type(self).__name__} stands on no prior")

    @abstractmethod
    def networks(self) -> dict[str, nn.Module]:
        """Fresh networks by name, initialised from torch's global generator, on the CPU, in eval mode."""

    @abstractmethod
    def contributions(self) -> tuple[Contribution, ...]:
        """What patients contribute to; the objectives in the order a local step runs them."""

    def finished(
        self, networks: dict[str, nn.Module], rng: torch.Generator, told: Told = unheard
    ) -> dict[str, nn.Module]:
        """What is made of the trained networks after the last round, once and by the coordinator; their names stay.

        It is given no data, so that it is post-processing and costs no privacy. The same random numbers must give the
        same networks, for a run that is resumed.

        Args:
            networks: with the model that is to be released, on the study's device; may be changed in place.
            rng: of every random number.
            told: of how much is done; only where it takes long enough to be told.
        """
        return networks

    @abstractmethod
    def sample(
        self, networks: Mapping[str, nn.Module], given: Mapping[str, Tensor], n: int, rng: torch.Generator
    ) -> Tensor:
        """n images, shape (n, C, *size), float32 in [-1, 1]; needs no gradient.

        Args:
            networks: every network of the family by name.
            given: the task's given fields by name, (n, ...) each.
            n: how many.
            rng: of every random number.
        """

    def sample_unfinished(
        self, networks: Mapping[str, nn.Module], given: Mapping[str, Tensor], n: int, rng: torch.Generator
    ) -> Tensor:
        """As `sample`, of networks between two rounds, of which `finished` has made nothing yet."""
        return self.sample(networks, given, n, rng)

    @abstractmethod
    def score(self, networks: Mapping[str, nn.Module], records: Records, rng: torch.Generator) -> Tensor:
        """How well the model knows each record, shape (B,) float32: higher means more likely a training record.

        The loss attack's statistic (Yeom et al. 2018; Matsumoto et al. 2023 for diffusion): minus the
        objective's loss, with the same noise for every record. It can be differentiated by the records' pictures.
        """

    def attacks(self) -> Mapping[str, Attack]:
        """The membership attacks of who has the networks, by name; `loss` is always among them."""
        return {"loss": self.score}

    def back(
        self, networks: Mapping[str, nn.Module], made: Tensor, rng: torch.Generator
    ) -> Mapping[str, Tensor] | None:
        """Of a translation that goes both ways, the sources (n, C, *size) of what was made, by name; None elsewhere."""
        return None

    def remarks(self, networks: Mapping[str, nn.Module]) -> tuple[str, ...]:
        """What a person should know of the trained model before its images are used, in sentences."""
        return ()


def objectives_of(family: Family) -> tuple[Objective, ...]:
    """The family's objectives, in the order a local step runs them."""
    return tuple(each for each in family.contributions() if isinstance(each, Objective))


def statistics_of(family: Family) -> tuple[Statistic, ...]:
    """The family's statistics."""
    return tuple(each for each in family.contributions() if isinstance(each, Statistic))
