"""Whatever comes over the wire that is no message is one FederationError."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pydantic import ValidationError

from fedgen.errors import ExitCode, FederationError
from fedgen.protocol.messages import (
    MAX_CONTENT,
    MAX_NAMES,
    MAX_REASON,
    MAX_TEXT,
    Assess,
    Refusal,
    SecureReply,
)
from fedgen.protocol.wire import WIRE, decode_answer, decode_task
from fedgen_privacy.secagg import Advertisement, Phase

HASH = "a" * 64
UPDATE = {
    "kind": "round_update",
    "site": "n",
    "round": 1,
    "model_sha256": HASH,
    "update": [3],
    "weight": 1.0,
    "losses": {"x": [1.0, 0.0]},
}
DESCRIPTION = {
    "kind": "site_description", "site": "n", "patients": 5, "sampling_rate": 0.5, "noise_multiplier": 1.0,
    "steps_per_round": 2, "epsilon": 1.0, "epsilon_rdp": 1.1, "keys": None, "grid": None,
}  # fmt: skip
REFUSAL = {"kind": "refusal", "site": "n", "code": 3, "reason": "no", "about": ["m"]}
KEYS = {"advert": "AAAA", "bound_to": ["n"]}
REPLY = {
    "kind": "secure_reply", "site": "n", "round": 1, "attempt": 1, "phase": "share", "reply": "", "keys": KEYS,
}  # fmt: skip
ASSESS = {
    "kind": "assess", "study_sha256": HASH, "model_sha256": HASH, "model": [3], "images": [1, 1, 2, 2], "labels": [1],
}  # fmt: skip
ASSESSMENT = {"kind": "assessment", "site": "n", "question_sha256": HASH, "audit": None, "evaluation": None}
MASKED = {"kind": "masked_update", "site": "n", "round": 1, "attempt": 1, "receipt": "AAAA", "words": [3]}
STEP = {
    "kind": "secure_step",
    "study_sha256": HASH,
    "round": 1,
    "attempt": 1,
    "phase": "share",
    "request": "",
}
TRAIN = {"kind": "train_round", "study_sha256": HASH, "round": 1, "model_sha256": HASH, "model": [3]}
TRAIN_MASKED = {"kind": "train_masked", "train": TRAIN, "attempt": 1, "request": "AAAA"}
VECTOR = np.zeros(3, np.float32)


def sent_as(message: Any, **envelope: Any) -> str:
    return json.dumps({"wire": WIRE, "message": message, **envelope})


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)
#: messages that are valid but for a few fields
nearly = st.sampled_from(
    [UPDATE, DESCRIPTION, REFUSAL, TRAIN, REPLY, MASKED, STEP, TRAIN_MASKED, ASSESS, ASSESSMENT]
).flatmap(
    lambda message: st.dictionaries(st.sampled_from([*message, "extra"]), json_values, max_size=3).map(
        lambda changes: {**message, **changes}
    )
)
vectors = st.none() | hnp.arrays(
    st.sampled_from([np.float32, np.float64, np.int32, np.uint32]),
    hnp.array_shapes(min_dims=0, max_dims=2, max_side=3),
)


@settings(max_examples=4 * settings.default.max_examples, suppress_health_check=[HealthCheck.too_slow])
@given(text=st.one_of(st.text(), json_values.map(json.dumps), nearly.map(sent_as)), sent=vectors)
@example(text="1" * 5000, sent=None)
@example(text='{"wire": ' + "1" * 5000 + "}", sent=None)
@example(text=sent_as({**STEP, "attempt": 2**16}), sent=None)
@example(text=sent_as({**REPLY, "keys": {**KEYS, "bound_to": "n"}}), sent=None)
@example(text=sent_as(MASKED), sent=VECTOR)
@example(text=sent_as(MASKED), sent=None)
@example(text=sent_as({**ASSESS, "images": [2**30] * 4}), sent=VECTOR)
@example(text=sent_as({**TRAIN, "model": [2**40 - 1]}), sent=VECTOR)
@example(text=sent_as({**ASSESSMENT, "audit": {}}), sent=None)
@example(text=sent_as({**ASSESSMENT, "evaluation": {"class": None}}), sent=None)
@example(text=sent_as(TRAIN_MASKED), sent=VECTOR.astype(np.uint32))
@example(text=sent_as({**UPDATE, "weight": 10**400}), sent=VECTOR)
@example(text=sent_as({**UPDATE, "round": 10**30}), sent=VECTOR)
@example(text=sent_as({**REFUSAL, "code": 10**30}), sent=None)
@example(text=sent_as({**REFUSAL, "two\nlines": 1}), sent=None)
@example(text=sent_as({**REFUSAL, "kind": "two\nlines" * 100}), sent=None)
@example(
    text='{"wire":3,"message":{"kind":"refusal","site":"\\ud800","code":3,"reason":"no","about":[]}}',
    sent=None,
)
@example(text='{"kind": "\\ud800"}', sent=None)
def test_anything_else_is_one_federation_error(text, sent) -> None:
    for decode in (decode_task, decode_answer):
        try:
            decode(text, sent)
        except FederationError as error:
            assert "\n" not in str(error) and len(str(error)) <= MAX_REASON
            str(error).encode()


@pytest.mark.parametrize("decode", [decode_task, decode_answer])
@pytest.mark.parametrize("opening", ["[", '{"losses":', '{"wire":3,"message":{"kind":'])
def test_nesting_without_end_is_refused(decode, opening) -> None:
    with pytest.raises(FederationError):
        decode(opening * 100_000, None)


@pytest.mark.parametrize(
    "changes",
    [
        {"weight": 0.0}, {"weight": -1.0}, {"weight": float("nan")}, {"weight": float("inf")}, {"weight": "1"},
        {"weight": True}, {"weight": 1}, {"round": 0}, {"round": 1.0}, {"round": "1"}, {"site": ""},
        {"site": "n" * 129}, {"model_sha256": "A" * 64}, {"model_sha256": HASH[:-1]}, {"model_sha256": HASH + "\n"},
        {"losses": {"x": [1.0]}}, {"losses": {"x": [1.0, 0.0, 0.0]}}, {"losses": {"x": [1.0, -1.0]}},
        {"losses": [1.0, 0.0]}, {"losses": {"x": [float("nan"), 0.0]}}, {"losses": {"x": ["1", 0.0]}}, {"extra": 1},
        {"kind": "updates"}, {"update": [2]}, {"update": [4]}, {"update": [3, 1]}, {"update": [3.0]}, {"update": []},
        {"update": [1, 3]}, {"update": 3}, {"update": [-3]}, {"update": [0.0, 0.0, 0.0]},
    ],
)  # fmt: skip
def test_a_wrong_field_of_an_update_is_refused(changes) -> None:
    decode_answer(sent_as(UPDATE), VECTOR)
    with pytest.raises(FederationError):
        decode_answer(sent_as({**UPDATE, **changes}), VECTOR)


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
    decode_answer(sent_as(DESCRIPTION), None)
    with pytest.raises(FederationError):
        decode_answer(sent_as({**DESCRIPTION, **changes}), None)


@pytest.mark.parametrize("sent", [None, np.zeros(3), np.zeros((1, 3), np.float32), np.float32(1)])
def test_a_model_must_be_one_float32_vector(sent) -> None:
    with pytest.raises(FederationError, match="float32 vector"):
        decode_answer(sent_as(UPDATE), sent)


def test_a_vector_that_nothing_speaks_of_is_refused() -> None:
    decode_answer(sent_as(REFUSAL), None)
    with pytest.raises(FederationError, match="3 values where the sizes of its parts make 0"):
        decode_answer(sent_as(REFUSAL), VECTOR)


@pytest.mark.parametrize("code", [77, 1, True, False, 3.0, "3", None])
def test_an_unknown_code_of_a_refusal_is_refused(code) -> None:
    with pytest.raises(FederationError, match="could not be read"):
        decode_answer(sent_as({**REFUSAL, "code": code}), None)


@pytest.mark.parametrize("decode", [decode_task, decode_answer])
@pytest.mark.parametrize(
    ("wire", "said"), [(0, "without a wire version"), (2, "version 2"), (2**32 - 1, "version 4294967295")]
)
def test_another_wire_version_is_refused_in_a_sentence_of_its_own(decode, wire, said) -> None:
    """Also where nothing else of it can be read."""
    for message in (REFUSAL, STEP, {"kind": "of tomorrow"}, None):
        with pytest.raises(FederationError, match=f"{said}.* reads version 3 alone: both sides must run"):
            decode(sent_as(message, wire=wire), None)


@pytest.mark.parametrize("wire", [-1, 2**32, 10**400, "3", 3.0, True, None, [3]])
def test_what_is_no_wire_version_is_refused(wire) -> None:
    with pytest.raises(FederationError, match="could not be read"):
        decode_answer(sent_as(REFUSAL, wire=wire), None)


def test_what_is_longer_than_any_message_is_refused() -> None:
    """Whoever makes it, and before it is parsed where it comes from elsewhere."""
    reply = {"site": "n", "round": 1, "attempt": 1, "phase": Phase.SHARE, "reply": b"", "keys": None}
    refusal = {"site": "n", "code": ExitCode.DATA, "reason": ""}
    SecureReply(**{**reply, "reply": bytes(MAX_CONTENT)})
    Refusal(**{**refusal, "reason": "r" * MAX_REASON, "about": ("n",) * MAX_NAMES})
    for change in (
        {"reply": bytes(MAX_CONTENT + 1)},
        {"keys": Advertisement(bytes(MAX_CONTENT + 1), ())},
        {"keys": Advertisement(b"", ("n",) * (MAX_NAMES + 1))},
        {"keys": Advertisement(b"", ("n" * 129,))},
        {"keys": Advertisement(b"", ("",))},
        {"round": 2**32},
        {"attempt": 2**16},
    ):
        with pytest.raises(ValidationError):
            SecureReply(**{**reply, **change})
    for change in ({"reason": "r" * (MAX_REASON + 1)}, {"about": ("n",) * (MAX_NAMES + 1)}):
        with pytest.raises(ValidationError):
            Refusal(**{**refusal, **change})
    with pytest.raises(FederationError, match="could not be read"):
        decode_answer(sent_as({**REPLY, "reply": "A" * (4 * (MAX_CONTENT // 3) + 4)}), None)
    with pytest.raises(FederationError, match=f"more than {MAX_TEXT} characters"):
        decode_answer("[" * (MAX_TEXT + 1), None)


def test_every_image_has_a_label() -> None:
    images = torch.zeros(2, 1, 2, 2)
    with pytest.raises(ValidationError, match="2 images have 3 labels"):
        Assess(
            study_sha256=HASH,
            model_sha256=HASH,
            model=torch.zeros(1),
            images=images,
            labels=torch.zeros(3, dtype=torch.int64),
        )
    with pytest.raises(FederationError, match="1 images have 2 labels"):
        decode_task(sent_as({**ASSESS, "labels": [2]}), np.zeros(9, np.float32))
