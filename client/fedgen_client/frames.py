"""Between a site's two processes: a JSON header and byte strings, over a pipe that nobody else holds.

Nothing is pickled: `multiprocessing.connection.Connection` is used for whole byte strings alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from multiprocessing.connection import Connection
from typing import ClassVar, TypeVar

from pydantic import Field, ValidationError

from fedgen.schema.section import Section
from fedgen_client.told import Told

#: Longest byte string on the pipe: what a message may have at most is checked before.
MAX_PART = 2**31 - 1


class Frame(Section):
    """The header of what one process sends the other.

    Attributes:
        objects: names of the byte strings that follow, after the first `unnamed` of them.
    """

    unnamed: ClassVar[int] = 0

    objects: list[str] = Field(default_factory=list)


class Ready(Frame):
    """The worker has started."""


class Handed(Frame):
    """A message of the coordinator, in its objects.

    Attributes:
        run_id: of Flower's run.
        node_id: this site's.
        message_id: hash of the message.
    """

    run_id: int
    node_id: int
    message_id: str


class Noted(Frame):
    """What the worker is at, in words for the site's own screen; the answer comes later."""

    note: str


class Answered(Frame):
    """The answer: header and tree, then the objects, as `fedgen.flower.fleet.Outgoing` has them.

    Attributes:
        memory: bytes that the worker holds now; 0 where the system does not say.
        seconds: it took.
        told: about it.
    """

    unnamed = 2

    memory: int
    seconds: float
    told: Told


F = TypeVar("F", bound=Frame)


def send(pipe: Connection, frame: Frame, parts: Sequence[bytes] = ()) -> None:
    """Write a frame and its byte strings.

    Raises:
        ValueError: they are not as many as it says.
        OSError: the other process is gone.
    """
    if len(parts) != frame.unnamed + len(frame.objects):
        raise ValueError(f"{len(parts)} byte strings for {frame}")
    # What was not said is not said to the other either, so that it does not come into the site log as null.
    pipe.send_bytes(frame.model_dump_json(exclude_unset=True).encode())
    for part in parts:
        pipe.send_bytes(part)


def receive_noted(pipe: Connection, form: type[F]) -> tuple[F | Noted, list[bytes]]:
    """As `receive`, of a process that may say what it is at before it answers."""
    content = pipe.recv_bytes(MAX_PART)
    frame: F | Noted
    try:
        frame = Noted.model_validate_json(content)
    except ValidationError:
        frame = form.model_validate_json(content)
    return frame, [pipe.recv_bytes(MAX_PART) for _ in range(frame.unnamed + len(frame.objects))]


def receive(pipe: Connection, form: type[F]) -> tuple[F, list[bytes]]:
    """Read a frame of that form and its byte strings; blocks until they have come.

    Raises:
        EOFError, OSError: the other process is gone.
        ValidationError: it sent another frame (a defect).
    """
    frame = form.model_validate_json(pipe.recv_bytes(MAX_PART))
    return frame, [pipe.recv_bytes(MAX_PART) for _ in range(form.unnamed + len(frame.objects))]
