"""What the two processes of a site say to each other arrives as it was said, and nothing else is taken for it."""

from __future__ import annotations

from multiprocessing import Pipe

import pytest
from pydantic import ValidationError

from fedgen.protocol.messages import Describe
from fedgen_client.frames import Answered, Handed, Noted, Ready, receive, receive_noted, send
from fedgen_client.hospital import Hospital
from fedgen_client.told import AboutAnswer, AboutTask, Told

TASK = AboutTask(study="a" * 64, kind="describe", round=3)
FRAMES = [
    (Ready(), []),
    (Handed(run_id=2**63, node_id=2**64 - 1, message_id="m", objects=["x", "y"]), [b"", b"\x00\xff"]),
    (
        Answered(
            objects=["z"],
            memory=1,
            seconds=0.5,
            told=Told(
                task=TASK,
                answer=AboutAnswer(
                    study="a" * 64, kind="site_description", epsilon=None, decision="answered"
                ),
                events=[{"event": "update", "round": 1, "nested": {"list": [1.5, None]}}],
                said="north: sent",
            ),
        ),
        [b"header", b"tree", b"object"],
    ),
]


@pytest.mark.parametrize(("frame", "parts"), FRAMES)
def test_a_frame_arrives_with_what_was_said_and_no_more(frame, parts) -> None:
    ours, theirs = Pipe()
    send(ours, frame, parts)
    found, content = receive(theirs, type(frame))
    assert (found, content) == (frame, parts)
    assert not theirs.poll()
    if isinstance(found, Answered):
        # An epsilon that was said to be none is in the log, a phase that nothing was said of is not.
        assert found.told.answer.model_dump(exclude_unset=True) == {
            "study": "a" * 64, "kind": "site_description", "epsilon": None, "decision": "answered",
        }  # fmt: skip
        assert found.told.task.model_dump(exclude_unset=True) == {
            "study": "a" * 64,
            "kind": "describe",
            "round": 3,
        }


def test_another_frame_or_number_of_parts_is_an_error() -> None:
    ours, theirs = Pipe()
    for frame, parts in FRAMES:
        with pytest.raises(ValueError, match="byte strings for"):
            send(ours, frame, [*parts, b""])
    assert not theirs.poll()
    send(ours, Ready())
    with pytest.raises(ValidationError):
        receive(theirs, Answered)


def test_what_the_worker_is_at_comes_before_its_answer() -> None:
    ours, theirs = Pipe()
    send(ours, Noted(note="Copy detection"))
    frame, parts = FRAMES[2]
    send(ours, frame, parts)
    assert receive_noted(theirs, Answered) == (Noted(note="Copy detection"), [])
    assert receive_noted(theirs, Answered) == (frame, parts)
    send(ours, Ready())
    with pytest.raises(ValidationError):
        receive_noted(theirs, Answered)


def test_a_message_that_cannot_be_read_is_told_and_not_the_one_before(member) -> None:
    hospital = Hospital(member)
    hospital.answer(Describe(study_sha256="b" * 64, round=1))
    before = hospital.told()
    assert before.unknown == "b" * 64 and before.task is not None and before.answer is not None
    assert [event["event"] for event in before.events] == ["refused"]
    hospital.unread("A message of wire version 2 came.")
    assert hospital.told() == Told(
        events=[{"event": "refused", "reason": "A message of wire version 2 came."}],
        said="A message of wire version 2 came.",
    )
