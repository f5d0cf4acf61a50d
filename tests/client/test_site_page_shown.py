"""What the hospital's page shows is what the files say: never less spent, never more left, each message in words."""

from __future__ import annotations

import math
import re
import threading
from pathlib import Path
from typing import get_args

import pytest

import fedgen.federation.site
import fedgen_client
from fedgen.protocol.messages import Answer, Task
from fedgen_client.books import balance
from fedgen_client.consent import approve
from fedgen_client.site_facts import cohort_facts, study_facts
from fedgen_client.site_page import passages
from fedgen_client.site_page.added_cost import addition
from fedgen_client.site_page.coordinator_watch import LOOKED_AT, UNSEEN, CoordinatorWatch, Heard
from fedgen_client.site_page.passages import passage, traffic
from fedgen_client.site_page.serve_site import read_ahead
from fedgen_client.site_page.site_reader import SiteReader
from fedgen_client.site_page.templating import down, up
from fedgen_client.studies import Studies
from fedgen_privacy.accounting import Spend
from fedgen_privacy.ledger import Budget, Charge, Ledger

SPEND = Spend(2.4, 0.3, 12)


@pytest.fixture
def reader(with_data, offered) -> SiteReader:
    """Of a site to which a study is offered."""
    Studies(with_data).keep(offered)
    return SiteReader(with_data, lambda: Heard(None, None, {}))


def charge(reader: SiteReader, study: str, round: int = 1, spend: Spend | None = SPEND) -> None:
    Ledger(reader.folder.ledger("main")).charge(Charge(study, round, "0" * 64, spend))


def test_a_gauge_is_the_ledgers_and_rounds_to_the_safe_side(reader) -> None:
    (offer,) = reader.site().offers
    sha256 = offer.facts.study
    Ledger(reader.folder.ledger("main")).reserve(sha256, [SPEND] * 3, Budget(10.0, 1e-3))
    charge(reader, sha256)
    charge(reader, "f" * 64)
    (shown,) = reader.site().cohorts
    true = balance(reader.folder.ledger("main"), "main", reader.folder.load_site_file().cohorts["main"])
    assert (shown.spent, shown.promised, shown.left) == (true.spent, true.promised, true.left)
    assert true.spent <= float(up(shown.spent)) <= true.spent + 0.001
    assert true.left - 0.001 <= float(down(shown.left)) <= true.left
    assert shown.spent < shown.promised
    own, other = shown.of(sha256), shown.of("f" * 64)
    assert own.name == "tiny" and other.name is None
    assert own.kept_free > own.epsilon >= true.studies[sha256]
    assert own.epsilon + other.epsilon > shown.spent, "studies compose"


def test_a_charge_is_seen_at_once_though_sums_are_kept(reader, monkeypatch) -> None:
    counted = []
    monkeypatch.setattr(
        "fedgen_client.books.balance", lambda *given: counted.append(given) or balance(*given)
    )
    before = reader.site().cohorts[0].spent
    reader.site()
    assert len(counted) == 1, "the same bytes are added up once"
    charge(reader, "f" * 64)
    assert reader.site().cohorts[0].spent > before


def test_a_ledger_that_was_changed_is_told_and_hides_nothing_else(reader) -> None:
    charge(reader, "f" * 64)
    path = reader.folder.ledger("main")
    path.write_text(path.read_text().replace("2.4", "9.4"))
    shown = reader.site()
    assert "holds" in shown.cohorts[0].damaged or "damaged" in shown.cohorts[0].damaged
    assert shown.cohorts[0].left is None
    assert [offer.facts.name for offer in shown.offers] == ["tiny"]
    assert shown.log.lines > 0


def test_work_without_privacy_has_no_bound(reader, edit_site_file) -> None:
    edit_site_file(reader.folder, ("maximum_epsilon: 10.0", "maximum_epsilon: null"))
    charge(reader, "f" * 64, spend=None)
    (shown,) = reader.site().cohorts
    assert (shown.spent, shown.left, shown.limit) == (None, None, None)
    assert math.isinf(
        balance(reader.folder.ledger("main"), "main", reader.folder.load_site_file().cohorts["main"]).spent
    )


