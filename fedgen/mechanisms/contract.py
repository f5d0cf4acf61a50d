"""What a mechanism is: how a patient's contribution becomes private, at both ends of an aggregation.

A privacy mode is one subclass in one file of `modes/`, and the only place that says the mode's name. Everybody else
asks the mechanism: what a site plans and pays, what it sends, how that is joined, what the coordinator makes of it,
and what may be promised.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Literal

from torch import Tensor, nn

from fedgen.families.contract import Contribution, Objective
from fedgen.mechanisms.schedule import Turns
from fedgen.mechanisms.statement import Statement
from fedgen.run.checkpoint import Checkpoint
from fedgen.study.evidence_section import EvidenceSection
from fedgen.study.training import AggregationSection, PrivacySection, TrainingSection
from fedgen.task.task import Task
from fedgen.training.local import LocalPlan
from fedgen.training.losses import Losses
from fedgen.training.outbox import RoundResult
from fedgen.training.training_patients import TrainingPatients
from fedgen.training.vector import ParameterLayout
from fedgen_privacy.accounting import Spend
from fedgen_privacy.random import SecretRandom
from fedgen_privacy.secagg import Parameters


@dataclass(frozen=True)
class Ingredients:
    """What a mechanism is made of: a study's sections, and what the recipe has made of the others.

    Attributes:
        training, privacy, aggregation, evidence: of the study.
        seed: of the study.
        images_per_patient: m, images of a patient in a record.
        task: what is made from what.
        family: the family's name.
        contributions: what patients contribute to.
        template: gives networks of the study, to be looked at and never changed.
        networks: from a model (P,) to networks of one's own.
    """

    training: TrainingSection
    privacy: PrivacySection
    aggregation: AggregationSection
    evidence: EvidenceSection
    seed: int
    images_per_patient: int
    task: Task
    family: str
    contributions: tuple[Contribution, ...]
    template: Callable[[], Mapping[str, nn.Module]]
    networks: Callable[[Tensor], dict[str, nn.Module]]

    @cached_property
    def layout(self) -> ParameterLayout:
        """The parameters that are trained."""
        return ParameterLayout.of(self.template())

    @property
    def objectives(self) -> tuple[Objective, ...]:
        """The contributions that are losses, in the order a step runs them."""
        return tuple(each for each in self.contributions if isinstance(each, Objective))


@dataclass(frozen=True)
class VectorSpec:
    """What a site sends in every round of a study.

    Attributes:
        length: numbers; shorter results are followed by zeros.
        joined: `mean` of float32 vectors by the sites' weights, or `sum` of int32 vectors, exact modulo 2^32.
        losses: objectives whose losses travel beside the vector, in this order.
    """

    length: int
    joined: Literal["mean", "sum"]
    losses: tuple[str, ...]


@dataclass(frozen=True)
class SitePlan:
    """A site's part in a study.

    Attributes:
        patients: N, training patients.
        local: what the first round of the training runs.
        spend: what the first round of the training costs, None without privacy; `Mechanism.spend` knows of the others.
        epsilon: of the whole study, with its evidence where that is paid for, by the accountant that is reported; None
            without privacy.
        epsilon_rdp: the same by RDP.
        weight: weight of the site's vector in a mean.
    """

    patients: int
    local: LocalPlan
    spend: Spend | None
    epsilon: float | None
    epsilon_rdp: float | None
    weight: float


@dataclass(frozen=True)
class AtSite:
    """Who contributes.

    Attributes:
        cohort: the site's training patients.
        plan: of the site.
        sites: n, of the study's roster; None where nobody knows.
    """

    cohort: TrainingPatients
    plan: SitePlan
    sites: int | None


@dataclass(frozen=True)
class JoinedVector:
    """The sites' vectors of a round as one.

    Attributes:
        vector: (length,) their weighted mean or their sum, as `VectorSpec.joined` says; float32.
        losses: objective to (weighted mean, standard deviation of the privacy noise in it).
        sites: who is in it, sorted.
    """

    vector: Tensor
    losses: Losses
    sites: tuple[str, ...]


class Mechanism(ABC):
    """One way in which contributions become private, for one study."""

    #: the value of privacy.mode
    name: ClassVar[str]
    #: whether anything is promised to a patient
    private: ClassVar[bool]
    #: whether noise is integers, which are accounted by RDP at whole orders alone
    discrete: ClassVar[bool] = False
    #: whether the sites' patients count together, under one noise, as if they were at one place
    pooled: ClassVar[bool] = False
    #: name of the accountant whose epsilon is reported; None without privacy
    accountant: ClassVar[str | None]
    #: what the coordinator learns of all sites, and what it does not learn of one, in words
    joined_words: ClassVar[str] = "weighted sum of the updates"
    part_words: ClassVar[str] = "update"

    @abstractmethod
    def __init__(self, made_of: Ingredients) -> None:
        """For one study.

        Raises:
            StudyError: the family cannot be trained by this mechanism, or an objective would never have a turn.
        """

    #: the study's aggregations
    turns: Turns

    @property
    @abstractmethod
    def vector(self) -> VectorSpec:
        """What a site sends."""

    @abstractmethod
    def parameters(self, sites: int) -> Parameters:
        """Parameters of every secure aggregation of the study with so many sites.

        Raises:
            StudyError: they would not protect the sites.
        """

    @abstractmethod
    def plan(self, patients: int, site: str, device: str | None = None) -> SitePlan:
        """What a site will do and spend; noise is calibrated so that the whole study stays within its epsilon.

        Args:
            patients: N, its training patients.
            site: its name, for sentences.
            device: torch device instead of the study's.

        Raises:
            DataError: too few or too many patients.
            PrivacyRefusedError: delta is too large for so many patients, or no noise reaches the target.
        """

    @abstractmethod
    def admit(self, patients: int, site: str) -> None:
        """Refuse a cohort that `plan` would refuse, without the work of a plan.

        Raises:
            DataError, PrivacyRefusedError: as `plan`.
        """

    @abstractmethod
    def stated(self, noise_multiplier: float, sampling_rate: float, steps: int) -> Spend | None:
        """What the first round of the training costs a site that states these numbers; None where there is no noise."""

    @abstractmethod
    def spend(self, round: int, base: Spend | None) -> Spend | None:
        """What one aggregation costs a site; None without privacy.

        Args:
            round: of the aggregation, from 1.
            base: what the first round of the training costs it.
        """

    def require_room(self, expected: float) -> None:  # noqa: B027 - most have room for any
        """Refuse before anything is spent a step whose sum could not be opened.

        Args:
            expected: patients of all sites in a step, in expectation.

        Raises:
            StudyError: far more than the study's public batch.
        """

    def check(self, round: int, sites: int | None) -> None:  # noqa: B027 - most can always be finished
        """Refuse before anything is spent a round that could not be finished; reads no patient.

        Raises:
            StudyError: the sites' shares of the noise cannot be made.
        """

    @property
    @abstractmethod
    def evidence(self) -> Spend | None:
        """What audit and evaluation cost each patient of a site; None where they are told without noise."""

    @abstractmethod
    def contribute(
        self,
        round: int,
        networks: dict[str, nn.Module],
        state: Mapping[str, Tensor],
        random: SecretRandom,
        site: AtSite,
    ) -> RoundResult:
        """A site's work of one aggregation, after it was charged.

        Args:
            round: of the aggregation, from 1.
            networks: with the model that the coordinator sent; changed in place.
            state: what the site kept of its last round.
            random: secret, or seeded where there is no privacy.
            site: who contributes.

        Raises:
            FederationError: the result is not finite.
        """

    @abstractmethod
    def advance(
        self, state: Checkpoint, joined: JoinedVector, sites: int | None
    ) -> tuple[Checkpoint, Losses]:
        """The coordinator's work of one aggregation: the state after it, and its losses.

        Args:
            state: before.
            joined: of round `state.round + 1`.
            sites: n, of the roster of the secure aggregation; None where there is none.

        Raises:
            FederationError: the model is not finite.
        """

    def surplus(self, sites: int) -> float:
        """By how much the noise in a sum of all sites is larger than the study's epsilon asks, as a factor.

        Raises:
            StudyError: so few sites cannot make it.
        """
        return 1.0

    @abstractmethod
    def statement(self, spends: Sequence[Spend]) -> Statement:
        """What is promised to the patients of a site that has spent this."""
