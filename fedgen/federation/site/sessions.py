"""A site's part in secure aggregations: steps of the protocol, and the masking of a round's result."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from fedgen.errors import PrivacyRefusedError
from fedgen.protocol.messages import SecureReply, SecureStep, TrainMasked
from fedgen.training.losses import summable
from fedgen.training.outbox import RoundResult
from fedgen_privacy.secagg import Advertisement, MaskedVector, Phase


class Holder(Protocol):
    """The site's sessions of secure aggregation: `fedgen_privacy.secagg.Keyholder`, here or in another process."""

    def advertise(self, round: int, attempt: int) -> Advertisement:
        """Keys of a new session."""

    def share(self, round: int, attempt: int, request: bytes) -> bytes:
        """Answer SHARE."""

    def open(self, round: int, attempt: int, request: bytes, model: bytes) -> None:
        """Check MASK's request."""

    def mask(
        self,
        round: int,
        attempt: int,
        vector: np.ndarray[tuple[int], np.dtype[Any]],
        weight: int,
        metrics: Sequence[float],
    ) -> MaskedVector:
        """Answer MASK."""

    def confirm(self, round: int, attempt: int, request: bytes) -> bytes:
        """Answer CONFIRM."""

    def unmask(self, round: int, attempt: int, request: bytes) -> bytes:
        """Answer UNMASK."""


class Sessions:
    """The sessions of one study at one site.

    Args:
        name: of the site.
        holder: who keeps the keys.
        rounds: of the study.
    """

    def __init__(self, name: str, holder: Holder, rounds: int) -> None:
        self._name, self._holder, self._rounds = name, holder, rounds

    def advertise(self, round: int) -> Advertisement:
        """Keys for a round's first session."""
        return self._holder.advertise(round, 1)

    def open(self, task: TrainMasked) -> None:
        """Check that the session a masked result is asked for is sound.

        Raises:
            SecAggAborted: it is not.
        """
        train = task.train
        self._holder.open(train.round, task.attempt, task.request, bytes.fromhex(train.model_sha256))

    def mask(
        self, task: TrainMasked, result: RoundResult, losses: Sequence[str], weight: int, cap: int
    ) -> MaskedVector:
        """A round's result under masks.

        Args:
            task: that asked for it.
            result: of the round.
            losses: the objectives whose losses travel beside it.
            weight: of the site.
            cap: the largest weight of a site.
        """
        metrics = summable(losses, result.losses, weight / cap)
        return self._holder.mask(task.train.round, task.attempt, result.update.numpy(), weight, metrics)

    def step(self, task: SecureStep) -> SecureReply:
        """One phase of the protocol; with the answer to the last come the keys of the next round.

        Raises:
            PrivacyRefusedError: a mask without a model.
            SecAggAborted: the session is not sound.
        """
        holder, session = self._holder, (task.round, task.attempt)
        keys = None
        match task.phase:
            case Phase.ADVERTISE:
                reply, keys = b"", holder.advertise(*session)
            case Phase.SHARE:
                reply = holder.share(*session, task.request)
            case Phase.CONFIRM:
                reply = holder.confirm(*session, task.request)
            case Phase.UNMASK:
                reply = holder.unmask(*session, task.request)
                if task.round < self._rounds:
                    keys = holder.advertise(task.round + 1, 1)
            case Phase.MASK:
                raise PrivacyRefusedError(f"Site {self._name} was asked to mask an update without a model.")
        return SecureReply(
            site=self._name, round=task.round, attempt=task.attempt, phase=task.phase, reply=reply, keys=keys
        )
