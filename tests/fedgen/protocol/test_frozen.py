"""Messages as they were on the wire when its version was made: a change of any of them needs another version."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from fedgen.errors import ExitCode, FederationError
from fedgen.protocol.messages import (
    Assess,
    Assessment,
    AssessModel,
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
from fedgen.protocol.receipt import SignedReceipt
from fedgen.protocol.wire import WIRE, decode_answer, decode_task, encode_answer, encode_task
from fedgen.run.evidence_files import AuditNumbers, Claim, EvaluationNumbers
from fedgen.run.row import Finding, Row, Value, Verdict
from fedgen.task.image_spec import ImageSpec
from fedgen_privacy.secagg import Advertisement, Phase

FOLDER = Path(__file__).parent / "frozen"
FROZEN = json.loads((FOLDER / f"wire{WIRE}.json").read_text())
UNVERSIONED = json.loads((FOLDER / "unversioned.json").read_text())

A, B = "a" * 64, "b" * 64
TRAIN = TrainRound(study_sha256=A, round=3, model_sha256=B, model=torch.tensor([1.0, -0.5]))
KEYS = Advertisement(b"keys", ("south",))
AUDIT = AuditNumbers(
    alpha=0.05,
    n={"train_patients": 5},
    claim=Claim(epsilon=None, delta=1e-5),
    rows=(
        Row(
            id="a",
            title="A",
            group="audit",
            about="Is it?",
            values=(Value(name="v", value=0.5, low=0.25, pool="mean", weight="train_patients"),),
            n={"train_patients": 5},
            findings=(Finding(verdict=Verdict.PASS, sentence="fine"),),
        ),
    ),
    limits=("none",),
    seed=1,
)
EVALUATION = EvaluationNumbers(
    n={}, rows=(Row(id="b", title="B", group="other", note="Of 3."),), limits=(), seed=1
)
TASKS = [
    Describe(study_sha256=A, round=3),
    TRAIN,
    SecureStep(study_sha256=A, round=3, attempt=1, phase=Phase.SHARE, request=b"\xfb\xff?"),
    TrainMasked(train=TRAIN, attempt=2, request=b"ask"),
    Assess(
        study_sha256=A,
        model_sha256=B,
        model=TRAIN.model,
        images=torch.tensor([[[[0.5, -1.0], [0.25, 1.0]]]]),
        labels=torch.tensor([1]),
        masks=torch.tensor([[[[0, 1], [2, 0]]]], dtype=torch.uint8),
    ),
    AssessModel(study_sha256=A, model_sha256=B, model=TRAIN.model),
]
ANSWERS = [
    SiteDescription(
        site="north",
        patients=40,
        sampling_rate=0.25,
        noise_multiplier=1.5,
        steps_per_round=2,
        epsilon=3.0,
        epsilon_rdp=3.5,
        keys=KEYS,
        grid=ImageSpec(channels=1, size=(4, 5, 6), spacing=(1.0, 1.0, 2.5), orientation="SPR"),
    ),
    RoundUpdate(
        site="north",
        round=3,
        model_sha256=B,
        update=torch.tensor([0.25]),
        weight=2.0,
        losses={"loss": (0.5, 0.1)},
    ),
    SecureReply(site="north", round=3, attempt=1, phase=Phase.UNMASK, reply=b"shares", keys=KEYS),
    MaskedUpdate(
        site="north", round=3, attempt=2, receipt=b"receipt", words=np.array([7, 2**32 - 1], np.uint32)
    ),
    Assessment(
        site="north",
        question_sha256=A,
        audit=AUDIT,
        evaluation=EVALUATION,
        receipt=SignedReceipt(text='{"site":"north"}', signature=A + B),
    ),
    Refusal(site="north", code=ExitCode.REFUSED, reason="no", about=("east",)),
]
MESSAGES = {message.kind: message for message in (*TASKS, *ANSWERS)}


def frozen(message) -> list[str | None]:
    """What is on file of a message: its text, and type and little-endian hex of its vector."""
    text, vector = encode_task(message) if message in TASKS else encode_answer(message)
    if vector is None:
        return [text, None, None]
    return [text, str(vector.dtype), vector.astype(vector.dtype.newbyteorder("<")).tobytes().hex()]


@pytest.mark.parametrize("kind", sorted(MESSAGES.keys() | FROZEN.keys()))
def test_a_message_is_written_and_read_as_ever(kind) -> None:
    text, dtype, content = FROZEN[kind]
    assert frozen(MESSAGES[kind]) == [text, dtype, content]
    vector = None if dtype is None else np.frombuffer(bytes.fromhex(content), dtype)
    decode, encode = (decode_task, encode_task) if MESSAGES[kind] in TASKS else (decode_answer, encode_answer)
    again, sent = encode(decode(text, vector))
    assert again == text
    assert (sent is None and vector is None) or np.array_equal(sent, vector)


def test_the_hash_of_a_question_is_as_ever() -> None:
    """A site keeps it, and answers no other question of the study."""
    assert MESSAGES["assess"].sha256 == "1f12006d2ed33a2b2b535409cc4408716af6f13836bfa937a778bc94f21b3d1f"
    assert (
        MESSAGES["assess_model"].sha256 == "57caec71bc0f421e46668a3420e47f1f17798e69926c7492e8f7076c3733b386"
    )
    images_alone = MESSAGES["assess"].model_copy(update={"masks": None})
    assert images_alone.sha256 == "5be26d273d41b7d3579df58ed8e4d970776bbce70fb53d0fcd4e9f5da758fbbe"


@pytest.mark.parametrize("kind", sorted(UNVERSIONED))
def test_a_message_from_before_versions_is_refused_and_not_read(kind) -> None:
    for decode in (decode_task, decode_answer):
        for vector in (None, np.zeros(7, np.float32), np.zeros(2, np.uint32)):
            with pytest.raises(
                FederationError, match=r"without a wire version.*both sides must run the same version of fed"
            ):
                decode(UNVERSIONED[kind], vector)


def test_the_hash_of_a_release_is_as_ever() -> None:
    """Sites have signed it, and a release is checked by it for as long as anybody keeps one."""
    assert (
        MESSAGES["assess"].release_sha256
        == "7e7cece466a460540943403c44497fb1f4174c290bdb708ff6cd0369b37d3ce0"
    )
    assert MESSAGES["assess_model"].release_sha256 is None
