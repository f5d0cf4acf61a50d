"""The hospital's page: a decision is the command's own, of what was read, and what is shown is no markup."""

from __future__ import annotations

import json
import re
import shutil

import pytest

from fedgen.run.journal import Journal
from fedgen_client.approval import read_approval
from fedgen_client.folder import SiteFolder
from fedgen_client.studies import Studies
from fedgen_privacy.secagg import Identity
from tests.client.page_visit import Visit, words_of


def decision_of(folder: SiteFolder) -> tuple[dict, dict]:
    """The approval, and the last line of the log, without their times."""
    (own,) = folder.studies.iterdir()
    approval = json.loads((own / "approval.json").read_text())
    entry = dict(list(Journal(folder.log).entries())[-1])
    return {k: v for k, v in approval.items() if k != "time"}, {
        k: v for k, v in entry.items() if k not in ("time", "chain")
    }


@pytest.mark.parametrize("what", ["approve", "deny"])
def test_a_decision_at_the_page_is_the_commands(visit, command, tmp_path, what) -> None:
    copy = SiteFolder(tmp_path / "copy")
    shutil.copytree(visit.folder.path, copy.path)
    visit.enter()
    assert visit.decide(what, reason="because").status_code == 303
    options = ("--yes",) if what == "approve" else ("--reason", "because")
    assert command(what, "tiny", *options, folder=copy).exit_code == 0
    assert decision_of(visit.folder) == decision_of(copy)
    assert visit.study().decision.by == Studies(copy).all()[0].decision.by != ""


def test_the_words_are_those_of_the_command(visit, command) -> None:
    visit.enter()
    shown = words_of(visit.get(f"/study/{visit.study().study_sha256}").text)
    told = command("approve", "tiny", folder=visit.folder).output
    # The terminal wraps at hyphens too.
    shown, told = "".join(shown.split()), "".join(told.replace("`", "").split())
    assert told.startswith("studytiny,sha256") and len(told) > 1000
    assert told in shown
    assert visit.study().decision is None


def test_another_manifest_than_was_read_is_not_approved(visit, stub, others, secure_study) -> None:
    visit.enter()
    read = visit.study()
    west = Identity.generate("west").public_key
    Studies(visit.folder).keep(stub.offer(secure_study(), **others, west=west))
    assert visit.study().study_sha256 == read.study_sha256, "the same study, in other company"
    sent = visit.decide("approve", manifest=read.manifest_sha256)
    assert sent.status_code == 409
    assert "has changed since you read it" in words_of(sent.text)
    assert visit.decide("deny", manifest=read.manifest_sha256).status_code == 409
    assert visit.study().decision is None
    assert visit.post(f"/study/{'0' * 64}/approve", {"manifest": "0" * 64}).status_code == 404
    assert visit.post("/study/..%2f..%2fsite/deny", {"manifest": "0" * 64}).status_code == 404
    assert visit.decide("approve").status_code == 303


def test_what_the_policy_forbids_cannot_be_approved(visit, edit_site_file) -> None:
    visit.enter()
    edit_site_file(visit.folder, ("largest_study_epsilon: 10.0", "largest_study_epsilon: 2.0"))
    page = visit.get(f"/study/{visit.study().study_sha256}").text
    assert "Your policy forbids it" in page
    assert "/approve" not in page
    assert "forbidden by policy" in visit.get("/").text
    assert visit.decide("approve").status_code == 403
    assert visit.study().decision is None
    assert visit.events()[-1] == "refused", "as when the command is refused"


def test_an_approval_ends_by_the_page(visit) -> None:
    visit.enter()
    visit.decide("approve")
    page = visit.get(f"/study/{visit.study().study_sha256}").text
    assert "Withdraw the approval" in page
    assert "/approve" not in page
    visit.decide("deny", reason="a <b>reason</b>\r\nof two lines")
    decision = visit.study().decision
    assert (decision.decision, decision.reason) == ("denied", "a <b>reason</b>  of two lines")
    shown = visit.get("/").text
    assert "<b>reason" not in shown
    assert "&lt;b&gt;reason" in shown


def test_words_of_a_coordinator_are_no_markup(with_data, stub, others, secure_study) -> None:
    evil = "<script>alert(1)</script><img src=x onerror=alert(1)> {{ csrf }}"
    Studies(with_data).keep(stub.offer(secure_study(study={"description": evil}), **others))
    visit = Visit(with_data).enter()
    page = visit.get(f"/study/{visit.study().study_sha256}").text
    assert "&lt;script&gt;alert(1)" in page
    assert "<script>" not in page and "<img" not in page
    assert "{{ csrf }}" in page


