"""Secure aggregation over an exchange: the coordinator drives the protocol's phases and learns the sum alone.

A round is four exchanges, SHARE, MASK, CONFIRM and UNMASK: the keys for it came with the last answers of the round
before, or with the sites' descriptions. Where they did not, ADVERTISE is a fifth. A session that is aborted
leaves the model unchanged and is tried once more, with new keys; there is no other way to a result.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

import torch

from fedgen.federation.coordinator.aggregation import Aggregate, Aggregator
from fedgen.federation.exchange.contract import Exchange
from fedgen.protocol.messages import (
    Answer,
    MaskedUpdate,
    Refusal,
    SecureReply,
    SecureStep,
    SiteDescription,
    Task,
    TrainMasked,
    TrainRound,
)
from fedgen.recipe import Recipe
from fedgen.run.events import SecureRecord, SessionAbort, Traffic
from fedgen.run.hints import hints
from fedgen.training.losses import weighted_means
from fedgen_privacy.secagg import Advertisement, Phase, Roster, SecAggAborted, Server

ATTEMPTS = 2
#: Seconds for an exchange that needs no training; a site answers it at once or is gone.
CONTROL_DEADLINE = 120.0
PROTOCOL = "Bonawitz et al. 2017, active adversary (fedgen-sa/1)"


class SecureAggregator(Aggregator):
    """Weighted mean under secure aggregation.

    Args:
        recipe: of the study.
        roster: its sites and their keys.

    Raises:
        StudyError: the study's parameters would not protect these sites.
    """

    protocol = PROTOCOL
    hides_updates = True

    def __init__(self, recipe: Recipe, roster: Roster) -> None:
        self._study = bytes.fromhex(recipe.sha256)
        self._roster = roster
        self._parameters = recipe.parameters(len(roster))
        self.roster_size = len(roster)
        self._vector = recipe.mechanism.vector
        self._keys: dict[str, Advertisement] = {}
        self._keys_for: tuple[int, int] = (0, 0)
        c = self._parameters.colluders
        colluding = (
            ("", "")
            if c == 0
            else (
                f", even if {c} of them told it all they know",
                f", {self._parameters.minimum_sites} of them honest",
            )
        )
        sum_of, part = recipe.mechanism.joined_words, recipe.mechanism.part_words
        self.statement = (
            f"Secure aggregation was on: in each round the coordinator learned the {sum_of} of at "
            f"least {self._parameters.needed} of {len(roster)} sites{colluding[1]}, and no single site's "
            f"{part}{colluding[0]}."
        )

    def begin(self, sites: Sequence[SiteDescription], round: int) -> None:
        """Take the keys that came with the descriptions."""
        self._keys = {site.site: site.keys for site in sites if site.keys is not None}
        self._keys_for = (round, 1)

    def join(self, sites: Sequence[SiteDescription], round: int) -> None:
        """Take the keys that came with the descriptions of late sites."""
        if self._keys_for == (round, 1):
            self._keys.update({site.site: site.keys for site in sites if site.keys is not None})

    def collect(self, exchange: Exchange, task: TrainRound, minimum_sites: int, deadline: float) -> Aggregate:
        """Run a session, and a second one if the first is aborted.

        Raises:
            SecAggAborted: the second was aborted too.
        """
        aborts: list[SessionAbort] = []
        without: frozenset[str] = frozenset()
        for attempt in range(1, ATTEMPTS + 1):
            session = _Session(exchange, task, attempt, deadline, without)
            try:
                aggregate = self._session(session, aborts)
            except SecAggAborted as error:
                aborts.append(
                    SessionAbort(
                        attempt=attempt,
                        phase=error.phase.value,
                        reason=error.reason,
                        sites=tuple(error.sites),
                    )
                )
                # One site's word is not enough, nor that of c who may lie together.
                without = session.blamed(max(2, self._parameters.colluders + 1))
                # Keys are for one session, whatever came of it.
                self._keys = {}
                if attempt == ATTEMPTS:
                    first = aborts[0]
                    raise SecAggAborted(
                        error.phase,
                        f"{_told(error.reason, session.refusals)}; round {task.round} was tried twice (first abort in "
                        f"phase {first.phase}: {first.reason}) and the model is unchanged, so mend the sites and "
                        f"{hints().again}",
                        error.sites,
                    ) from None
            else:
                break
        return aggregate

    def _session(self, session: _Session, aborts: Sequence[SessionAbort]) -> Aggregate:
        task, attempt = session.task, session.attempt
        keys = self._keys if self._keys_for == (task.round, attempt) else {}
        self._keys = {}
        asked = [site for site in session.exchange.sites() if site in self._roster.sites]
        asked = [site for site in asked if site not in session.without]
        keyless = [site for site in asked if site not in keys]
        if keyless:
            replies = session.step(Phase.ADVERTISE, dict.fromkeys(keyless, b""))
            keys = {**keys, **{site: reply.keys for site, reply in replies.items() if reply.keys is not None}}
        asked = _unbound(asked, keys)
        server = Server(
            self._roster,
            self._parameters,
            self._study,
            task.round,
            attempt,
            bytes.fromhex(task.model_sha256),
        )
        adverts = {site: keys[site].advert for site in asked if site in keys}
        replies = session.step(Phase.SHARE, server.share_requests(adverts))
        requests = server.mask_requests({site: reply.reply for site, reply in replies.items()})
        for site, answer in session.masked(requests):
            # One after the other as they come: no more than one vector beside the sum is kept.
            server.add(site, answer.receipt, answer.words)
        replies = session.step(Phase.CONFIRM, server.confirm_requests())
        requests = server.unmask_requests({site: reply.reply for site, reply in replies.items()})
        replies = session.step(Phase.UNMASK, requests)
        total = server.finish({site: reply.reply for site, reply in replies.items()})
        self._keys = {site: reply.keys for site, reply in replies.items() if reply.keys is not None}
        self._keys_for = (task.round + 1, 1)
        left_out = dict.fromkeys(
            session.without, "left out of this attempt, since other sites could not accept its part"
        )
        reasons = {**server.dropped, **session.refusals, **left_out}
        survivors = server.survivors
        missing = {
            site: reasons.get(site, "not in the sum that this round is bound to")
            for site in session.exchange.sites()
            if site not in survivors
        }
        record = SecureRecord(
            attempt=attempt,
            weight=total.weight,
            exchanges=session.exchanges,
            bytes=Traffic(**session.bytes),
            failed_later={site: reason for site, reason in reasons.items() if site in survivors},
            aborts=tuple(aborts),
        )
        losses = weighted_means(self._vector.losses, total.metrics)
        vector = torch.from_numpy(total.mean) * (total.weight if self._vector.joined == "sum" else 1)
        return Aggregate(vector, losses, survivors, missing, record)


class _Session:
    """The exchanges of one session: sends, waits, keeps what fits the question, counts bytes."""

    def __init__(
        self, exchange: Exchange, task: TrainRound, attempt: int, deadline: float, without: frozenset[str]
    ) -> None:
        self.exchange, self.task, self.attempt, self.without = exchange, task, attempt, without
        self._deadline = deadline
        self._about: dict[str, set[str]] = {}
        self.refusals: dict[str, str] = {}
        self.exchanges = 0
        self.bytes = Counter(to_sites=0, from_sites=0)

    def blamed(self, by: int) -> frozenset[str]:
        """Sites that at least `by` others could not accept."""
        return frozenset(site for site, others in self._about.items() if len(others - {site}) >= by)

    def step(self, phase: Phase, requests: Mapping[str, bytes]) -> dict[str, SecureReply]:
        """Ask for one phase; answers by site."""
        tasks: dict[str, Task] = {
            site: SecureStep(
                study_sha256=self.task.study_sha256,
                round=self.task.round,
                attempt=self.attempt,
                phase=phase,
                request=request,
            )
            for site, request in requests.items()
        }
        self.bytes["to_sites"] += sum(map(len, requests.values()))
        replies: dict[str, SecureReply] = {}
        for site, answer in self._answers(tasks, min(CONTROL_DEADLINE, self._deadline), phase):
            asked = (self.task.round, self.attempt, phase)
            if isinstance(answer, SecureReply) and (answer.round, answer.attempt, answer.phase) == asked:
                replies[site] = answer
                self.bytes["from_sites"] += len(answer.reply) + (
                    len(answer.keys.advert) if answer.keys else 0
                )
            elif not isinstance(answer, Refusal):
                self.refusals[site] = f"answered something else in phase {phase.value}"
        return replies

    def masked(self, requests: Mapping[str, bytes]) -> Iterator[tuple[str, MaskedUpdate]]:
        """Ask for masked updates; yields them as they come."""
        tasks: dict[str, Task] = {
            site: TrainMasked(train=self.task, attempt=self.attempt, request=request)
            for site, request in requests.items()
        }
        self.bytes["to_sites"] += sum(len(request) + self.task.model.nbytes for request in requests.values())
        for site, answer in self._answers(tasks, self._deadline, Phase.MASK):
            if isinstance(answer, MaskedUpdate) and (answer.round, answer.attempt) == (
                self.task.round,
                self.attempt,
            ):
                self.bytes["from_sites"] += len(answer.receipt) + answer.words.nbytes
                yield site, answer
            elif not isinstance(answer, Refusal):
                self.refusals[site] = "answered something else in phase mask"

    def _answers(
        self, tasks: Mapping[str, Task], deadline: float, phase: Phase
    ) -> Iterator[tuple[str, Answer]]:
        self.exchanges += 1
        started = time.monotonic()
        silent = set(tasks)
        for site, answer in self.exchange.stream(tasks, deadline):
            silent.discard(site)
            if isinstance(answer, Refusal):
                self.refusals[site] = f"refused with exit code {int(answer.code)} ({answer.reason})"
                for other in answer.about:
                    self._about.setdefault(other, set()).add(site)
            yield site, answer
        for site in silent:
            waited = time.monotonic() - started
            self.refusals[site] = f"no answer in phase {phase.value} within {waited:.0f} s"


def _unbound(asked: Sequence[str], keys: Mapping[str, Advertisement]) -> list[str]:
    """Sites of this session: where some are bound to an earlier sum of this round, only those of that sum."""
    for site in asked:
        if site in keys and keys[site].bound_to:
            return [other for other in asked if other in keys[site].bound_to]
    return list(asked)


def _told(reason: str, refusals: Mapping[str, str]) -> str:
    told = "; ".join(f"{site}: {why}" for site, why in sorted(refusals.items()))
    return f"{reason} ({told})" if told else reason
