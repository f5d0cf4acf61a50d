"""A federation: the patients are at its sites, and the coordinator has only what they send."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from fedgen.data.site_data import LabelledImages
from fedgen.federation.coordinator.aggregation import Aggregator
from fedgen.federation.exchange.contract import Exchange
from fedgen.pipeline.setting import ASSESS_DEADLINE, Setting
from fedgen.pipeline.watch import Measured, unseen
from fedgen.pipeline.workspace import Workspace
from fedgen.protocol.messages import Question
from fedgen.report.pictures import draw_synthetic
from fedgen.run.events import AskedSite
from fedgen.run.summary import Parts, SiteEntry, Source

T = TypeVar("T")


@dataclass(frozen=True)
class FederationSetting(Setting):
    """A run whose sites are reached by an exchange.

    Attributes:
        work: the run.
        exchange: reaches the sites by their names.
        joining: joins the updates.
        deadline: seconds the sites have to assess.
        roster: Ed25519 public keys of the sites, as in the study's manifest.
    """

    work: Workspace
    exchange: Exchange
    joining: Aggregator
    deadline: float = ASSESS_DEADLINE
    roster: Mapping[str, bytes] = field(default_factory=dict)

    limits = (
        "The coordinator sees no ledger: it counts every round a site was asked for, at the noise and sampling rate "
        "the site stated, so a site's own ledger may hold less of this study.",
    )

    @property
    def source(self) -> Source:
        """The sites keep their images."""
        return "federation"

    @property
    def keys(self) -> Mapping[str, bytes]:
        """As on the roster."""
        return self.roster

    def aggregator(self) -> Aggregator:
        """As given."""
        return self.joining

    def reach(self, main: Callable[[Exchange], T]) -> T:
        """Through the exchange."""
        return main(self.exchange)

    def assessors(self, task: Question, measured: Measured = unseen) -> Exchange:
        """The same exchange; what a site measures is shown there."""
        return self.exchange

    def entries(self, sites: Sequence[AskedSite]) -> tuple[SiteEntry, ...]:
        """What a site states before it trains; the rest comes with its assessment."""
        return tuple(SiteEntry(site=site.site, parts=Parts(train=site.patients)) for site in sites)

    def draw(self, made: LabelledImages) -> None:
        """Synthetic images alone; no picture shows a patient."""
        draw_synthetic(self.work.run.figures, made, self.work.study.data.classes)
