"""A site's side of one session: five answers, each given once, and every check before the answer.

The protocol is that of Bonawitz et al. (CCS 2017) against an active coordinator: signed keys, double masking,
Shamir shares, and a consistency check before anything is opened. A site does nothing the study's roster and
parameters do not say; on any deviation it forgets its secrets and the session is over for it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import secrets
from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

import numpy as np
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from fedgen_privacy.errors import FederationError
from fedgen_privacy.secagg import keys, sharing
from fedgen_privacy.secagg.encoding import masked
from fedgen_privacy.secagg.errors import MessageError, Phase, SecAggAborted
from fedgen_privacy.secagg.masks import Masks
from fedgen_privacy.secagg.messages import (
    MAX_ATTEMPT,
    MAX_ROUND,
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
from fedgen_privacy.secagg.payload import Words
from fedgen_privacy.secagg.roster import Identity, Roster

M = TypeVar("M", Advert, Envelope, Receipt, Confirmation)

_ORDER = (Phase.ADVERTISE, Phase.SHARE, Phase.MASK, Phase.CONFIRM, Phase.UNMASK)


class Client:
    """One site in one session.

    Args:
        identity: the site's own.
        roster: of the study, the site in it.
        parameters: of the study.
        study: 32 byte hash of the study the site approved.
        round: of the study, from 1.
        attempt: of the round, from 1.

    Raises:
        StudyError: parameters that do not protect this roster.
        SecAggAborted: from any method; the session is then over for this site.
    """

    def __init__(
        self,
        identity: Identity,
        roster: Roster,
        parameters: Parameters,
        study: bytes,
        round: int,
        attempt: int,
    ) -> None:
        parameters.check(len(roster))
        if dict(zip(roster.sites, roster.keys, strict=True)).get(identity.site) != identity.public_key:
            raise SecAggAborted(
                Phase.ADVERTISE, "the roster does not have this site with this key", [identity.site]
            )
        if not (1 <= round <= MAX_ROUND and 1 <= attempt <= MAX_ATTEMPT):
            raise SecAggAborted(Phase.ADVERTISE, f"there is no round {round}, attempt {attempt}")
        self._identity = identity
        self._roster = roster
        self._parameters = parameters
        self._digest = session_digest(study, roster, parameters)
        self._round, self._attempt = round, attempt
        self._me = roster.number(identity.site)
        self._done: list[Phase] = []
        self._opened = False
        self._mask_key: X25519PrivateKey | None = X25519PrivateKey.generate()
        self._channel_key: X25519PrivateKey | None = X25519PrivateKey.generate()
        self._seed = bytearray(secrets.token_bytes(32))
        self._held: dict[int, tuple[bytearray, bytearray]] = {}
        self._adverts: dict[int, Advert] = {}
        self._session = self._model = b""
        self._participants: tuple[int, ...] = ()
        self._survivors: tuple[int, ...] = ()

    def advertise(self) -> bytes:
        """ADVERTISE: the signed public keys of this session."""
        with self._step(Phase.ADVERTISE):
            assert self._mask_key is not None and self._channel_key is not None
            advert = Advert(
                digest=self._digest,
                round=self._round,
                attempt=self._attempt,
                site=self._me,
                mask_key=self._mask_key.public_key().public_bytes_raw(),
                channel_key=self._channel_key.public_key().public_bytes_raw(),
                nonce=secrets.token_bytes(32),
            )
            self._adverts = {self._me: _signed(advert, self._identity)}
            return self._adverts[self._me].encode()

    def share(self, request: bytes) -> bytes:
        """SHARE: check everybody's keys, then share the own secrets among them.

        Args:
            request: a `ShareRequest`.
        """
        with self._step(Phase.SHARE):
            asked = ShareRequest.decode(request)
            self._meet(asked.adverts)
            self._model = asked.model
            self._session = keys.session_id(
                self._digest, self._round, self._attempt, asked.model, asked.nonce, asked.adverts
            )
            return ShareReply(self._deal()).encode()

    def open(self, request: bytes, model: bytes) -> None:
        """Check what came for MASK, before the site trains: whoever's shares are here will be masked against.

        Args:
            request: a `MaskRequest`.
            model: 32 byte hash of the model that came with it.
        """
        with self._step(Phase.MASK):
            if model != self._model:
                raise self._abort("the model that came is not the one this session was made for")
            envelopes = MaskRequest.decode(request).envelopes
            senders = [envelope.sender for envelope in envelopes]
            if senders != sorted(set(senders)) or not set(senders) <= set(self._adverts) - {self._me}:
                raise self._abort("the shares are not one from each of the sites that advertised")
            participants = tuple(sorted({*senders, self._me}))
            self._enough(participants)
            for envelope in envelopes:
                self._receive(envelope)
            self._channel_key = None
            self._participants = participants
        self._opened = True

    def mask(
        self,
        vector: np.ndarray[tuple[int], np.dtype[Any]],
        weight: int,
        metrics: Sequence[float],
        out: Words | None = None,
    ) -> tuple[bytes, Words, int]:
        """MASK: the receipt, the masked vector, and how many coordinates were clipped to the bound.

        Args:
            vector: (P,) float32, the site's update; or (P,) int32, to be summed as it is with weight 1.
            weight: of the update in the mean, 1 to the weight cap.
            metrics: scalars to be summed.
            out: memory for the masked vector, so that a site can use the same in every round.
        """
        if not self._opened:
            self.erase()
            raise SecAggAborted(
                Phase.MASK, "a vector was to be masked before the shares had come, or a second time"
            )
        self._opened = False
        with self._guard(Phase.MASK):
            add, subtract = self._mask_keys()
            words, clipped = masked(
                self._parameters, len(self._roster), vector, weight, metrics, Masks(add, subtract), out
            )
            receipt = Receipt(self._session, self._me, keys.set_hash(self._session, self._participants))
            # What others hold shares of is of no more use here.
            self._mask_key = None
            _wipe(self._seed)
            return _signed(receipt, self._identity).encode(), words, clipped

    def confirm(self, request: bytes) -> bytes:
        """CONFIRM: sign who is in the sum, once.

        Args:
            request: a `ConfirmRequest`.
        """
        with self._step(Phase.CONFIRM):
            receipts = ConfirmRequest.decode(request).receipts
            self._signed_by(
                receipts,
                self._participants,
                keys.set_hash(self._session, self._participants),
                "masked against",
            )
            survivors = tuple(receipt.sender for receipt in receipts)
            if self._me not in survivors:
                raise self._abort("this site's own vector is not among those to be summed")
            self._enough(survivors)
            self._survivors = survivors
            confirmation = Confirmation(self._session, self._me, keys.set_hash(self._session, survivors))
            return _signed(confirmation, self._identity).encode()

    @property
    def survivors(self) -> tuple[str, ...]:
        """Sites in the sum, as confirmed; empty before."""
        return tuple(self._roster.sites[number] for number in self._survivors)

    def unmask(self, request: bytes) -> bytes:
        """UNMASK: one share of every site, of the seed of those in the sum and the key of those who dropped out.

        Args:
            request: an `UnmaskRequest`.
        """
        with self._step(Phase.UNMASK):
            confirmations = UnmaskRequest.decode(request).confirmations
            self._signed_by(
                confirmations, self._survivors, keys.set_hash(self._session, self._survivors), "confirmed"
            )
            if len(confirmations) < self._parameters.threshold:
                raise self._abort(
                    f"{len(confirmations)} sites confirmed the sum, fewer than {self._parameters.threshold}"
                )
            shares = tuple(
                (owner, bytes(self._held[owner][0 if owner in self._survivors else 1]))
                for owner in self._participants
            )
            reply = UnmaskReply(self._session, self._me, shares).encode()
        self.erase()
        return reply

    def erase(self) -> None:
        """Forget all secrets: overwritten where Python owns the memory, dropped where the library does."""
        self._mask_key = self._channel_key = None
        self._opened = False
        _wipe(self._seed)
        for pair in self._held.values():
            for share in pair:
                _wipe(share)
        self._held.clear()
        self._done = list(_ORDER)

    def _meet(self, adverts: Sequence[Advert]) -> None:
        """Accept the adverts if each is signed by its site for this study, round and attempt."""
        numbers = [advert.site for advert in adverts]
        if numbers != sorted(set(numbers)):
            raise self._abort("a site is listed twice or out of order")
        own = self._adverts[self._me]
        if own not in adverts:
            raise self._abort("this site's own keys were left out or replaced")
        for advert in adverts:
            if not self._roster.verifies(advert.site, advert.signed(), advert.signature):
                raise self._abort("keys came that their site did not sign", [advert.site])
            if (advert.digest, advert.round, advert.attempt) != (self._digest, self._round, self._attempt):
                raise self._abort(
                    "a site advertised for another study, roster, parameters, round or attempt", [advert.site]
                )
        public = [key for advert in adverts for key in (advert.mask_key, advert.channel_key)]
        if len(set(public)) != len(public):
            raise self._abort("two sites have the same key")
        self._enough(numbers)
        assert self._mask_key is not None
        for advert in adverts:
            # Found out here, it has cost nothing yet; the channel's key is agreed on right after.
            if advert.site != self._me and keys.agree(self._mask_key, advert.mask_key) is None:
                raise self._abort("a site's mask key is not usable", [advert.site])
        self._adverts = {advert.site: advert for advert in adverts}

    def _deal(self) -> tuple[Envelope, ...]:
        assert self._mask_key is not None
        envelopes, own = sharing.deal(
            self._session,
            self._me,
            (bytes(self._seed), self._mask_key.private_bytes_raw()),
            self._parameters.threshold,
            len(self._roster),
            [peer for peer in self._adverts if peer != self._me],
            self._channel,
        )
        self._held[self._me] = (bytearray(own[0]), bytearray(own[1]))
        return tuple(_signed(envelope, self._identity) for envelope in envelopes)

    def _receive(self, envelope: Envelope) -> None:
        sender = envelope.sender
        if not self._roster.verifies(sender, envelope.signed(), envelope.signature):
            raise self._abort("shares came that their site did not sign", [sender])
        try:
            seed_share, key_share = sharing.receive(self._session, self._me, envelope, self._channel(sender))
        except sharing.SharesError as error:
            raise self._abort(str(error), [sender]) from None
        self._held[sender] = (bytearray(seed_share), bytearray(key_share))

    def _mask_keys(self) -> tuple[list[bytes], list[bytes]]:
        """Keys of the masks to add and to subtract: of each pair the lower number adds."""
        assert self._mask_key is not None
        add = [keys.self_mask_key(bytes(self._seed), self._session, self._me)]
        subtract: list[bytes] = []
        for peer in self._participants:
            if peer != self._me:
                shared = keys.agree(self._mask_key, self._adverts[peer].mask_key)
                if shared is None:
                    raise self._abort("a site's mask key is not usable", [peer])
                key = keys.pair_mask_key(shared, self._session, self._me, peer)
                (add if self._me < peer else subtract).append(key)
        return add, subtract

    def _channel(self, peer: int) -> bytes:
        assert self._channel_key is not None
        shared = keys.agree(self._channel_key, self._adverts[peer].channel_key)
        if shared is None:
            raise self._abort("a site's channel key is not usable", [peer])
        return shared

    def _signed_by(
        self, messages: Sequence[Receipt | Confirmation], allowed: Sequence[int], expected: bytes, did: str
    ) -> None:
        """Each message is from another allowed site, of this session, signed, and says `expected`."""
        senders = [message.sender for message in messages]
        if senders != sorted(set(senders)) or not set(senders) <= set(allowed):
            raise self._abort("a site is listed twice, out of order, or is not part of the session")
        for message in messages:
            if not self._roster.verifies(message.sender, message.signed(), message.signature):
                raise self._abort("a statement came that its site did not sign", [message.sender])
            if (message.session, message.set_hash) != (self._session, expected):
                raise self._abort(f"another site {did} another set of sites than this one", [message.sender])

    def _enough(self, sites: Sequence[int]) -> None:
        if len(sites) < self._parameters.needed:
            raise self._abort(f"{len(sites)} sites are fewer than the {self._parameters.needed} it needs")

    def _abort(self, reason: str, numbers: Sequence[int] = ()) -> SecAggAborted:
        phase = self._done[-1] if self._done else Phase.ADVERTISE
        # A number beyond the roster has no name, and is no site's fault but the coordinator's.
        named = [self._roster.sites[number] for number in numbers if number < len(self._roster)]
        return SecAggAborted(phase, reason, named)

    @contextlib.contextmanager
    def _step(self, phase: Phase) -> Iterator[None]:
        """One phase, in its place and once."""
        expected = _ORDER[len(self._done)] if len(self._done) < len(_ORDER) else None
        if phase is not expected:
            self.erase()
            raise SecAggAborted(phase, "it was asked for again or out of order, and this session is over")
        self._done.append(phase)
        with self._guard(phase):
            yield

    @contextlib.contextmanager
    def _guard(self, phase: Phase) -> Iterator[None]:
        try:
            yield
        except SecAggAborted:
            self.erase()
            raise
        except MessageError as error:
            self.erase()
            raise SecAggAborted(phase, str(error).rstrip(".")) from None
        except FederationError as error:
            # The site's own update cannot be sent: its own fault, said by its own name.
            self.erase()
            raise SecAggAborted(phase, str(error).rstrip("."), [self._identity.site]) from None
        except BaseException:
            self.erase()
            raise


def _signed(message: M, identity: Identity) -> M:
    return dataclasses.replace(message, signature=identity.sign(message.signed()))


def _wipe(secret: bytearray) -> None:
    secret[:] = bytes(len(secret))
