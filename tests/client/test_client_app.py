"""A hospital's ClientApp answers a real Flower message as its site answers a task; no network."""

from __future__ import annotations

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Message, RecordDict

from fedgen.errors import DataError, ExitCode, FederationError
from fedgen.federation.exchange.flower import answer_of
from fedgen.federation.site.site import Site
from fedgen.protocol.messages import Describe, Refusal, TrainRound
from fedgen.protocol.wire import decode_answer, encode_answer, encode_task
from fedgen.recipe import Recipe
from fedgen.study.show import study_hash
from fedgen.training.vector import vector_sha256
from fedgen_client.app import app_of

SECRET = "/data/Meier^Anna/1931-02-03.dcm"


@pytest.fixture(autouse=True)
def _every_test(quick_plans: None, flower_run: None) -> None:
    """Sites are planned once; messages are of a run."""


@pytest.fixture
def site(tiny_study, tiny_site, tmp_path) -> Site:
    return Site(Recipe.of(tiny_study()), tiny_site("north", 9), tmp_path / "north")


def pack(text: str, vector=None) -> RecordDict:
    arrays = {} if vector is None else {"vector": Array(np.ascontiguousarray(vector))}
    return RecordDict({"message": ConfigRecord({"json": text}), "arrays": ArrayRecord(arrays)})


def send(app, content: RecordDict) -> tuple[str, np.ndarray | None]:
    """Text and vector of the reply, as they would travel."""
    message = Message(content, dst_node_id=7, message_type="query.fedgen")
    context = Context(1, 7, {"partition-id": 0}, RecordDict(), {})
    reply = app(message, context)
    assert not reply.has_error()
    arrays = reply.content.array_records.get("arrays", {})
    vector = arrays["vector"].numpy() if "vector" in arrays else None
    return reply.content.config_records["message"]["json"], vector


def ask(study) -> TrainRound:
    model = Recipe.of(study).initial_checkpoint().model
    return TrainRound(study_sha256=study_hash(study), round=1, model_sha256=vector_sha256(model), model=model)


def test_it_describes_itself_as_the_site_does(tiny_study, site) -> None:
    task = Describe(study_sha256=study_hash(tiny_study()), round=1)
    assert send(app_of(site), pack(*encode_task(task))) == encode_answer(site.answer(task))


def test_it_trains_as_the_site_does(tiny_study, site) -> None:
    task = ask(tiny_study())
    text, vector = send(app_of(site), pack(*encode_task(task)))
    # The site gives the same bytes for the same round, so the two can be compared.
    expected_text, expected_vector = encode_answer(site.answer(task))
    assert text == expected_text
    assert vector.dtype == np.float32
    assert vector.tobytes() == expected_vector.tobytes()


def test_a_refusal_of_the_site_passes(site) -> None:
    answer = decode_answer(*send(app_of(site), pack(*encode_task(Describe(study_sha256="0" * 64, round=1)))))
    assert isinstance(answer, Refusal)
    assert (answer.site, answer.code) == ("north", ExitCode.REFUSED)


def test_the_node_id_decides_nothing(tiny_study, site) -> None:
    """The site is bound to the process, so nobody else's partition is answered for."""
    message = Message(
        pack(*encode_task(Describe(study_sha256=study_hash(tiny_study()), round=1))),
        dst_node_id=99,
        message_type="query.fedgen",
    )
    reply = app_of(site)(message, Context(5, 99, {"partition-id": 3}, RecordDict(), {}))
    text = reply.content.config_records["message"]["json"]
    assert decode_answer(text, None).site == "north"


@pytest.mark.parametrize("kind", [RuntimeError, ValueError, KeyError, DataError, FederationError])
def test_no_text_of_an_exception_leaves(tiny_study, site, monkeypatch, kind) -> None:
    """Flower itself would send it to the coordinator as the reason."""

    def fail(*_):
        raise kind(f"cannot read {SECRET}")

    monkeypatch.setattr("fedgen.mechanisms.averaging.LocalTrainer.run", fail)
    text, vector = send(app_of(site), pack(*encode_task(ask(tiny_study()))))
    answer = decode_answer(text, vector)
    assert isinstance(answer, Refusal)
    assert not any(word in text for word in ("Meier", "1931", "/data", "cannot read"))
    assert kind.__name__ in answer.reason


def test_an_answer_that_cannot_travel_is_a_refusal(tiny_study, site, monkeypatch) -> None:
    """A loss that is not finite fails in encoding, whose own error would quote it."""
    answer = site.answer(ask(tiny_study()))
    broken = answer.model_copy(update={"losses": {SECRET: (float("nan"), 0.0)}})
    monkeypatch.setattr(Site, "answer", lambda self, task: broken)
    text, _ = send(app_of(site), pack(*encode_task(ask(tiny_study()))))
    assert isinstance(decode_answer(text, None), Refusal)
    assert "Meier" not in text


@pytest.mark.parametrize(
    "content",
    [
        RecordDict(),
        RecordDict({"message": ConfigRecord({"json": "{}"})}),
        RecordDict({"message": ConfigRecord({"json": 7}), "arrays": ArrayRecord({})}),
        RecordDict({"message": ConfigRecord({}), "arrays": ArrayRecord({})}),
        RecordDict({"message": ArrayRecord({}), "arrays": ArrayRecord({})}),
        pack("{"),
        pack("[" * 100_000),
        pack('{"wire": 1, "message": {"kind": "train_round"}}'),
        pack('{"kind": "train", "study_sha256": "' + "a" * 64 + '", "round": 1, "model_sha256": "' + "a" * 64 + '"}'),
    ],
)  # fmt: skip
def test_a_message_of_another_form_is_a_refusal(site, content) -> None:
    told = []
    answer = decode_answer(*send(app_of(site, told.append), content))
    assert isinstance(answer, Refusal)
    assert answer.code == ExitCode.FEDERATION
    assert [answer.reason] == told and told[0].startswith("A message ")


def test_both_sides_say_that_their_versions_differ(tiny_study, site) -> None:
    text, vector = encode_task(ask(tiny_study()))
    told = []
    answer = decode_answer(
        *send(app_of(site, told.append), pack(text.replace('"wire":3', '"wire":4'), vector))
    )
    assert isinstance(answer, Refusal)
    assert told == [answer.reason]
    assert answer.reason == (
        "A message of wire version 4 came, and this side reads version 3 alone: both sides must run the same version "
        "of fedgen."
    )
    reply = Message(
        pack('{"wire":4,"message":{"kind":"of tomorrow"}}', None), dst_node_id=5, message_type="query.fedgen"
    )
    assert answer_of(reply).reason == answer.reason


def test_another_action_is_not_answered(site) -> None:
    message = Message(pack("{}"), dst_node_id=7, message_type="query.other")
    with pytest.raises(ValueError, match="other"):
        app_of(site)(message, Context(1, 7, {}, RecordDict(), {}))
