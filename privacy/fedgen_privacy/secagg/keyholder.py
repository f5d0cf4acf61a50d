"""All of a site's sessions, over the rounds of a study; the only place that holds their secrets.

Secrets live in this object's memory and nowhere else: a restart forgets them, and the site then needs a new session.
Only what must outlast a restart is on disk: which sums were opened (`opened`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fedgen_privacy.secagg.client import Client
from fedgen_privacy.secagg.errors import Phase, SecAggAborted
from fedgen_privacy.secagg.opened import OpenedSum, OpenedSums
from fedgen_privacy.secagg.parameters import Parameters
from fedgen_privacy.secagg.payload import PayloadLayout, Words
from fedgen_privacy.secagg.roster import Identity, Roster


@dataclass(frozen=True)
class Advertisement:
    """A site's keys for a session.

    Attributes:
        advert: an encoded `Advert`.
        bound_to: where a sum of this round was opened before: the only sites this site will sum it with again.
    """

    advert: bytes
    bound_to: tuple[str, ...]


@dataclass(frozen=True)
class MaskedVector:
    """A site's contribution.

    Attributes:
        receipt: an encoded `Receipt`.
        words: the masked vector.
        clipped: coordinates that were clipped; for the site alone.
    """

    receipt: bytes
    words: Words
    clipped: int


class Keyholder:
    """A site's part in every session of one study.

    Args:
        identity: the site's.
        roster: of the study.
        parameters: of the study.
        study: 32 byte hash of the study.
        folder: the site's own, for what was opened.

    Raises:
        StudyError, PrivacyRefusedError: see `Parameters.check` and `OpenedSums`.
        SecAggAborted: from any method.
    """

    def __init__(
        self, identity: Identity, roster: Roster, parameters: Parameters, study: bytes, folder: Path
    ) -> None:
        parameters.check(len(roster))
        self._identity, self._roster, self._parameters, self._study = identity, roster, parameters, study
        self._opened = OpenedSums(folder / "opened.jsonl")
        self._sessions: dict[tuple[int, int], Client] = {}
        self._models: dict[tuple[int, int], bytes] = {}
        self._words: Words | None = None

    def advertise(self, round: int, attempt: int) -> Advertisement:
        """Begin a session; any other is over, so that one session's secrets exist at a time."""
        for session in self._sessions.values():
            session.erase()
        self._sessions.clear()
        self._models.clear()
        client = Client(self._identity, self._roster, self._parameters, self._study, round, attempt)
        self._sessions[round, attempt] = client
        opened = self._opened.of_round(self._study.hex(), round)
        return Advertisement(client.advertise(), opened.survivors if opened else ())

    def share(self, round: int, attempt: int, request: bytes) -> bytes:
        """See `Client.share`."""
        return self._session(Phase.SHARE, round, attempt).share(request)

    def open(self, round: int, attempt: int, request: bytes, model: bytes) -> None:
        """See `Client.open`; refuses a round whose sum was opened for another model."""
        opened = self._opened.of_round(self._study.hex(), round)
        client = self._session(Phase.MASK, round, attempt)
        if opened is not None and opened.model != model.hex():
            client.erase()
            raise SecAggAborted(Phase.MASK, f"round {round} was already summed for another model")
        client.open(request, model)
        self._models[round, attempt] = model

    def mask(
        self,
        round: int,
        attempt: int,
        vector: np.ndarray[tuple[int], np.dtype[Any]],
        weight: int,
        metrics: Sequence[float],
    ) -> MaskedVector:
        """See `Client.mask`; the words are valid until the next call, which uses their memory again."""
        if self._words is None:
            self._words = PayloadLayout.of(self._parameters).zeros()
        client = self._session(Phase.MASK, round, attempt)
        return MaskedVector(*client.mask(vector, weight, metrics, out=self._words))

    def confirm(self, round: int, attempt: int, request: bytes) -> bytes:
        """See `Client.confirm`; refuses other survivors than those of a sum of this round that was opened."""
        client = self._session(Phase.CONFIRM, round, attempt)
        signed = client.confirm(request)
        opened = self._opened.of_round(self._study.hex(), round)
        if opened is not None and opened.survivors != client.survivors:
            client.erase()
            raise SecAggAborted(
                Phase.CONFIRM,
                f"round {round} was already summed over {', '.join(opened.survivors)}, and a second sum over others "
                "would show single updates",
            )
        return signed

    def unmask(self, round: int, attempt: int, request: bytes) -> bytes:
        """See `Client.unmask`; the sum is written down before the answer is given."""
        key = (round, attempt)
        client = self._session(Phase.UNMASK, round, attempt)
        shares = client.unmask(request)
        opened = OpenedSum(self._study.hex(), round, self._models[key].hex(), client.survivors)
        self._opened.record(opened)
        return shares

    def _session(self, phase: Phase, round: int, attempt: int) -> Client:
        try:
            return self._sessions[round, attempt]
        except KeyError:
            raise SecAggAborted(
                phase,
                f"there is no session for round {round}, attempt {attempt}: it ended, or this site was restarted",
            ) from None
