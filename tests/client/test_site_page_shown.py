"""What the hospital's page shows is what the files say: never less spent, never more left, each message in words."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import get_args

import pytest

import fedgen.federation.site
import fedgen_client
from fedgen.protocol.messages import Answer, Task
from fedgen_client.books import balance
from fedgen_client.site_page import passages
from fedgen_client.site_page.coordinator_watch import Heard
from fedgen_client.site_page.gauges import addition, gauge
from fedgen_client.site_page.passages import passage, traffic
from fedgen_client.site_page.site_reader import SiteReader
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
    Ledger(reader.folder.ledger("main")).reserve(offer.study, [SPEND] * 3, Budget(10.0, 1e-3))
    charge(reader, offer.study)
    charge(reader, "f" * 64)
    (shown,) = reader.site().gauges
    true = balance(reader.folder.ledger("main"), "main", reader.folder.load_site_file().cohorts["main"])
    assert true.spent <= shown.spent <= true.spent + 0.001
    assert true.promised <= shown.promised <= true.promised + 0.001
    assert true.left - 0.001 <= shown.left <= true.left
    assert shown.spent < shown.promised
    shares = {share.study: share for share in shown.shares}
    assert shares[offer.study].name == "tiny" and shares["f" * 64].name is None
    assert shares[offer.study].kept_free > shares[offer.study].epsilon >= true.studies[offer.study]
    assert sum(share.epsilon for share in shown.shares) > shown.spent, "studies compose"


def test_a_charge_is_seen_at_once_though_sums_are_kept(reader, monkeypatch) -> None:
    counted = []
    monkeypatch.setattr(
        "fedgen_client.site_page.gauges.balance", lambda *given: counted.append(given) or balance(*given)
    )
    before = reader.site().gauges[0].spent
    reader.site()
    assert len(counted) == 1, "the same bytes are added up once"
    charge(reader, "f" * 64)
    assert reader.site().gauges[0].spent > before


def test_a_ledger_that_was_changed_is_told_and_hides_nothing_else(reader) -> None:
    charge(reader, "f" * 64)
    path = reader.folder.ledger("main")
    path.write_text(path.read_text().replace("2.4", "9.4"))
    shown = reader.site()
    assert "holds" in shown.gauges[0].damaged or "damaged" in shown.gauges[0].damaged
    assert shown.gauges[0].left is None
    assert [offer.name for offer in shown.offers] == ["tiny"]
    assert shown.log.lines > 0


def test_work_without_privacy_has_no_bound(reader, edit_site_file) -> None:
    edit_site_file(reader.folder, ("maximum_epsilon: 10.0", "maximum_epsilon: null"))
    charge(reader, "f" * 64, spend=None)
    (shown,) = reader.site().gauges
    assert (shown.spent, shown.left, shown.limit) == (None, None, None)
    assert math.isinf(
        balance(reader.folder.ledger("main"), "main", reader.folder.load_site_file().cohorts["main"]).spent
    )


def test_what_a_study_would_add(reader) -> None:
    (offered,) = Studies(reader.folder).all()
    section = reader.folder.load_site_file().cohorts["main"]

    def add(study=offered.study, section=section):
        shown = gauge(reader.folder, "main", section, {})
        return addition(shown, study, offered.study_sha256)

    found = add()
    assert (found.epsilon, found.left, found.already) == (8.0, 2.0, False)
    charge(reader, offered.study_sha256)
    done = gauge(reader.folder, "main", section, {}).shares[0].epsilon
    assert add().epsilon == pytest.approx(8.0 - done), "what it has charged is not added again"
    assert add(section=section.model_copy(update={"maximum_epsilon": 7.0})).left < 0
    assert add(section=section.model_copy(update={"delta": 1e-6})).epsilon is None, (
        "another delta, another number"
    )
    Ledger(reader.folder.ledger("main")).reserve(offered.study_sha256, [SPEND] * 3, Budget(10.0, 1e-3))
    assert add().already


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
