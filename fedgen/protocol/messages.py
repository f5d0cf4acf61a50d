"""What crosses the wire between coordinator and site, typed.

Tasks go down, answers come up. A model or an update is one flat float32 vector; everything else is
numbers and short strings. A site's error travels as a code and a fixed sentence, never as its text:
error texts can quote paths, and paths can quote patients.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from fedgen.errors import ExitCode


@dataclass(frozen=True)
class Describe:
    """Ask a site what it would bring and spend."""

    study_sha256: str


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
    """

    site: str
    patients: int
    sampling_rate: float
    noise_multiplier: float
    steps_per_round: int
    epsilon: float | None
    epsilon_rdp: float | None


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
class Refusal:
    """A site could not or would not do a task: the exit code that fits, and a sanitised sentence."""

    site: str
    code: ExitCode
    reason: str


Task = Describe | TrainRound
Answer = SiteDescription | RoundUpdate | Refusal
