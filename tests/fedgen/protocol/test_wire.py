"""Every message survives the wire unchanged; whatever else comes is one FederationError."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from fedgen.errors import ExitCode, FederationError
from fedgen.protocol.messages import (
    Assess,
    Describe,
    MaskedUpdate,
    Refusal,
    RoundUpdate,
    SecureReply,
    SecureStep,
    SiteDescription,
    TrainMasked,
    TrainRound,
)
from fedgen.protocol.wire import decode_answer, decode_task, encode_answer, encode_task
from fedgen_privacy.secagg import Advertisement, Phase

sha256 = st.text("0123456789abcdef", min_size=64, max_size=64)
# Lone surrogates are no text: a site cannot have such a name.
letters = st.characters(exclude_categories=["Cs"])
name = st.text(letters, min_size=1, max_size=128)
number = st.floats(allow_nan=False, allow_infinity=False)
positive = st.floats(0, allow_nan=False, allow_infinity=False)
vector = hnp.arrays(np.float32, st.integers(0, 20), elements=st.floats(width=32)).map(torch.from_numpy)
rounds, attempts, content = st.integers(1, 10**6), st.integers(1, 2**16 - 1), st.binary(max_size=60)
train_rounds = st.builds(TrainRound, sha256, rounds, sha256, vector)
pixels = st.floats(-1, 1, width=16)


@st.composite
def assessments_asked(draw) -> Assess:
    n, c, h, w = (draw(st.integers(1, 3)) for _ in range(4))
    images = draw(hnp.arrays(np.float32, (n, c, h, w), elements=pixels))
    labels = draw(st.lists(st.integers(0, 2**16 - 1), min_size=n, max_size=n))
    model = draw(vector.filter(len))
    return Assess(draw(sha256), draw(sha256), model, torch.from_numpy(images), torch.tensor(labels))


tasks = st.one_of(
    assessments_asked(),
    st.builds(Describe, sha256, rounds),
    train_rounds,
    st.builds(SecureStep, sha256, rounds, attempts, st.sampled_from(Phase), content),
    st.builds(TrainMasked, train_rounds, attempts, content),
)
keys = st.none() | st.builds(Advertisement, content, st.lists(name, max_size=3).map(tuple))
private = st.builds(
    SiteDescription,
    site=name,
    patients=st.integers(1, 10**9),
    sampling_rate=st.floats(0, 1, exclude_min=True),
    noise_multiplier=st.floats(0, 1e5, exclude_min=True),
    steps_per_round=st.integers(0, 10**6),
    epsilon=positive,
    epsilon_rdp=positive,
    keys=keys,
)
plain = st.builds(
    SiteDescription,
    site=name,
    patients=st.integers(1, 10**9),
    sampling_rate=st.floats(0, 1, exclude_min=True),
    noise_multiplier=st.just(0.0),
    steps_per_round=st.integers(0, 10**6),
    epsilon=st.none(),
    epsilon_rdp=st.none(),
    keys=keys,
)
updates = st.builds(
    RoundUpdate,
    site=name,
    round=st.integers(1, 10**6),
    model_sha256=sha256,
    update=vector,
    weight=st.floats(0, allow_nan=False, allow_infinity=False, exclude_min=True),
    losses=st.dictionaries(name, st.tuples(number, positive), max_size=4),
)
replies = st.builds(
    SecureReply,
    site=name,
    round=rounds,
    attempt=attempts,
    phase=st.sampled_from(Phase),
    reply=content,
    keys=keys,
)
masked = st.builds(
    MaskedUpdate,
    site=name,
    round=rounds,
    attempt=attempts,
    receipt=content,
    words=hnp.arrays(np.uint32, st.integers(0, 20)),
)
refusals = st.builds(
    Refusal,
    name,
    st.sampled_from(ExitCode),
    st.text(letters, max_size=500),
    st.lists(name, max_size=3).map(tuple),
)


def same(one, other) -> bool:
    if type(one) is not type(other):
        return False
    for field, value in vars(one).items():
        found = getattr(other, field)
        if isinstance(value, TrainRound):
            if not same(value, found):
                return False
        elif isinstance(value, np.ndarray):
            if not (np.array_equal(value, found) and found.dtype == value.dtype):
                return False
        elif isinstance(value, torch.Tensor):
            if value.numpy().tobytes() != found.numpy().tobytes() or found.dtype != value.dtype:
                return False
            if found.shape != value.shape:
                return False
        elif found != value or type(found) is not type(value):
            return False
    return True


@given(tasks)
def test_tasks_round_trip(task) -> None:
    text, sent = encode_task(task)
    assert (sent is None) == isinstance(task, Describe | SecureStep)
    assert same(task, decode_task(text, sent))


@given(st.one_of(private, plain, updates, refusals, replies, masked))
def test_answers_round_trip(answer) -> None:
    text, sent = encode_answer(answer)
    assert (sent is None) == (not isinstance(answer, RoundUpdate | MaskedUpdate))
    assert same(answer, decode_answer(text, sent))


def test_what_arrives_is_a_copy() -> None:
    task = TrainRound("a" * 64, 1, "b" * 64, torch.zeros(3))
    text, sent = encode_task(task)
    received = decode_task(text, sent)
    received.model.add_(1)
    assert not task.model.any()


HASH = "a" * 64
UPDATE = {
    "kind": "update",
    "site": "n",
    "round": 1,
    "model_sha256": HASH,
    "weight": 1.0,
    "losses": {"x": [1, 0]},
}
DESCRIPTION = {
    "kind": "description", "site": "n", "patients": 5, "sampling_rate": 0.5, "noise_multiplier": 1.0,
    "steps_per_round": 2, "epsilon": 1.0, "epsilon_rdp": 1.1, "keys": None,
}  # fmt: skip
REFUSAL = {"kind": "refusal", "site": "n", "code": 3, "reason": "no", "about": ["m"]}
KEYS = {"advert": "AAAA", "bound_to": ["n"]}
REPLY = {
    "kind": "secure_reply", "site": "n", "round": 1, "attempt": 1, "phase": "share", "reply": "", "keys": KEYS,
}  # fmt: skip
ASSESS = {
    "kind": "assess", "study_sha256": HASH, "model_sha256": HASH, "parameters": 3, "shape": [1, 1, 2, 2],
}  # fmt: skip
ASSESSMENT = {"kind": "assessment", "site": "n", "question_sha256": HASH, "audit": None, "evaluation": None}
MASKED = {"kind": "masked_update", "site": "n", "round": 1, "attempt": 1, "receipt": "AAAA"}
STEP = {
    "kind": "secure_step",
    "study_sha256": HASH,
    "round": 1,
    "attempt": 1,
    "phase": "share",
    "request": "",
}
TRAIN_MASKED = {
    "kind": "train_masked", "study_sha256": HASH, "round": 1, "model_sha256": HASH, "attempt": 1, "request": "AAAA",
}  # fmt: skip
VECTOR = np.zeros(3, np.float32)

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)
#: messages that are valid but for a few fields
nearly = st.sampled_from(
    [
        UPDATE,
        DESCRIPTION,
        REFUSAL,
        {"kind": "train", "study_sha256": HASH},
        REPLY,
        MASKED,
        STEP,
        TRAIN_MASKED,
        ASSESS,
        ASSESSMENT,
    ]
).flatmap(
    lambda message: st.dictionaries(st.sampled_from([*message, "extra"]), json_values, max_size=3).map(
        lambda changes: {**message, **changes}
    )
)
vectors = st.none() | hnp.arrays(
    st.sampled_from([np.float32, np.float64, np.int32, np.uint32]),
    hnp.array_shapes(min_dims=0, max_dims=2, max_side=3),
)


@settings(max_examples=400, suppress_health_check=[HealthCheck.too_slow])
@given(text=st.one_of(st.text(), json_values.map(json.dumps), nearly.map(json.dumps)), sent=vectors)
@example(text="1" * 5000, sent=None)
@example(text=json.dumps({**REPLY, "reply": "A"}), sent=None)
@example(text=json.dumps({**REPLY, "reply": "AB=="}), sent=None)
@example(text=json.dumps({**STEP, "attempt": 2**16}), sent=None)
@example(text=json.dumps({**REPLY, "keys": {**KEYS, "bound_to": "n"}}), sent=None)
@example(text=json.dumps(MASKED), sent=VECTOR)
@example(text=json.dumps(MASKED), sent=None)
@example(text=json.dumps(ASSESS), sent=None)
@example(text=json.dumps({**ASSESS, "shape": [2**30] * 4}), sent=VECTOR)
@example(text=json.dumps({**ASSESSMENT, "audit": {}}), sent=None)
@example(text=json.dumps({**ASSESSMENT, "evaluation": {"class": None}}), sent=None)
@example(text=json.dumps(TRAIN_MASKED), sent=VECTOR.astype(np.uint32))
@example(text=json.dumps({**UPDATE, "weight": 10**400}), sent=VECTOR)
@example(text=json.dumps({**UPDATE, "round": 10**30}), sent=VECTOR)
@example(text=json.dumps({**REFUSAL, "code": 10**30}), sent=None)
@example(text='{"kind": "refusal", "site": "\\ud800", "code": 3, "reason": "no"}', sent=None)
@example(text='{"kind": "update", "losses": {"\\ud800": [1, 0]}}', sent=VECTOR)
@example(text='{"kind": "\\ud800"}', sent=None)
def test_anything_else_is_one_federation_error(text, sent) -> None:
    for decode in (decode_task, decode_answer):
        try:
            decode(text, sent)
        except FederationError as error:
            assert "\n" not in str(error)
            str(error).encode()


@pytest.mark.parametrize("decode", [decode_task, decode_answer])
@pytest.mark.parametrize("opening", ["[", '{"losses":'])
def test_nesting_without_end_is_refused(decode, opening) -> None:
    with pytest.raises(FederationError):
        decode(opening * 100_000, None)


@pytest.mark.parametrize(
    "changes",
    [
        {"weight": 0.0}, {"weight": -1.0}, {"weight": float("nan")}, {"weight": float("inf")}, {"weight": "1"},
        {"weight": True}, {"round": 0}, {"round": 1.0}, {"round": "1"}, {"site": ""}, {"site": "n" * 129},
        {"model_sha256": "A" * 64}, {"model_sha256": HASH[:-1]}, {"model_sha256": HASH + "\n"},
        {"losses": {"x": [1]}}, {"losses": {"x": [1, 0, 0]}}, {"losses": {"x": [1, -1]}}, {"losses": [1, 0]},
        {"losses": {"x": [float("nan"), 0]}}, {"losses": {"x": ["1", 0]}}, {"extra": 1}, {"kind": "updates"},
    ],
)  # fmt: skip
def test_a_wrong_field_of_an_update_is_refused(changes) -> None:
    decode_answer(json.dumps(UPDATE), VECTOR)
    with pytest.raises(FederationError):
        decode_answer(json.dumps({**UPDATE, **changes}), VECTOR)


@pytest.mark.parametrize("missing", [name for name in UPDATE if name != "losses"] + ["losses"])
def test_a_missing_field_of_an_update_is_refused(missing) -> None:
    with pytest.raises(FederationError):
        decode_answer(json.dumps({name: value for name, value in UPDATE.items() if name != missing}), VECTOR)


@pytest.mark.parametrize(
    "changes",
    [
        {"patients": 0}, {"sampling_rate": 0.0}, {"sampling_rate": 1.5}, {"noise_multiplier": -1.0},
        {"noise_multiplier": 0.0}, {"epsilon": None}, {"epsilon": -1.0}, {"epsilon": float("inf")},
        {"steps_per_round": -1}, {"epsilon_rdp": None},
    ],
)  # fmt: skip
def test_a_description_that_cannot_be_true_is_refused(changes) -> None:
    """An epsilon without noise would end the coordinator's run instead of the site's part in it."""
    decode_answer(json.dumps(DESCRIPTION), None)
    with pytest.raises(FederationError):
        decode_answer(json.dumps({**DESCRIPTION, **changes}), None)


@pytest.mark.parametrize("sent", [None, np.zeros(3), np.zeros((1, 3), np.float32), np.float32(1)])
def test_a_model_must_be_one_float32_vector(sent) -> None:
    with pytest.raises(FederationError, match="float32 vector"):
        decode_answer(json.dumps(UPDATE), sent)


def test_an_unknown_code_of_a_refusal_is_refused() -> None:
    with pytest.raises(FederationError, match="unknown code 77"):
        decode_answer(json.dumps({**REFUSAL, "code": 77}), None)
