"""Messages as JSON text and vector, and back, with strict checks on what came.

A message is one JSON object and at most one vector, float32 or masked uint32, so any transport can carry it. Each
says its wire version, and no other is read. Decoding trusts nothing: what is read must be what this version would
have written, so that a missing, extra, converted or ignored field is an error, never a default.
"""

from __future__ import annotations

import json
from typing import Any, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import from_json

from fedgen.errors import FederationError
from fedgen.protocol.messages import MAX_TEXT, Answer, Message, Task
from fedgen.protocol.parts import IncomingVector, Vector
from fedgen.schema.section import Section

#: Raised with every change of a message, a field or a limit. The first messages of all said none.
WIRE: Literal[3] = 3

M = TypeVar("M")


class _Sent(Section, Generic[M]):
    wire: Literal[3]
    message: M


class _Version(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True)
    wire: int = Field(0, ge=0, lt=2**32)


def encode_task(task: Task) -> tuple[str, Vector | None]:
    """A task as JSON text and vector; raises ValueError as `encode_answer`."""
    return _encode(_Sent[Task], task)


def encode_answer(answer: Answer) -> tuple[str, Vector | None]:
    """An answer as JSON text and vector.

    Raises:
        ValueError: it is longer than its kind may be, or was changed after it was made (a defect of this version).
    """
    return _encode(_Sent[Answer], answer)


def decode_task(text: str, vector: Vector | None) -> Task:
    """A task from JSON text and vector.

    Raises:
        FederationError: the message is not a valid task of this wire version.
    """
    return _decode(_Sent[Task], text, vector)


def decode_answer(text: str, vector: Vector | None) -> Answer:
    """An answer from JSON text and vector.

    Raises:
        FederationError: the message is not a valid answer of this wire version.
    """
    return _decode(_Sent[Answer], text, vector)


def _encode(form: type[_Sent[Any]], message: Message) -> tuple[str, Vector | None]:
    # Checked again: a copy is not, and a dictionary in it can have been changed since.
    checked = message.model_validate({name: getattr(message, name) for name in type(message).model_fields})
    text = form(wire=WIRE, message=checked).model_dump_json()
    if len(text) > message.longest:
        raise ValueError(f"a message of {len(text)} characters is larger than {message.longest}")
    return text, checked.vector()


def _decode(form: type[_Sent[M]], text: str, vector: Vector | None) -> M:
    if len(text) > MAX_TEXT:
        raise FederationError(f"A message of more than {MAX_TEXT} characters came, which no message has.")
    incoming = IncomingVector(vector)
    try:
        sent = form.model_validate_json(text, context=incoming)
    except ValueError as error:
        raise FederationError(_unreadable(text, error)) from None
    incoming.close()
    message: Any = sent.message
    if len(text) > message.longest:
        raise FederationError(
            f"A message of kind {message.kind} came with more than {message.longest} characters."
        )
    if not _says(text, sent.model_dump_json()):
        raise FederationError(
            f"A message of kind {message.kind} could not be read (it is not what this version would write): both sides "
            "must run the same version."
        )
    return sent.message


def _says(text: str, written: str) -> bool:
    # Numbers and white space may be written in another way by another release of the library, and nothing else.
    return text == written or json.dumps(from_json(text)) == json.dumps(from_json(written))


def _unreadable(text: str, error: ValueError) -> str:
    """Why a text is no message: first of all another version, of which nothing else can be said."""
    try:
        found = _Version.model_validate_json(text).wire
    except ValueError:
        found = WIRE
    if found != WIRE:
        said = f"of wire version {found}" if found else "without a wire version, as an older fedgen sends it,"
        return (
            f"A message {said} came, and this side reads version {WIRE} alone: both sides must run the same version of "
            "fedgen."
        )
    why = "it is no text"
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False, include_input=False)[0]
        # The one message of the library that repeats what came.
        why = "an unknown kind" if first["type"] == "union_tag_invalid" else first["msg"]
    return f"A message could not be read ({why}): both sides must run the same version."
