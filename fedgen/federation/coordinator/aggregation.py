"""How updates of a round become one: an `Aggregator` owns the whole exchange of a round.

It owns the exchange, not just the sum, because a secure aggregation needs several: the coordinator that
drives rounds must not change when the updates become hidden from it.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from fedgen.errors import ExitCode, FederationError
from fedgen.federation.exchange.contract import Exchange, ask
from fedgen.mechanisms.contract import JoinedVector
from fedgen.protocol.messages import Answer, Refusal, RoundUpdate, SiteDescription, TrainRound
from fedgen.run.events import SecureRecord
from fedgen.run.hints import hints
from fedgen.training.vector import check_vector


class TooFewSitesError(FederationError):
    """Fewer sites than are needed did what they were asked."""

    def __init__(self, sentence: str, code: ExitCode = ExitCode.FEDERATION) -> None:
        super().__init__(sentence)
        self.exit_code = code


@dataclass(frozen=True)
class Aggregate(JoinedVector):
    """Result of a round.

    Attributes:
        missing: sites that were asked and are not in it, with the reason.
        secure: how the secure aggregation went; None where there was none.
    """

    missing: dict[str, str]
    secure: SecureRecord | None = None


class Aggregator(ABC):
    """One way to join the updates of a round."""

    #: name of the protocol in results, None for none
    protocol: str | None
    #: whether the coordinator is kept from seeing a single site's update
    hides_updates: bool
    #: one true sentence about who saw what, printed in every result
    statement: str
    #: sites of the secure aggregation's roster, None where there is none
    roster_size: int | None = None

    def begin(self, sites: Sequence[SiteDescription], round: int) -> None:  # noqa: B027 - most need nothing
        """Take what the sites' descriptions bring for the first round that follows."""

    def join(self, sites: Sequence[SiteDescription], round: int) -> None:  # noqa: B027 - likewise
        """Take what the descriptions of sites bring that came late, for this round."""

    @abstractmethod
    def collect(self, exchange: Exchange, task: TrainRound, minimum_sites: int, deadline: float) -> Aggregate:
        """Run the round over every reachable site.

        Raises:
            TooFewSitesError, SecAggAborted: fewer than `minimum_sites` valid updates came within the deadline.
        """


class PlainAggregator(Aggregator):
    """Weighted mean of updates the coordinator sees one by one (FedAvg, McMahan et al. 2017)."""

    protocol = None
    hides_updates = False
    statement = (
        "Secure aggregation was off: the coordinator saw the update of each single site, not only their sum."
    )

    def __init__(self, length: int | None = None) -> None:
        """Args: length: of a site's vector, where it is not the model's."""
        self._length = length

    def collect(self, exchange: Exchange, task: TrainRound, minimum_sites: int, deadline: float) -> Aggregate:
        """Ask every site once."""
        asked = sorted(exchange.sites())
        answers = ask(exchange, dict.fromkeys(asked, task), deadline)
        updates: dict[str, RoundUpdate] = {}
        missing: dict[str, str] = {}
        for site in asked:
            checked = check_update(answers.get(site), task, self._length)
            if isinstance(checked, RoundUpdate):
                updates[site] = checked
            else:
                missing[site] = checked
        if len(updates) < minimum_sites:
            reasons = (
                "; ".join(f"{site}: {reason}" for site, reason in missing.items()) or "no site is connected"
            )
            raise TooFewSitesError(
                f"Round {task.round} had {len(updates)} of the {minimum_sites} sites it needs ({reasons}): "
                f"mend the sites and {hints().again}."
            )
        return weighted_mean(updates, missing)


def check_update(answer: Answer | None, task: TrainRound, length: int | None = None) -> RoundUpdate | str:
    """The answer if it is a usable update for `task`, else the reason why it is not."""
    if answer is None:
        return "no answer within aggregation.deadline"
    if isinstance(answer, Refusal):
        return f"refused with exit code {int(answer.code)} ({answer.reason})"
    if not isinstance(answer, RoundUpdate):
        return "answered something else than an update"
    if (answer.round, answer.model_sha256) != (task.round, task.model_sha256):
        return f"answered for round {answer.round} or another model"
    try:
        check_vector(answer.update, length or task.model.shape[0])
    except FederationError as error:
        return f"sent an unusable update: {error}"
    if not (answer.weight > 0 and math.isfinite(answer.weight)):
        return f"sent the weight {answer.weight:g}"
    return answer


def weighted_mean(updates: Mapping[str, RoundUpdate], missing: dict[str, str]) -> Aggregate:
    """sum_i w_i u_i / sum_i w_i of updates and losses; at least one update."""
    total = sum(update.weight for update in updates.values())
    shares = {site: update.weight / total for site, update in updates.items()}
    mean = torch.zeros_like(next(iter(updates.values())).update)
    for site, update in updates.items():
        mean += shares[site] * update.update
    losses: dict[str, tuple[float, float]] = {}
    for name in sorted({name for update in updates.values() for name in update.losses}):
        # A site whose Poisson batches were all empty reports no loss, so the others are re-weighted.
        having = {site: update.losses[name] for site, update in updates.items() if name in update.losses}
        weight = sum(shares[site] for site in having)
        value = sum(shares[site] * loss for site, (loss, _) in having.items()) / weight
        std = sum((shares[site] * s) ** 2 for site, (_, s) in having.items()) ** 0.5 / weight
        losses[name] = (value, std)
    return Aggregate(mean, losses, tuple(sorted(updates)), missing)
