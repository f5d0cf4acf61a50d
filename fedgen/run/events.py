"""The events of a run, one class each: what a stage writes into events.jsonl is what its readers get back."""

from __future__ import annotations

import json
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter, ValidationError

from fedgen.run.journal import DAMAGED, Entry
from fedgen.run.version import VERSION
from fedgen.schema.section import Section
from fedgen.task.image_spec import ImageSpec

Count = Annotated[int, Field(ge=0)]
Round = Annotated[int, Field(ge=1)]


class Traffic(Section):
    """Bytes to and from sites, vectors included."""

    to_sites: Count
    from_sites: Count


class SessionAbort(Section):
    """A session of a secure aggregation that was tried again."""

    attempt: int
    phase: str
    reason: str
    sites: tuple[str, ...]


class SecureRecord(Section):
    """How a round's secure aggregation went.

    Attributes:
        attempt: the session that succeeded, from 1.
        weight: sum of the sites' weights.
        exchanges: messages to and fro.
        bytes: of them.
        failed_later: sites that failed after their update was in the sum, with the reason.
        aborts: of sessions before.
    """

    attempt: int
    weight: int
    exchanges: Count
    bytes: Traffic
    failed_later: dict[str, str]
    aborts: tuple[SessionAbort, ...] = ()


class RoundLoss(Section):
    """A loss as the sites reported it, and the standard deviation of the privacy noise in it."""

    value: float
    std: float


class AskedSite(Section):
    """What a site stated before it was asked to train; as `SiteDescription`, but for its keys.

    The grid is noted for a site that is away when the run is resumed: the model has learned from its images.
    """

    site: str
    patients: int
    sampling_rate: float
    noise_multiplier: float
    steps_per_round: int
    epsilon: float | None
    epsilon_rdp: float | None
    grid: ImageSpec | None = None


class _Event(Section):
    """A line; `site` and `round` are None where they do not apply, `time` (ISO 8601, UTC) is the journal's."""

    version: Literal[2] = VERSION
    time: str = ""
    site: str | None = None
    round: int | None = None


class StageBegun(_Event):
    """A stage begins."""

    event: Literal["stage"] = "stage"
    stage: str


class RoundDone(_Event):
    """A round is finished and its checkpoint on disk.

    Attributes:
        losses: by objective.
        epsilon: upper bound of what the site that spent most has spent; None without privacy.
        sites: who is in the average.
        seconds: it took.
        secure: None without secure aggregation.
    """

    event: Literal["round"] = "round"
    round: Round
    losses: dict[str, RoundLoss]
    epsilon: float | None
    sites: tuple[str, ...]
    seconds: float
    secure: SecureRecord | None = None


class Finishing(_Event):
    """After the last round the released model is made of the trained one; written at every tenth of it."""

    event: Literal["finishing"] = "finishing"
    round: Round
    done: Count
    total: Round


class Previewed(_Event):
    """What the model drew after this round, for who watches; it is in `previews/` until others are newer."""

    event: Literal["preview"] = "preview"
    round: Round
    images: Count
    seconds: float


class NotPreviewed(_Event):
    """The model could not be drawn after this round, and is not tried again in this start."""

    event: Literal["not_previewed"] = "not_previewed"
    round: Round
    reason: str


class Asked(_Event):
    """Sites are about to be asked to train a round, and will be charged for it."""

    event: Literal["asked"] = "asked"
    round: Round
    sites: tuple[AskedSite, ...]


class PhaseBegun(_Event):
    """An exchange of a round begins.

    Attributes:
        attempt: the session of the secure aggregation, from 1.
        phase: of `fedgen_privacy.secagg`, or `train` without secure aggregation.
        sites: that are asked.
    """

    event: Literal["phase"] = "phase"
    round: Round
    attempt: int
    phase: str
    sites: tuple[str, ...]


class SiteAnswered(_Event):
    """A site's update has come; written at the latest when the phase is over.

    Attributes:
        phase: as of the exchange.
        seconds: since it was asked.
        bytes: of the model and of the update.
    """

    event: Literal["answered"] = "answered"
    site: str
    round: Round
    phase: str
    seconds: float
    bytes: Traffic


class Dropout(_Event):
    """A site was asked and is not in the round's average."""

    event: Literal["dropout"] = "dropout"
    site: str
    round: Round
    reason: str


class LeftOut(_Event):
    """A site could not take part from the start."""

    event: Literal["left_out"] = "left_out"
    site: str
    reason: str


class Joined(_Event):
    """A site came late and takes part from this round on."""

    event: Literal["joined"] = "joined"
    site: str
    round: Round


class Waiting(_Event):
    """Sites are being waited for."""

    event: Literal["waiting"] = "waiting"
    reason: str


class LinkLost(_Event):
    """A run of Flower's was lost and another is begun."""

    event: Literal["link_lost"] = "link_lost"
    reason: str


class QuestionAsked(_Event):
    """The sites in the model are asked to audit and evaluate the release.

    Attributes:
        question: its sha256.
        sites: in the model.
        kept: of them, those whose answer to it is here from before.
    """

    event: Literal["question"] = "question"
    question: str
    sites: tuple[str, ...]
    kept: tuple[str, ...] = ()


class Assessed(_Event):
    """A site's numbers about the release have come."""

    event: Literal["assessed"] = "assessed"
    site: str


class NotAssessed(_Event):
    """A site sent no numbers about the release."""

    event: Literal["not_assessed"] = "not_assessed"
    site: str
    reason: str


class Aborted(_Event):
    """A stage failed; `code` is the exit code."""

    event: Literal["abort"] = "abort"
    reason: str
    code: int


class Interrupted(_Event):
    """A person or the system stopped the run."""

    event: Literal["interrupted"] = "interrupted"


class Done(_Event):
    """Every stage has finished."""

    event: Literal["done"] = "done"


class Damaged(_Event):
    """A line that is no event of this version; shown, never computed from."""

    event: Literal["damaged"] = DAMAGED
    line: int


Event = (
    StageBegun
    | RoundDone
    | Finishing
    | Previewed
    | NotPreviewed
    | Asked
    | PhaseBegun
    | SiteAnswered
    | Dropout
    | LeftOut
    | Joined
    | Waiting
    | LinkLost
    | QuestionAsked
    | Assessed
    | NotAssessed
    | Aborted
    | Interrupted
    | Done
    | Damaged
)
_EVENT: TypeAdapter[Event] = TypeAdapter(Annotated[Event, Field(discriminator="event")])


def fields_of(event: Event) -> dict[str, object]:
    """What the journal writes of it."""
    return event.model_dump(mode="json", exclude={"event", "time"})


def event_of(entry: Entry, line: int) -> Event:
    """The event in a line; `Damaged` where it is none of this version."""
    if entry.get("version") != VERSION:
        return Damaged(time=str(entry.get("time", "")), line=line)
    try:
        return _EVENT.validate_json(json.dumps(entry))
    except ValidationError:
        return Damaged(time=str(entry["time"]), line=line)
