"""What the worker tells its supervisor: about its last answer, for the site log, the terminal and the next poll."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, JsonValue

from fedgen.schema.section import Section


class AboutTask(Section):
    """A task, in the fields of the site log; what a message does not have is not said.

    Attributes:
        study: hash of the study.
        kind: of the message.
        round: it is of.
        phase: of a secure aggregation.
    """

    study: str
    kind: str
    round: int | None = None
    phase: str | None = None


class AboutAnswer(AboutTask):
    """An answer likewise.

    Attributes:
        epsilon: of the whole study where the site described itself, after the round where it trained one; None
            without privacy.
        decision: whether it was one.
        reason: of a refusal.
    """

    epsilon: float | None = None
    decision: Literal["answered", "refused"]
    reason: str | None = None


class Told(Section):
    """Of the last message.

    Attributes:
        task: what was asked; None where it could not be read.
        answer: what was answered; None where the site found no answer.
        events: further entries of the site log, each with its `event`.
        said: a line for the terminal.
        unknown: hash of a study that this site has not been offered yet.
        active_seconds: for so long the next message may come any moment.
    """

    task: AboutTask | None = None
    answer: AboutAnswer | None = None
    events: list[dict[str, JsonValue]] = Field(default_factory=list)
    said: str | None = None
    unknown: str | None = None
    active_seconds: float = 0.0