def test_a_cohort_is_chosen_by_name(visit, edit_site_file) -> None:
    text = visit.folder.site_file.read_text()
    folder = re.search(r"folder: (.*)", text)[1]
    second = f"  second:\n    folder: {folder}\n    maximum_epsilon: 5.0\n    delta: 1.0e-3\n  main:\n"
    assert "  main:" in text
    visit.folder.site_file.write_text(re.sub(r"  main:.*\n", lambda _: second, text, count=1))
    visit.enter()
    assert visit.decide("approve", cohort="").status_code == 400
    assert visit.decide("approve", cohort="third").status_code == 400
    page = visit.get(f"/study/{visit.study().study_sha256}?cohort=main").text
    assert "<option selected>main</option>" in page
    assert visit.decide("approve", cohort="second").status_code == 303
    (own,) = visit.folder.studies.iterdir()
    assert read_approval(own).cohort == "second"


def test_a_coordinator_that_is_away_is_told_and_hides_nothing(visit, stub) -> None:
    stub.answers["/fedgen/v1/studies"] = (503, b"")
    visit.enter()
    assert visit.post("/ask").status_code == 303
    page = words_of(visit.get("/").text)
    assert "not as a fedgen coordinator does" in page
    assert "tiny" in page


def test_progress_is_the_coordinators_word(visit, stub) -> None:
    study = visit.study()
    status = {
        "name": "tiny",
        "study_sha256": study.study_sha256,
        "state": "running",
        "round": 1,
        "rounds": 3,
        "sites": 3,
    }
    stub.answers["/fedgen/v1/status"] = (
        200,
        json.dumps({"federation": "lungs", "sites": 3, "studies": [status]}).encode(),
    )
    visit.enter()
    visit.post("/ask")
    assert "running, 1 of 3 rounds done, says the coordinator" in words_of(visit.get("/").text)


def test_the_address_of_a_count_leads_back_to_the_study(visit) -> None:
    visit.enter()
    study = f"{visit.page.root}/study/{visit.study().study_sha256}"
    assert visit.browser.get(f"{study}/count").headers["location"] == study


def test_a_page_that_is_kept_fresh_knows_of_which_manifest_it_is(visit) -> None:
    """By it the script finds that a study changed under the eyes of whoever reads it."""
    visit.enter()
    page = visit.get(f"/study/{visit.study().study_sha256}").text
    live = re.search(r'<div id="live"[^>]*>', page)[0]
    assert f'data-manifest="{visit.study().manifest_sha256}"' in live
    for part in re.search(r'data-fresh="([^"]*)"', live)[1].split():
        assert page.count(f'id="{part}"') == (part != "files"), part


def test_who_has_approved_is_told_whether_the_site_runs(visit) -> None:
    visit.enter()
    visit.decide("approve")
    page = words_of(visit.get(f"/study/{visit.study().study_sha256}").text)
    assert "The site process is not running: fedgen-client start takes part" in page


def test_a_study_on_a_file_is_approved_once_the_file_lies_there(with_data, stub, others, on_prior) -> None:
    study, path = on_prior()
    Studies(with_data).keep(stub.offer(study, **others))
    visit = Visit(with_data).enter()
    address = f"/study/{visit.study().study_sha256}"
    page = visit.get(address).text
    assert "not here yet" in page and str(with_data.given) in page
    assert f"sha256 {study.model.prior.sha256}" in page
    assert "/approve" not in page
    refused = visit.decide("approve")
    assert refused.status_code == 400 and "does not send" in refused.text
    (with_data.given / "a <b>file").write_bytes(path.read_bytes()[:-1])
    page = visit.get(address).text
    assert "What lies there is another file" in page and "a &lt;b&gt;file" in page
    (with_data.given / "prior").write_bytes(path.read_bytes())
    page = visit.get(address).text
    assert "in <code>given/</code> as prior; the approval takes it" in page
    assert visit.decide("approve").status_code == 303
    assert "kept by this site" in visit.get(address).text
    assert visit.study().decision.decision == "approved"


def test_the_command_refuses_where_there_is_no_site(command, folder) -> None:
    assert command("page", folder=folder).exception is not None
