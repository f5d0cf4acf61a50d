"""What sites sign of their part: checked where it arrives, kept, and carried into the release."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import torch

from fedgen.federation.terms.provision import identity
from fedgen.pipeline.runner import run_again
from fedgen.pipeline.sign_release import sign_release
from fedgen.pipeline.stages import ASSESS
from fedgen.protocol.messages import Answer, Assessment
from fedgen.protocol.receipt import Withdrawn, open_receipt, sign_receipt
from fedgen.release.archive import open_files
from fedgen.release.checked import Outcome
from fedgen.release.verify import verify
from fedgen.run_view import RunView
from fedgen_privacy.ledger import Ledger
from fedgen_privacy.secagg import Identity

COORDINATOR = Identity.generate("coordinator")


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> None:
    """So few patients are INSUFFICIENT whatever is released: the gate is tested elsewhere, and open here."""
    monkeypatch.setattr("fedgen.pipeline.sign_release.require_open", lambda decision, accepted: None)


WITHOUT = frozenset({"audit", "evaluation"})


def test_every_site_signs_what_it_did(federation: Any, harmless: None) -> None:
    it = federation(privacy={"mode": "local"})
    it.go()
    view = RunView(it.run)
    assert set(view.receipts) == {"east", "north"}
    for site, kept in view.receipts.items():
        receipt = open_receipt(kept.signed, it.keys[site])
        assert receipt.rounds == ((1, 2),) and receipt.withdrawn == ()
        rows = view.privacy.sites if view.privacy else ()
        assert receipt.epsilon == next(row.epsilon for row in rows if row.site == site)
        assert receipt.delta == it.study.privacy.delta
        assert receipt.question_sha256 == view.answers[site].question
        assert not any(word in kept.signed.text for word in ("time", "2026", "patient"))


def forged(answer: Assessment) -> Assessment:
    assert answer.receipt is not None
    receipt = open_receipt(answer.receipt, OWN[answer.site].public_key)
    return answer.model_copy(update={"receipt": sign_receipt(receipt, Identity.generate(answer.site))})


def other_rounds(answer: Assessment) -> Assessment:
    return signed_again(answer, rounds=((2, 2),))


def other_study(answer: Assessment) -> Assessment:
    return signed_again(answer, study_sha256="0" * 64)


def other_numbers(answer: Assessment) -> Assessment:
    assert answer.audit is not None
    return answer.model_copy(update={"audit": answer.audit.model_copy(update={"seed": 99})})


def withheld_later(answer: Assessment) -> Assessment:
    return answer.model_copy(update={"evaluation": None})


def signed_again(answer: Assessment, **changes: Any) -> Assessment:
    assert answer.receipt is not None
    own = OWN[answer.site]
    receipt = open_receipt(answer.receipt, own.public_key).model_copy(update=changes)
    return answer.model_copy(update={"receipt": sign_receipt(receipt, own)})


OWN: dict[str, Identity] = {}


SOMETHING_ELSE = "its receipt is of something else than what it was asked and sent"
SPOILT = [
    (forged, "its receipt is not signed with its own key"),
    (other_rounds, "its receipt lacks a round whose sum it is in"),
    (other_study, SOMETHING_ELSE),
    (other_numbers, SOMETHING_ELSE),
    (withheld_later, SOMETHING_ELSE),
]


def test_an_answer_whose_receipt_does_not_hold_counts_for_nothing(federation: Any, harmless: None) -> None:
    it = federation()
    it.go()
    OWN.update({site: identity(folder, site) for site, folder in it.folders.items()})
    before = {site: kept.signed for site, kept in RunView(it.run).receipts.items()}
    for site, signed in before.items():
        # Rounds without privacy are entered and signed too.
        receipt = open_receipt(signed, it.keys[site])
        assert (receipt.rounds, receipt.epsilon, receipt.delta) == (((1, 2),), None, None)
        assert [row.spend for row in Ledger(it.folders[site] / "ledger.jsonl")] == [None, None]

    asked = len(it.exchange.questions())
    run_again(it.here, ASSESS)
    assert len(it.exchange.questions()) == asked
    assert {site: kept.signed for site, kept in RunView(it.run).receipts.items()} == before

    for spoil, reason in SPOILT:
        asked_anew(it)
        it.exchange.spoil = partial(spoilt, spoil)
        run_again(it.here, ASSESS)
        assert it.json("audit.json")["absent"] == [{"site": "north", "reason": reason}]
        assert set(RunView(it.run).receipts) == {"east"}
    it.exchange.spoil = lambda answer: answer
    asked_anew(it)
    run_again(replace(it.here, roster={"east": it.keys["east"]}), ASSESS)
    (absent,) = it.json("audit.json")["absent"]
    assert absent == {"site": "north", "reason": "it signed a receipt, and its key is not known here"}
    run_again(it.here, ASSESS)
    assert {site: kept.signed for site, kept in RunView(it.run).receipts.items()} == before


def asked_anew(it: Any) -> None:
    for folder in ("assessments", "receipts"):
        (it.run.path / folder / "north.json").unlink(missing_ok=True)


def spoilt(spoil: Any, answer: Answer) -> Answer:
    return spoil(answer) if isinstance(answer, Assessment) and answer.site == "north" else answer


def test_a_policy_that_forbids_one_has_none_and_the_release_says_so(
    federation: Any, harmless: None, opened: None
) -> None:
    it = federation({"north": WITHOUT}, release={"largest_epsilon": None})
    it.go()
    assert it.json("audit.json")["absent"] == []
    made = sign_release(it.here.work, COORDINATOR, "the coordinator of test", it.keys)
    (east, north) = made.manifest.lineage.sites
    assert (east.receipt, east.withdrawn) == (True, ())
    assert (north.receipt, north.withdrawn) == (False, None)
    said = verify(open_files(made.archive), COORDINATOR.public_key, it.keys)
    assert {line.about for line in said.wrong} <= {"gate"}, said.wrong
    found = {line.about: line.outcome for line in said.lines}
    assert found["receipt of east"] is Outcome.OK and found["receipt of north"] is Outcome.OPEN
    # Nothing is measured over all patients in one place here, so the verdict follows from what the sites sent.
    assert found["audit from the sites"] is Outcome.OK
    assert made.manifest.lineage.keys == "of the federation's roster"
    assert "its part is the coordinator's word alone" in "".join(line.sentence for line in said.lines)


def test_withdrawals_are_told_by_count_and_round(federation: Any, harmless: None, opened: None) -> None:
    """Two rounds are trained; before the second somebody is gone, and so it is signed, carried and verified."""
    it = federation(training={"rounds": 2}, release={"largest_epsilon": None})
    site = it.exchange._exchange.by_name["north"]
    real = site._rounds.result
    left = replace(it.data["north"].only(it.data["north"].patients != 0), enrolled=12)

    def after_the_first(task: Any) -> Any:
        if task.round == 2:
            from fedgen.federation.site.site import Site

            # As a hospital does whose list has changed: the study is made ready anew.
            again = Site(site._recipe, left, it.folders["north"])
            assert again.plan == site.plan
            return again._rounds.result(task)
        return real(task)

    site._rounds.result = after_the_first
    it.go()
    receipt = open_receipt(RunView(it.run).receipts["north"].signed, it.keys["north"])
    assert receipt.withdrawn == (Withdrawn(after_round=1, patients=1),)
    made = sign_release(it.here.work, COORDINATOR, "the coordinator of test", it.keys)
    assert made.manifest.lineage.sites[1].withdrawn == receipt.withdrawn
    assert "1 withdrew after round 1" in (made.folder / "datasheet.md").read_text()
    assert {line.about for line in verify(open_files(made.archive)).wrong} <= {"gate"}
    assert torch.isfinite(it.here.work.trained().ema).all()
