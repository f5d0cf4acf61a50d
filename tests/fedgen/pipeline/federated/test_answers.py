"""What the coordinator makes of the sites' assessments: of those that come, come late, are withheld or never come."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from fedgen.data.site_data import Part
from fedgen.errors import ExitCode
from fedgen.evidence.files import CALM
from fedgen.pipeline import gather, stages
from fedgen.pipeline.runner import run_again
from fedgen.pipeline.setting import Setting
from fedgen.pipeline.stages import ASSESS
from fedgen.protocol.messages import Answer, Assessment, Refusal
from fedgen.run.events import Assessed, NotAssessed, QuestionAsked
from fedgen.run_view import RunView

NAMES = ("east", "north")


def test_a_harmless_generator_passes_at_every_site(federation, harmless) -> None:
    """The negative control."""
    it = federation()
    it.go()
    audit = it.json("audit.json")
    # In so small a release an audit may be blind to copies, which its control then says: nothing else is found.
    said = [reason for reason in audit["reasons"] if "This audit is blind here" not in reason]
    assert said in ([], [CALM])
    assert audit["verdict"] == ("PASS" if said else "INSUFFICIENT")


@pytest.mark.parametrize("victim", NAMES)
def test_a_generator_that_returns_a_sites_training_images_fails_and_the_site_is_named(
    federation, release, victim
) -> None:
    """The positive control."""
    it = federation()
    train = it.data[victim].part(Part.TRAIN)
    release(torch.cat([train.images[train.labels == label][:4] for label in (0, 1)]))
    it.go()
    audit = it.json("audit.json")
    assert audit["verdict"] == it.json("run.json")["audit"]["verdict"] == "FAIL"
    assert {site["site"]: site["verdict"] == "FAIL" for site in audit["sites"]} == {
        name: name == victim for name in NAMES
    }
    first = audit["reasons"][0]
    assert first == f"Copy detection at {victim}: 8 synthetic images are pixel for pixel a training image."
    assert first in (it.run.path / "report.html").read_text()


def test_a_site_that_withholds_is_named_and_nothing_unknown_passes(federation, harmless) -> None:
    it = federation({"north": frozenset({"evaluation"})})
    it.go()
    audit = it.json("audit.json")
    assert audit["verdict"] == "INSUFFICIENT"
    assert audit["absent"] == [{"site": "north", "reason": "its policy withholds it"}]
    assert "north is in the model and sent no audit (its policy withholds it)." in audit["reasons"]
    assert [row["site"] for row in audit["sites"]] == ["east"]
    evaluation = it.json("evaluation.json")
    assert evaluation["absent"] == []
    (arm,) = (row for row in evaluation["rows"] if row["id"] == "TSTR")
    assert [row["site"] for row in arm["per_site"]] == list(NAMES)
    assert not (it.folders["north"] / "assessment" / "audit.json").exists()
    assert "north: its policy withholds it." in (it.run.path / "report.html").read_text()


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ("silent", "no answer within 7 s"),
        ("gone", "it was not connected"),
        ("refuses", "it refused: PolicyRefusedError"),
        ("renames itself", "it answered something else than its assessment"),
        ("answers for another", "it assessed another model or other images"),
        ("says what it likes", "it audited at another significance level than the study's"),
    ],
)
def test_a_site_without_an_answer_is_named_with_the_reason(
    federation, harmless, monkeypatch, how, reason
) -> None:
    it = federation()

    def spoil(answer: Answer) -> Answer:
        if getattr(answer, "audit", None) is None or answer.site != "north":
            return answer
        return {
            "refuses": Refusal(site="north", code=ExitCode.REFUSED, reason="PolicyRefusedError"),
            "renames itself": answer.model_copy(update={"site": "east"}),
            "answers for another": answer.model_copy(update={"question_sha256": "0" * 64}),
            "says what it likes": answer.model_copy(
                update={"audit": answer.audit.model_copy(update={"alpha": 1e-9})}
            ),
        }[how]

    if how == "silent":
        it.exchange.silent = {"north"}
    elif how == "gone":
        real = stages.assess

        def leave(here: Setting, *rest: Any) -> None:
            it.exchange.gone = {"north"}
            monkeypatch.setattr(gather, "RECONNECT_SECONDS", 0.0)
            real(here, *rest)

        monkeypatch.setattr(stages, "assess", leave)
    else:
        it.exchange.spoil = spoil
    it.go(deadline=7.0)
    for name in ("audit.json", "evaluation.json"):
        assert it.json(name)["absent"] == [{"site": "north", "reason": reason}]
    assert it.json("audit.json")["verdict"] == "INSUFFICIENT"
    assert [row["parts"] for row in it.json("run.json")["sites"]][1] == {
        "train": 12,
        "audit": None,
        "test": None,
    }
    page = (it.run.path / "report.html").read_text()
    assert "Not every site audited." in page and "Not every site evaluated." in page


def test_a_site_that_comes_back_is_asked_then(federation, harmless, monkeypatch) -> None:
    it = federation()
    slept: list[float] = []

    def come_back(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 3:
            it.exchange.gone = set()

    real = stages.assess

    def leave(here: Setting, *rest: Any) -> None:
        it.exchange.gone = {"north"}
        monkeypatch.setattr("fedgen.pipeline.gather.time.sleep", come_back)
        real(here, *rest)

    monkeypatch.setattr(stages, "assess", leave)
    it.go()
    assert len(slept) == 3
    assert it.exchange.questions() == ["east", "north"]
    assert it.json("audit.json")["absent"] == []


@pytest.mark.parametrize(
    ("code", "lost", "asked"),
    [
        (ExitCode.FEDERATION, 2, 3),
        (ExitCode.FEDERATION, 99, gather.TRIES),
        (ExitCode.REFUSED, 99, 1),
        (ExitCode.DATA, 99, 1),
    ],
)
def test_only_a_lost_connection_is_tried_again(federation, harmless, code, lost, asked) -> None:
    it = federation()
    answers: list[Answer] = []

    def spoil(answer: Answer) -> Answer:
        if not isinstance(answer, Assessment) or answer.site != "north":
            return answer
        answers.append(answer)
        return (
            Refusal(site="north", code=code, reason="the connection to it was lost")
            if len(answers) <= lost
            else answer
        )

    it.exchange.spoil = spoil
    it.go()
    assert it.exchange.questions() == ["east"] + ["north"] * asked
    assert all(answer == answers[0] for answer in answers)
    absent = (
        [] if lost < asked else [{"site": "north", "reason": "it refused: the connection to it was lost"}]
    )
    assert it.json("audit.json")["absent"] == absent
    assert len(it.run.read_events(NotAssessed)) == len(absent)


def test_who_has_answered_and_who_has_said_no_is_known_at_once(federation, harmless) -> None:
    """A page that follows the journal must not wait for the slowest to say what the others said."""
    it = federation()
    known: list[tuple[tuple[str, ...], list[str]]] = []

    def spoil(answer: Answer) -> Answer:
        if not isinstance(answer, Assessment):
            return answer
        if answer.site == "east":
            return Refusal(site="east", code=ExitCode.REFUSED, reason="PolicyRefusedError")
        (asked,) = it.run.read_events(QuestionAsked)
        known.append((asked.sites, [event.site for event in it.run.read_events(NotAssessed)]))
        return answer

    it.exchange.spoil = spoil
    it.go()
    assert known == [(NAMES, ["east"])]
    assert [event.site for event in it.run.read_events(NotAssessed)] == ["east"]
    assert [event.site for event in it.run.read_events(Assessed)] == ["north"]
    it.exchange.spoil = lambda answer: answer
    run_again(it.here, ASSESS)
    # What is here from before is said, and is an answer to this very question.
    assert it.run.read_events(QuestionAsked)[-1].kept == ("north",)
    assert RunView(it.run).answers["north"].question == it.run.read_events(QuestionAsked)[-1].question


def test_a_site_asked_again_completes_the_run(federation, harmless) -> None:
    it = federation()
    it.exchange.silent = {"north"}
    it.go()
    assert it.json("audit.json")["verdict"] == "INSUFFICIENT"
    again = federation()
    run_again(again.here, ASSESS)
    assert again.exchange.questions() == ["north"]
    assert again.json("audit.json")["verdict"] == "PASS"
    assert again.json("audit.json")["absent"] == []


def test_a_release_drawn_anew_is_not_assessed_a_second_time(federation, harmless, release) -> None:
    it = federation()
    it.go()
    for name in ("samples/synthetic.safetensors", "audit.json", "evaluation.json"):
        (it.run.path / name).unlink()
    release(torch.rand(8, 1, 16, 16, generator=torch.Generator().manual_seed(8)) * 2 - 1)
    again = federation()
    again.go()
    audit = again.json("audit.json")
    assert audit["verdict"] == "INSUFFICIENT"
    assert [row["reason"] for row in audit["absent"]] == [
        "it refused: PrivacyRefusedError; the site's log has the reason"
    ] * 2
