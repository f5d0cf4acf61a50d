"""Where a run takes place: the one thing in which a simulation and a federation differ."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar, NamedTuple, TypeVar

from fedgen.data.site_data import LabelledImages
from fedgen.federation.coordinator.aggregation import Aggregator
from fedgen.federation.exchange.contract import Exchange
from fedgen.pipeline.watch import Measured, unseen
from fedgen.pipeline.workspace import Workspace
from fedgen.protocol.messages import Question
from fedgen.run.events import AskedSite
from fedgen.run.evidence_files import Audited, Evaluated
from fedgen.run.summary import SiteEntry, Source
from fedgen_privacy.accounting import Spend

T = TypeVar("T")

#: Seconds the sites have to assess a release: each trains the classifiers of every arm.
ASSESS_DEADLINE = 3600.0


class Pooled(NamedTuple):
    """What is measured with the patients of all sites in one place."""

    audit: Audited
    evaluation: Evaluated


class Setting(ABC):
    """How the sites of a run are reached, what its machine may look at, and what must be said about that.

    Attributes:
        work: the run.
        deadline: seconds the sites have to assess.
        limits: what the epsilon of privacy.json does not say here.
        caveat: what the aggregator's statement does not say here, where it hid updates.
    """

    work: Workspace
    deadline: float = ASSESS_DEADLINE
    limits: ClassVar[tuple[str, ...]] = ()
    caveat: ClassVar[str] = ""

    @property
    @abstractmethod
    def source(self) -> Source:
        """Where the images come from."""

    @property
    def keys(self) -> Mapping[str, bytes]:
        """Ed25519 public keys by which the sites' receipts are checked; of the others none is taken."""
        return {}

    @property
    def shared_patients(self) -> int | None:
        """Patients at more than one site; None where nobody can count them."""
        return None

    @property
    def findings(self) -> tuple[str, ...]:
        """What is odd about the data, in sentences."""
        return ()

    def prepare(self, progress: Callable[[int, int], None]) -> None:  # noqa: B027 - sites of a federation did it themselves
        """Make the data ready; `progress` is told (images done, images in all)."""

    def admit(self) -> None:  # noqa: B027 - the sites of a federation refuse for themselves
        """Refuse, before anything is spent, what a site would refuse.

        Raises:
            DataError, PrivacyRefusedError: with what is wrong.
        """

    @abstractmethod
    def aggregator(self) -> Aggregator:
        """What joins the updates of this training."""

    @abstractmethod
    def reach(self, main: Callable[[Exchange], T]) -> T:
        """What `main` makes of an exchange that reaches the sites for training."""

    @abstractmethod
    def assessors(self, task: Question, measured: Measured = unseen) -> Exchange:
        """Reaches the sites for their assessment; `measured` is told of it where their work is seen here."""

    @abstractmethod
    def entries(self, sites: Sequence[AskedSite]) -> tuple[SiteEntry, ...]:
        """Entries in run.json of the sites in the model."""

    def spends(self, bound: Mapping[str, Sequence[Spend]]) -> Mapping[str, Sequence[Spend]]:
        """What each site spent on the training: what its ledger says where it can be read, else the bound."""
        return bound

    @abstractmethod
    def draw(self, made: LabelledImages) -> None:
        """Pictures of the release for the report."""

    def pooled(self, task: Question, measured: Measured = unseen) -> Pooled | None:
        """What is measured with the patients of all sites in one place, which a federation cannot."""
        return None