def test_what_a_study_would_add(reader) -> None:
    (offered,) = Studies(reader.folder).all()
    site_file = reader.folder.load_site_file()
    section, facts = site_file.cohorts["main"], study_facts(site_file, offered)

    def add(**changes):
        return addition(cohort_facts(reader.folder, "main", section.model_copy(update=changes), {})[0], facts)

    found = add()
    assert (found.epsilon, found.left, found.stage) == (8.0, 2.0, "offered")
    charge(reader, offered.study_sha256)
    (main,) = reader.site().cohorts
    assert add().epsilon == pytest.approx(8.0 - main.spent), "what it has charged is not added again"
    assert add(maximum_epsilon=7.0).left < 0
    assert add(delta=1e-6).epsilon is None, "another delta, another number"
    Ledger(reader.folder.ledger("main")).reserve(offered.study_sha256, [SPEND] * 3, Budget(10.0, 1e-3))
    assert (add().stage, add().epsilon) == ("admitted", 0.0)
    for round in range(2, offered.study.total_rounds + 1):
        charge(reader, offered.study_sha256, round)
    assert (add().stage, add().epsilon) == ("done", 0.0)


def test_lines_that_say_the_same_are_drawn_together(reader) -> None:
    journal, study = reader.folder.journal, "a" * 64
    for _ in range(20):
        journal.write("refused", study=study, reason="Nobody has approved it.")
        journal.write("received", study=study, kind="describe", bytes=9)
        journal.write("sent", study=study, kind="refusal", reason="Nobody has approved it.", bytes=9)
    shown = reader.site().log.latest
    assert [(each.direction, each.times) for each in shown[:3]] == [("out", 20), ("in", 20), ("here", 20)]
    assert shown[0].since <= shown[0].time
    assert any(each.words == "Joined the federation" for each in shown)
    assert all(each.times == 1 for each in reader.log().latest), "the whole log has every line"


def test_progress_is_the_ledgers_where_the_coordinator_has_not_been_asked_since(reader) -> None:
    (offer,) = reader.site().offers
    assert offer.progress == ""
    charge(reader, offer.facts.study)
    assert reader.site().offers[0].progress == f"1 of {offer.facts.rounds} rounds charged here"
    assert reader.study(offer.facts.study).offer == reader.site().offers[0]


def test_a_study_of_a_cohort_that_is_gone_can_still_be_read(reader, edit_site_file) -> None:
    (offered,) = Studies(reader.folder).all()
    approve(reader.folder, reader.folder.load_site_file(), offered, "main")
    edit_site_file(reader.folder, ("  main:", "  chest:"))
    shown = reader.study(offered.study_sha256)
    assert (shown.cohort, shown.offer.facts.state) == ("chest", "forbidden")


def test_the_first_page_passes_over_the_steps_of_secure_aggregation_and_says_so(reader) -> None:
    journal = reader.folder.journal
    journal.write("sent", kind="masked_update", round=1, bytes=9)
    for _ in range(30):
        journal.write("received", kind="secure_step", round=1, bytes=3)
    journal.write("unmasked", round=1)
    shown = reader.site().log
    assert shown.latest[0].words == "This site's change of the model, masked, round 1"
    assert shown.passed_over == 31
    assert len(reader.log().latest) == shown.lines
    assert shown.traffic == reader.log().traffic, "they are counted all the same"


def test_every_message_has_words() -> None:
    kinds = [
        {model.model_fields["kind"].default for model in get_args(get_args(union)[0])}
        for union in (Task, Answer)
    ]
    assert kinds[0] <= {*passages._IN}
    assert kinds[1] <= {*passages._OUT}


