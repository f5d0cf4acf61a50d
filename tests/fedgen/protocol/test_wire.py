"""Every message survives the wire unchanged, and nothing but a message is sent."""

from __future__ import annotations

import copy
import dataclasses
import json
import re
from collections.abc import Iterator
from typing import Any, get_args

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from fedgen.errors import FederationError
from fedgen.protocol.messages import (
    MAX_REASON,
    Answer,
    Message,
    RoundUpdate,
    SecureStep,
    Task,
    TrainMasked,
    TrainRound,
)
from fedgen.protocol.wire import decode_answer, decode_task, encode_answer, encode_task
from fedgen_privacy.secagg import Phase

HASH = "a" * 64
TASKS, ANSWERS = (get_args(get_args(union)[0]) for union in (Task, Answer))
KINDS = [pytest.param(kind, id=kind.__name__) for kind in (*TASKS, *ANSWERS)]
THOROUGH = settings(
    max_examples=3 * settings.default.max_examples // 10,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


def carry(kind: type[Message]) -> tuple[Any, Any]:
    return (encode_task, decode_task) if kind in TASKS else (encode_answer, decode_answer)


def same(one: Any, other: Any) -> bool:
    if type(one) is not type(other):
        return False
    if isinstance(one, BaseModel):
        return all(same(getattr(one, name), getattr(other, name)) for name in type(one).model_fields)
    if isinstance(one, torch.Tensor):
        one, other = one.numpy(), other.numpy()
    if isinstance(one, np.ndarray):
        return (one.dtype, one.shape, one.tobytes()) == (other.dtype, other.shape, other.tobytes())
    return bool(one == other)


@pytest.mark.parametrize("kind", KINDS)
@THOROUGH
@given(data=st.data())
def test_every_message_round_trips(kind, drawn, data) -> None:
    message = data.draw(drawn(kind))
    encode, decode = carry(kind)
    text, sent = encode(message)
    assert text.startswith('{"wire":3,"message":{"kind":"')
    assert (sent is None) == (list(message.parts()) == [])
    assert same(message, decode(text, sent))


def test_every_kind_has_a_name_of_its_own() -> None:
    names = [kind.model_fields["kind"].default for kind in (*TASKS, *ANSWERS)]
    assert len(set(names)) == len(names) == 12
    # Written to the site log, and searched for there.
    assert names == [re.sub("(?!^)([A-Z])", r"_\1", kind.__name__).lower() for kind in (*TASKS, *ANSWERS)]


def objects(value: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where in a message's JSON the objects are that have named fields."""
    if isinstance(value, BaseModel):
        yield place
        for name in type(value).model_fields:
            yield from objects(getattr(value, name), (*place, name))
    elif dataclasses.is_dataclass(value):
        yield place


def wrong(value: Any) -> list[Any]:
    """Values of another type than this one's; some would do if they were converted."""
    values = [True, {"": [[]]}]
    match value:
        case str():
            return [*values, 7, [value], None]
        case int():
            return [*values, str(value), value + 0.5, float(value) if value else [], None]
        case float():
            return [*values, str(value), [value]]
        case list():
            return [*values, "", dict.fromkeys("ab", value)]
        case dict():
            return [*values, list(value), ""]
    return values


@pytest.mark.parametrize("kind", KINDS)
@settings(parent=THOROUGH, max_examples=5)
@given(data=st.data())
def test_a_missing_extra_or_wrongly_typed_field_is_refused(kind, drawn, data) -> None:
    message = data.draw(drawn(kind))
    encode, decode = carry(kind)
    text, sent = encode(message)
    decode(text, sent)
    body = json.loads(text)
    for place in [(), *(("message", *place) for place in objects(message))]:

        def changed(change: Any, place: tuple[Any, ...] = place) -> str:
            whole = copy.deepcopy(body)
            inner = whole
            for name in place:
                inner = inner[name]
            change(inner)
            return json.dumps(whole)

        names = list(json.loads(changed(lambda inner: None)) if not place else _at(body, place))
        tries = [changed(lambda inner: inner.update(extra=None))]
        for name in names:
            tries.append(changed(lambda inner, name=name: inner.pop(name)))
            for other in wrong(_at(body, (*place, name))):
                tries.append(changed(lambda inner, name=name, other=other: inner.update({name: other})))
        for tried in tries:
            with pytest.raises(FederationError):
                decode(tried, sent)
                pytest.fail(f"read {tried}")


def _at(body: Any, place: tuple[Any, ...]) -> Any:
    for name in place:
        body = body[name]
    return body


@pytest.mark.parametrize("kind", KINDS)
@THOROUGH
@given(data=st.data())
def test_one_changed_character_is_refused_or_says_something_else(kind, drawn, data) -> None:
    """Nothing is ignored: what is read is what the text says."""
    encode, decode = carry(kind)
    text, sent = encode(data.draw(drawn(kind)))
    place = data.draw(st.integers(0, len(text) - 1))
    changed = text[:place] + data.draw(st.characters(max_codepoint=127)) + text[place + 1 :]
    try:
        message = decode(changed, sent)
    except FederationError as error:
        assert "\n" not in str(error) and len(str(error)) <= MAX_REASON
    else:
        assert json.dumps(json.loads(encode(message)[0])) == json.dumps(json.loads(changed))


def test_bytes_have_one_spelling() -> None:
    text, _ = encode_task(
        SecureStep(study_sha256=HASH, round=1, attempt=1, phase=Phase.SHARE, request=b"\xfb\xf0")
    )
    assert '"-_A="' in text
    for other in ("+_A=", "+/A=", "-_A", "-_B=", "-_A==", "-_ A=", ""):
        with pytest.raises(FederationError):
            decode_task(text.replace("-_A=", other) if other else text.replace('"-_A="', "null"), None)


def test_what_arrives_is_a_copy() -> None:
    task = TrainRound(study_sha256="a" * 64, round=1, model_sha256="b" * 64, model=torch.zeros(3))
    text, sent = encode_task(task)
    assert sent is not None
    sent.flags.writeable = False
    received = decode_task(text, sent)
    received.model.add_(1)
    assert not task.model.any()


def test_making_and_sending_a_message_copies_no_vector() -> None:
    model = torch.arange(5.0)
    train = TrainRound(study_sha256=HASH, round=1, model_sha256=HASH, model=model)
    task = TrainMasked(train=train, attempt=1, request=b"")
    _, sent = encode_task(task)
    assert task.train.model is model and sent is not None
    assert sent.__array_interface__["data"][0] == model.data_ptr()


@pytest.mark.parametrize(
    "model",
    [
        torch.zeros(3, dtype=torch.float64), torch.zeros(3, dtype=torch.int32), torch.zeros(3, 1), torch.zeros(0),
        torch.tensor(1.0), np.zeros(3, np.float32), [0.0], None,
    ],
)  # fmt: skip
def test_a_vector_of_another_kind_makes_no_message(model) -> None:
    with pytest.raises(ValidationError):
        TrainRound(study_sha256=HASH, round=1, model_sha256=HASH, model=model)


def test_what_was_changed_since_it_was_made_is_not_sent() -> None:
    answer = RoundUpdate(
        site="n", round=1, model_sha256=HASH, update=torch.zeros(3), weight=1.0, losses={"x": (1.0, 0.0)}
    )
    answer.losses["Meier"] = (float("nan"), 0.0)
    with pytest.raises(ValueError, match="1 validation error") as refused:
        encode_answer(answer)
    assert "nan" not in str(refused.value)
    with pytest.raises(ValueError, match="1 validation error"):
        encode_answer(answer.model_copy(update={"losses": {}, "weight": -1.0}))
