"""Of two approved studies that a budget cannot both pay, the second is refused before it begins."""

from __future__ import annotations

import json
from typing import Any

import pytest

from fedgen.errors import ExitCode
from fedgen.protocol.messages import Describe, Refusal, SiteDescription
from fedgen.study.show import study_hash
from fedgen_client.books import balance
from fedgen_client.folder import SiteFolder
from fedgen_client.hospital import Hospital
from fedgen_client.offers import Offers


@pytest.fixture(autouse=True)
def _quick(quick_plans: None) -> None:
    """Noise is calibrated once."""


@pytest.fixture
def two(with_data: SiteFolder, stub: Any, secure_study: Any, others: Any, command: Any) -> tuple[Any, Any]:
    """Two approved studies of epsilon 8 each, where the cohort has 10."""
    studies = (secure_study(study={"name": "one"}), secure_study(study={"name": "two"}))
    for study in studies:
        stub.offer(study, **others)
        assert command("approve", study.study.name, "--yes", folder=with_data).exit_code == 0
    return studies


def ask(folder: SiteFolder, study: Any) -> Any:
    return Hospital(folder).answer(Describe(study_sha256=study_hash(study), round=1))


def refused(answer: Any) -> bool:
    return (
        isinstance(answer, Refusal) and answer.code == ExitCode.REFUSED and "privacy budget" in answer.reason
    )


def status(stub: Any, study: Any, state: str) -> None:
    known = {
        "name": study.study.name,
        "study_sha256": study_hash(study),
        "state": state,
        "round": 0,
        "rounds": 3,
        "sites": 3,
    }
    reply = {"federation": "lungs", "sites": 3, "studies": [known]}
    stub.answers["/fedgen/v1/status"] = (200, json.dumps(reply).encode())


def test_the_second_does_not_begin_and_a_person_sees_why(
    two: Any, with_data: SiteFolder, command: Any
) -> None:
    one, other = two
    assert isinstance(ask(with_data, one), SiteDescription)
    assert refused(ask(with_data, other))
    # Started anew, as after kill -9, it is the same, and the first goes on.
    assert isinstance(ask(with_data, one), SiteDescription)
    assert refused(ask(with_data, other))
    assert not with_data.ledger("main").exists()
    shown = command("ledger", folder=with_data).output
    assert "epsilon 0 spent at delta 0.001 of 10, " in shown
    assert f"one  {study_hash(one)[:12]}  epsilon " in shown
    assert f"kept free until it is over, or you run `fedgen-client deny {study_hash(one)[:12]}`" in shown
    section = with_data.load_site_file().cohorts["main"]
    assert balance(with_data.ledger("main"), "main", section).left < 8


def test_denying_lets_the_other_begin(two: Any, with_data: SiteFolder, command: Any) -> None:
    one, other = two
    ask(with_data, one)
    assert command("deny", "one", folder=with_data).exit_code == 0
    assert isinstance(ask(with_data, other), SiteDescription)
    assert '"event": "released"' in with_data.log.read_text()


@pytest.mark.parametrize(("state", "released"), [("done", True), ("failed", True), ("running", False)])
def test_what_is_over_is_let_go(
    two: Any, with_data: SiteFolder, stub: Any, state: str, released: bool
) -> None:
    one, other = two
    said: list[str] = []
    offers = Offers(with_data, said.append)
    # Nothing is kept free, so nobody is asked.
    before = len(stub.requests)
    offers.settle()
    assert len(stub.requests) == before
    ask(with_data, one)
    status(stub, one, state)
    offers.settle()
    assert isinstance(ask(with_data, other), SiteDescription) == released
    assert bool(said) == released


def test_what_is_offered_no_more_is_let_go(two: Any, with_data: SiteFolder, stub: Any) -> None:
    one, other = two
    ask(with_data, one)
    status(stub, other, "offered")
    Offers(with_data, lambda _: None).settle()
    assert isinstance(ask(with_data, other), SiteDescription)
    # The first, resumed after all, is judged like any other.
    assert refused(ask(with_data, one))


def test_approved_for_another_cohort_the_first_one_s_is_free(
    two: Any, with_data: SiteFolder, command: Any, edit_site_file: Any
) -> None:
    one, other = two
    edit_site_file(with_data, ("\npolicy:", "  ct: {folder: /ct, maximum_epsilon: 10}\n\npolicy:"))
    ask(with_data, one)
    assert command("approve", "one", "--yes", "--cohort", "ct", folder=with_data).exit_code == 0
    assert isinstance(ask(with_data, other), SiteDescription)