def test_every_event_of_the_log_has_words() -> None:
    """Whatever a module of the site or of the workshop's site writes into the log by a name."""
    written = r'(?:journal\.write|log\.write|_log|_note|_journal)\(\s*"(\w+)"|"event": "(\w+)"'
    sources = [
        path.read_text("utf-8")
        for package in (fedgen_client, fedgen.federation.site)
        for path in Path(package.__path__[0]).rglob("*.py")
    ]
    found = {name for text in sources for pair in re.findall(written, text) for name in pair if name}
    assert {"update", "undelivered", "connected", "joined", "withdrawn"} <= found
    assert found - {*passages._HERE, *passages._DIRECTIONS} == set()


def test_what_passed_is_summed_by_study_and_direction() -> None:
    time = "2026-01-02T03:04:05.678+00:00"
    entries = [
        {"time": time, "event": "sent", "kind": "join", "bytes": 10, "to": "here:1"},
        {"time": time, "event": "received", "kind": "manifest", "study": "a" * 64, "name": "trial", "bytes": 100},
        {"time": time, "event": "approved", "study": "a" * 64, "by": "anna@north", "epsilon": 8.0},
        {"time": time, "event": "received", "kind": "train_masked", "study": "a" * 64, "round": 2, "bytes": 1000},
        {"time": time, "event": "sent", "kind": "masked_update", "study": "a" * 64, "round": 2, "bytes": 900},
        {"time": time, "event": "sent", "kind": "refusal", "study": "a" * 64, "bytes": 7,
         "decision": "refused", "reason": "\x1b[2Jno"},
    ]  # fmt: skip
    shown = [passage(entry, number, {"a" * 64: "trial"}) for number, entry in enumerate(entries, 1)]
    assert [each.direction for each in shown] == ["out", "in", "here", "in", "out", "out"]
    assert shown[4].words == "This site's change of the model, masked, round 2"
    assert shown[2].note == "by anna@north; epsilon at most 8"
    assert shown[5].refused and shown[5].note.isprintable()
    trial, beside = traffic(shown)
    assert (trial.study, trial.entered, trial.bytes_in, trial.left, trial.bytes_out) == (
        "trial",
        2,
        1100,
        2,
        907,
    )
    assert (beside.study, beside.left, beside.bytes_out) == ("", 1, 10)


def test_the_log_is_shown_in_pages_and_its_chain_is_checked(reader) -> None:
    for number in range(5):
        reader.folder.journal.write("sent", kind="assessment", bytes=number)
    shown = reader.log(most=3)
    assert shown.broken is None
    assert [each.number for each in shown.latest] == [shown.lines, shown.lines - 1, shown.lines - 2]
    assert [each.number for each in reader.log(most=3, before=3).latest] == [2, 1]
    reader.folder.log.write_text("".join(reader.folder.log.read_text().splitlines(keepends=True)[:-1]))
    assert "lines where" in reader.log().broken


def test_a_study_that_waits_is_read_before_somebody_does_and_once(reader, monkeypatch) -> None:
    read, rests = [], []
    monkeypatch.setattr(reader, "study", lambda sha256: read.append(sha256))

    class AfterThree(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            rests.append(timeout)
            return len(rests) > 3

    read_ahead(reader, AfterThree())
    assert read == [reader.site().offers[0].facts.study]
    reader.folder.site_file.write_text("no: site file\n")
    rests.clear()
    read_ahead(reader, AfterThree())


def test_the_coordinator_is_asked_more_often_while_somebody_looks() -> None:
    now = [0.0]
    watch = CoordinatorWatch(lambda: Heard(None, None, {}), lambda: now[0])
    assert watch.due(), "at first"
    watch.now()
    now[0] += UNSEEN - 1
    assert not watch.due()
    watch.look()
    assert watch.due()
    watch.now()
    now[0] += LOOKED_AT - 1
    assert not watch.due()
    now[0] += 1
    assert watch.due()
