"""What crosses the wire between coordinator and site, typed.

Tasks go down, answers come up. A model or an update is one flat float32 vector; everything else is
numbers and short strings. A site's error travels as a code and a fixed sentence, never as its text:
error texts can quote paths, and paths can quote patients.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fedgen.errors import ExitCode
from fedgen_privacy.secagg import Advertisement, Phase

Words = np.ndarray[Any, np.dtype[np.uint32]]
Json = dict[str, Any]


@dataclass(frozen=True)
class Describe:
    """Ask a site what it would bring and spend.

    Attributes:
        study_sha256: of the resolved study.
        round: the round that training will go on with; a site adds its keys for it.
    """

    study_sha256: str
    round: int


@dataclass(frozen=True)
class SiteDescription:
    """A site's answer to `Describe`.

    Attributes:
        site: name.
        patients: N, training patients; treated as public (docs/explanation/privacy-claims.md).
        sampling_rate: q.
        noise_multiplier: sigma, or 0 without privacy.
        steps_per_round: how often a round touches the data.
        epsilon: PRV epsilon of the whole study at this site, or None without privacy.
        epsilon_rdp: the same by RDP.
        keys: for the secure aggregation of the round asked for; None where the study has none.
    """

    site: str
    patients: int
    sampling_rate: float
    noise_multiplier: float
    steps_per_round: int
    epsilon: float | None
    epsilon_rdp: float | None
    keys: Advertisement | None = None


@dataclass(frozen=True)
class TrainRound:
    """Ask a site for its update in a round.

    Attributes:
        study_sha256: of the resolved study; a site refuses another.
        round: from 1.
        model_sha256: of `model`; a site checks it.
        model: (P,) float32.
    """

    study_sha256: str
    round: int
    model_sha256: str
    model: Tensor


@dataclass(frozen=True)
class RoundUpdate:
    """A site's answer to `TrainRound`.

    Attributes:
        site: name.
        round: the round it answers.
        model_sha256: the model it started from.
        update: (P,) float32, model after minus model before.
        weight: the update's weight in the average.
        losses: objective to (mean loss, standard deviation of the privacy noise in it).
    """

    site: str
    round: int
    model_sha256: str
    update: Tensor
    weight: float
    losses: dict[str, tuple[float, float]]


@dataclass(frozen=True)
class SecureStep:
    """One exchange of a secure aggregation that carries no vector.

    Attributes:
        study_sha256: of the resolved study.
        round: of the study.
        attempt: session of the round, from 1.
        phase: which exchange.
        request: the protocol's own message (fedgen_privacy.secagg.messages); empty for ADVERTISE.
    """

    study_sha256: str
    round: int
    attempt: int
    phase: Phase
    request: bytes


@dataclass(frozen=True)
class SecureReply:
    """A site's answer to `SecureStep`.

    Attributes:
        site: name.
        round, attempt, phase: what it answers.
        reply: the protocol's own message; empty for ADVERTISE.
        keys: for ADVERTISE those of this session, with UNMASK those for the next round.
    """

    site: str
    round: int
    attempt: int
    phase: Phase
    reply: bytes
    keys: Advertisement | None


@dataclass(frozen=True)
class TrainMasked:
    """Ask a site to train a round and send its update masked: the MASK exchange.

    Attributes:
        train: the round, as without secure aggregation.
        attempt: session of the round.
        request: the protocol's own message.
    """

    train: TrainRound
    attempt: int
    request: bytes


@dataclass(frozen=True)
class MaskedUpdate:
    """A site's answer to `TrainMasked`: nothing in it says anything without the other sites' masks.

    Attributes:
        site: name.
        round, attempt: what it answers.
        receipt: the protocol's own message.
        words: masked update, weight and losses.
    """

    site: str
    round: int
    attempt: int
    receipt: bytes
    words: Words


@dataclass(frozen=True)
class Refusal:
    """A site could not or would not do a task.

    Attributes:
        site: name.
        code: the exit code that fits.
        reason: a sanitised sentence.
        about: other sites whose part in a secure aggregation it could not accept.
    """

    site: str
    code: ExitCode
    reason: str
    about: tuple[str, ...] = ()


@dataclass(frozen=True)
class Assess:
    """Ask a site to audit the trained model and the release, and to evaluate the release, on its own patients.

    Attributes:
        study_sha256: of the resolved study; a site refuses another.
        model_sha256: of `model`; a site checks it.
        model: (P,) float32, the averaged model that the release was drawn from.
        images: (n, C, H, W) float32 in [-1, 1], each value one of float16: exactly what the release holds.
        labels: (n,) int64 class index.
    """

    study_sha256: str
    model_sha256: str
    model: Tensor
    images: Tensor
    labels: Tensor

    @cached_property
    def vector(self) -> Tensor:
        """Model, images and labels as the one (P + n * C * H * W + n,) float32 vector that travels."""
        return torch.cat([self.model.float(), self.images.float().flatten(), self.labels.float()])

    @cached_property
    def sha256(self) -> str:
        """Of the whole question: study, model, images and labels."""
        header = f"{self.study_sha256}/{self.model.shape[0]}/{tuple(self.images.shape)}/"
        content = self.vector.numpy().astype("<f4", copy=False).tobytes()
        return hashlib.sha256(header.encode() + content).hexdigest()


@dataclass(frozen=True)
class Assessment:
    """A site's answer to `Assess`: numbers over its patients, never of one (fedgen/protocol/numbers.py).

    Attributes:
        site: name.
        question_sha256: of the question it answers (`Assess.sha256`).
        audit: the form of `AuditNumbers`; None where the site's policy withholds it.
        evaluation: the form of `EvaluationNumbers`; None likewise.
    """

    site: str
    question_sha256: str
    audit: Json | None
    evaluation: Json | None


Task = Describe | TrainRound | SecureStep | TrainMasked | Assess
Answer = SiteDescription | RoundUpdate | SecureReply | MaskedUpdate | Assessment | Refusal
