"""The coordinator's side of one session: it forwards, checks what can be checked, and learns the sum alone.

Sites are added as their answers come; whoever's answer is not valid is left out with a reason. A phase with too few
valid answers ends the session: there is no other way to a result.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import numpy as np
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from fedgen_privacy.errors import FederationError
from fedgen_privacy.secagg import keys
from fedgen_privacy.secagg.encoding import GarbageError, Total, decode_total
from fedgen_privacy.secagg.errors import Phase, SecAggAborted
from fedgen_privacy.secagg.masks import mask_words
from fedgen_privacy.secagg.messages import (
    Advert,
    Confirmation,
    ConfirmRequest,
    Envelope,
    MaskRequest,
    Receipt,
    ShareReply,
    ShareRequest,
    UnmaskReply,
    UnmaskRequest,
)
from fedgen_privacy.secagg.parameters import Parameters, session_digest
from fedgen_privacy.secagg.payload import PayloadLayout, Words
from fedgen_privacy.secagg.recovery import Dealing, recovered_masks
from fedgen_privacy.secagg.roster import Roster

T = TypeVar("T")
S = TypeVar("S", Receipt, Confirmation)


class _InvalidError(FederationError):
    """One site's answer cannot be used; the text is the reason."""


class Server:
    """The coordinator in one session.

    Args:
        roster: of the study.
        parameters: of the study.
        study: 32 byte hash of the study.
        round: from 1.
        attempt: of the round, from 1.
        model: 32 byte hash of the model of this round.

    Attributes:
        dropped: sites that failed in some phase, with the reason; those that failed after MASK are in the sum all
            the same.

    Raises:
        StudyError: parameters that do not protect this roster.
        SecAggAborted: from any method; the session is then over.
    """

    def __init__(
        self, roster: Roster, parameters: Parameters, study: bytes, round: int, attempt: int, model: bytes
    ) -> None:
        parameters.check(len(roster))
        self._roster = roster
        self._parameters = parameters
        self._digest = session_digest(study, roster, parameters)
        self._round, self._attempt, self._model = round, attempt, model
        self._layout = PayloadLayout.of(parameters)
        self.dropped: dict[str, str] = {}
        self._adverts: dict[int, Advert] = {}
        self._session = b""
        self._dealt: dict[int, dict[int, Envelope]] = {}
        self._receipts: dict[int, Receipt] = {}
        self._confirmed: dict[int, Confirmation] = {}
        self._sum: Words | None = None
        self._closed = False

    def share_requests(self, adverts: Mapping[str, bytes]) -> dict[str, bytes]:
        """Requests for SHARE, by site, from the adverts that came."""

        probe = X25519PrivateKey.generate()

        def check(number: int, data: bytes) -> Advert:
            advert = Advert.decode(data)
            if advert.site != number or not self._roster.verifies(number, advert.signed(), advert.signature):
                raise _InvalidError("sent keys that it did not sign")
            if (advert.digest, advert.round, advert.attempt) != (self._digest, self._round, self._attempt):
                raise _InvalidError("advertised for another study, roster, parameters, round or attempt")
            # Every other site would have to end the session because of it.
            if any(keys.agree(probe, key) is None for key in (advert.mask_key, advert.channel_key)):
                raise _InvalidError("sent a key that gives no secret")
            return advert

        self._adverts = self._valid(Phase.ADVERTISE, adverts, range(len(self._roster)), check)
        self._enough(Phase.ADVERTISE, self._adverts)
        nonce = secrets.token_bytes(32)
        everyone = tuple(self._adverts.values())
        self._session = keys.session_id(
            self._digest, self._round, self._attempt, self._model, nonce, everyone
        )
        request = ShareRequest(self._model, nonce, everyone).encode()
        return {self._name(number): request for number in self._adverts}

    def mask_requests(self, replies: Mapping[str, bytes]) -> dict[str, bytes]:
        """Requests for MASK, by site, from the answers to SHARE."""
        self._dealt = self._valid(Phase.SHARE, replies, self._adverts, self._check_dealt)
        self._enough(Phase.SHARE, self._dealt)
        self._sum = self._layout.zeros()
        return {
            self._name(number): MaskRequest(
                tuple(self._dealt[sender][number] for sender in self._dealt if sender != number)
            ).encode()
            for number in self._dealt
        }

    def add(self, site: str, receipt: bytes, words: Words) -> None:
        """Add one answer to MASK to the sum, as it comes; the vector is not kept.

        Args:
            receipt: a `Receipt`.
            words: (layout.words,) uint32.
        """
        if self._sum is None:
            raise SecAggAborted(Phase.MASK, "a vector came before any was asked for", [site])

        def check(number: int, data: bytes) -> Receipt:
            found = self._statement(number, Receipt.decode(data), self._dealt)
            if self._closed:
                raise _InvalidError("sent its vector after the sum was closed")
            whole = words.dtype == np.uint32 and words.shape == (self._layout.words,)
            if not (whole and words.flags.c_contiguous):
                raise _InvalidError(
                    f"sent a vector of {words.shape} {words.dtype} instead of {self._layout.words} uint32"
                )
            if number in self._receipts:
                raise _InvalidError("sent a second vector")
            return found

        number = next((n for n in self._dealt if self._name(n) == site), None)
        if number is None:
            self.dropped.setdefault(site, "sent a vector without being part of the session")
            return
        valid = self._valid(Phase.MASK, {site: receipt}, [number], check)
        for part in (self._layout.ring, self._layout.tail_of):
            if valid:
                total = part(self._sum)
                np.add(total, part(words), out=total)
        self._receipts |= valid

    def confirm_requests(self) -> dict[str, bytes]:
        """Requests for CONFIRM, to every site in the sum."""
        for number in self._dealt:
            if number not in self._receipts:
                self.dropped.setdefault(self._name(number), "no masked vector came in time")
        self._enough(Phase.MASK, self._receipts)
        self._closed = True
        request = ConfirmRequest(tuple(self._receipts[number] for number in sorted(self._receipts))).encode()
        return {self._name(number): request for number in self._receipts}

    def unmask_requests(self, confirmations: Mapping[str, bytes]) -> dict[str, bytes]:
        """Requests for UNMASK, to every site that confirmed."""

        def check(number: int, data: bytes) -> Confirmation:
            return self._statement(number, Confirmation.decode(data), self._receipts)

        # Who is silent from here on stays in the sum: its vector is there, and others hold its shares.
        self._confirmed = self._valid(Phase.CONFIRM, confirmations, self._receipts, check)
        if len(self._confirmed) < self._parameters.threshold:
            raise self._abort(
                Phase.CONFIRM,
                f"{len(self._confirmed)} sites confirmed the sum, fewer than {self._parameters.threshold}",
            )
        request = UnmaskRequest(tuple(self._confirmed[number] for number in sorted(self._confirmed))).encode()
        return {self._name(number): request for number in self._confirmed}

    def finish(self, replies: Mapping[str, bytes]) -> Total:
        """The sum, from the answers to UNMASK."""

        def check(number: int, data: bytes) -> UnmaskReply:
            reply = UnmaskReply.decode(data)
            if (reply.session, reply.sender) != (self._session, number):
                raise _InvalidError("sent shares of another session or site")
            return reply

        if self._sum is None:
            raise SecAggAborted(Phase.UNMASK, "there is no sum to open")
        valid = self._valid(Phase.UNMASK, replies, self._confirmed, check)
        if len(valid) < self._parameters.threshold:
            raise self._abort(
                Phase.UNMASK, f"{len(valid)} sites sent shares, fewer than {self._parameters.threshold}"
            )
        dealings = [
            Dealing(number, self._adverts[number], self._dealt[number], number in self._receipts)
            for number in sorted(self._dealt)
        ]
        try:
            masks = recovered_masks(
                dealings, valid, self._session, self._parameters.threshold, self._roster.sites
            )
        except SecAggAborted:
            self._sum = None
            raise
        for liar in masks.liars:
            self.dropped[self._name(liar)] = "phase unmask: sent a share that is not the one dealt to it"
        mask_words(self._sum, self._layout, add=masks.subtracted, subtract=masks.added)
        unmasked, self._sum = self._sum, None
        try:
            return decode_total(self._parameters, len(self._roster), unmasked, len(self._receipts))
        except GarbageError as error:
            # Masked vectors cannot be told apart, so nobody can be named.
            raise SecAggAborted(Phase.UNMASK, str(error)) from None

    @property
    def survivors(self) -> tuple[str, ...]:
        """Sites whose vector is in the sum."""
        return tuple(self._name(number) for number in sorted(self._receipts))

    def _check_dealt(self, number: int, data: bytes) -> dict[int, Envelope]:
        envelopes = ShareReply.decode(data).envelopes
        if [e.recipient for e in envelopes] != [peer for peer in self._adverts if peer != number]:
            raise _InvalidError("did not send shares for each of the other sites")
        if len({e.seed_commitment for e in envelopes}) != 1:
            raise _InvalidError("committed to different seeds before different sites")
        for envelope in envelopes:
            if (envelope.session, envelope.sender) != (self._session, number):
                raise _InvalidError("sent shares of another session or site")
            if not self._roster.verifies(number, envelope.signed(), envelope.signature):
                raise _InvalidError("sent shares that it did not sign")
        return {envelope.recipient: envelope for envelope in envelopes}

    def _statement(self, number: int, found: S, about: Mapping[int, object]) -> S:
        if (found.session, found.sender, found.set_hash) != (
            self._session,
            number,
            keys.set_hash(self._session, about),
        ):
            raise _InvalidError("spoke of another session or another set of sites")
        if not self._roster.verifies(number, found.signed(), found.signature):
            raise _InvalidError("did not sign what it said")
        return found

    def _valid(
        self,
        phase: Phase,
        answers: Mapping[str, bytes],
        asked: Sequence[int] | Mapping[int, object],
        check: Callable[[int, bytes], T],
    ) -> dict[int, T]:
        """Answers that pass, by number; of every other site asked, `dropped` says why."""
        valid: dict[int, T] = {}
        for number in sorted(asked):
            site = self._name(number)
            if site not in answers:
                self.dropped[site] = f"no answer in phase {phase.value}"
                continue
            try:
                valid[number] = check(number, answers[site])
            except FederationError as error:
                self.dropped[site] = f"phase {phase.value}: {str(error).rstrip('.')}"
        return valid

    def _enough(self, phase: Phase, found: Mapping[int, object]) -> None:
        if len(found) < self._parameters.needed:
            raise self._abort(
                phase,
                f"{len(found)} of {len(self._roster)} sites are fewer than the {self._parameters.needed} it needs",
            )

    def _abort(self, phase: Phase, reason: str) -> SecAggAborted:
        self._sum = None
        why = "; ".join(f"{site}: {text}" for site, text in sorted(self.dropped.items()))
        return SecAggAborted(phase, f"{reason} ({why})" if why else reason, self.dropped)

    def _name(self, number: int) -> str:
        return self._roster.sites[number]
