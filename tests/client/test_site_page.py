"""The hospital's page: strangers see nothing, who looks changes nothing, and a decision is the command's own."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
import shutil
from datetime import UTC, datetime, timedelta

import pytest
from starlette.routing import Route
from starlette.testclient import TestClient

from fedgen.dashboard.access import OneProcess
from fedgen.dashboard.door import Door
from fedgen.dashboard.failures import MOST, SECONDS, Failures
from fedgen.run.journal import Journal
from fedgen.web.this_machine import ThisMachine
from fedgen_client.approval import read_approval
from fedgen_client.folder import SiteFolder
from fedgen_client.site_page.coordinator_watch import CoordinatorWatch, ask
from fedgen_client.site_page.page_routes import SitePage
from fedgen_client.site_page.site_door import COOKIE, SESSION, site_doorway
from fedgen_client.site_page.site_reader import SiteReader
from fedgen_client.studies import Studies
from fedgen_privacy.secagg import Identity

PORT = 8471
HERE = f"http://127.0.0.1:{PORT}"


class Clock:
    """Seconds that a test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Visit:
    """A browser at the page of one site's folder."""

    def __init__(self, folder: SiteFolder, read_only: bool = False) -> None:
        self.folder, self.clock = folder, Clock()
        self.keys = OneProcess()
        roles = ("looks",) if read_only else ("decides", "looks")
        self.tokens = {role: self.keys.issue("read" if role == "looks" else "operate") for role in roles}
        moment = datetime.now(UTC)
        self.door = Door(
            self.keys,
            site_doorway(),
            failures=Failures(self.clock),
            now=lambda: moment + timedelta(seconds=self.clock.now),
        )
        self.watch = CoordinatorWatch(lambda: ask(folder))
        self.page = SitePage(SiteReader(folder, self.watch.look), self.watch, self.door)
        self.starlette = self.page.app()
        self.browser = self.another()

    def another(self) -> TestClient:
        return TestClient(
            ThisMachine(self.starlette, PORT),
            base_url=HERE,
            follow_redirects=False,
            raise_server_exceptions=False,
        )

    def enter(self, role: str = "decides", browser: TestClient | None = None) -> Visit:
        reply = self.show(self.tokens[role], browser)
        assert reply.status_code == 303, reply.text
        return self

    def show(self, token: str, browser: TestClient | None = None, **headers: str):
        return (browser or self.browser).post(
            f"{self.page.root}/enter", data={"token": token}, headers={"Origin": HERE, **headers}
        )

    def get(self, path: str = "/", **headers: str):
        return self.browser.get(self.page.root + path, headers=headers)

    @property
    def csrf(self) -> str:
        return re.search(r'name="csrf" value="([0-9a-f]+)"', self.get("/").text)[1]

    def post(self, path: str, fields: dict[str, str] | None = None, **headers: str):
        data = {"csrf": self.csrf, **(fields or {})}
        return self.browser.post(self.page.root + path, data=data, headers={"Origin": HERE, **headers})

    def study(self):
        (found,) = Studies(self.folder).all()
        return found

    def decide(self, what: str, **fields: str):
        study = self.study()
        given = {"manifest": study.manifest_sha256, "cohort": "main", **fields}
        return self.post(f"/study/{study.study_sha256}/{what}", given)

    def events(self) -> list[str]:
        return [entry["event"] for entry in Journal(self.folder.log).entries()]


def words_of(page: str) -> str:
    """A page's text in one line."""
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", page)).split())


@pytest.fixture
def visit(with_data, offered) -> Visit:
    """The page of a site to which a study is offered; nobody has entered."""
    assert Studies(with_data).keep(offered)
    return Visit(with_data)


def paths(visit: Visit, method: str) -> list[str]:
    sha256 = visit.study().study_sha256
    return [
        route.path.format(sha256=sha256, name="page.css")
        for route in visit.starlette.routes
        if isinstance(route, Route) and method in route.methods
    ]


def test_a_stranger_sees_nothing(visit) -> None:
    root = visit.page.root
    open_to_all = {f"{root}/enter"}
    asked = paths(visit, "GET")
    assert open_to_all < set(asked)
    for path in asked:
        expected = 200 if path in open_to_all else 404
        assert visit.browser.get(path).status_code == expected, path
        assert visit.browser.get(path, cookies={COOKIE: "x" * 32}).status_code == expected, path
    for path in ("/", "/enter", "/look.css", root, f"{root}/nothing", f"{root}/own/enter.html", f"{root}x/enter",
                 f"{root}/own/..%2froutes.py", f"{root}/own/../../../approval.py"):  # fmt: skip
        assert visit.browser.get(path).status_code in (404, 307), path
    for path in paths(visit, "POST"):
        if not path.endswith("/enter"):
            sent = visit.browser.post(path, data={"csrf": "0" * 64}, headers={"Origin": HERE})
            assert sent.status_code == 404, path
    assert visit.study().decision is None


def test_another_name_of_this_machine_is_refused(visit) -> None:
    visit.enter()
    for host in ("example.org", f"example.org:{PORT}", "127.0.0.1", f"127.0.0.1:{PORT + 1}", f"127.0.0.2:{PORT}",
                 f"127.0.0.1:{PORT}.example.org", "", f"[::1]:{PORT}"):  # fmt: skip
        assert visit.get("/", Host=host).status_code == 403, host
        assert visit.show("x", Host=host).status_code == 403, host
    assert visit.get("/").status_code == 200
    twice = visit.browser.get(
        f"{visit.page.root}/", headers=[("Host", f"127.0.0.1:{PORT}"), ("Host", "example.org")]
    )
    assert twice.status_code == 403


def test_a_token_becomes_a_cookie_that_no_script_and_no_other_site_has(visit) -> None:
    reply = visit.show(visit.tokens["decides"])
    cookie = reply.headers["set-cookie"].lower()
    assert "httponly" in cookie and "samesite=strict" in cookie
    assert f"path={visit.page.root}" in cookie and "domain" not in cookie
    assert len(visit.page.root) >= 16, "a name that another program of this machine does not guess"
    assert reply.headers["location"] == f"{visit.page.root}/"
    value = visit.browser.cookies[COOKIE]
    for path in ("/", "/enter", "/log", "/state.json", f"/study/{visit.study().study_sha256}"):
        shown = visit.get(path).text
        assert value not in shown, path
        assert not any(token in shown for token in visit.tokens.values()), path
    assert visit.browser.get(f"{visit.page.root}/enter?token={visit.tokens['decides']}").cookies == {}


def test_wrong_tokens_are_limited(visit) -> None:
    for _ in range(MOST):
        assert visit.show("wrong").status_code == 403
    late = visit.show(visit.tokens["decides"])
    assert late.status_code == 429
    assert late.headers["retry-after"] == f"{SECONDS:.0f}"
    assert visit.get("/").status_code == 404
    visit.clock.now += SECONDS + 1
    visit.enter()
    assert visit.get("/").status_code == 200


def test_whoever_is_in_stays_in_while_others_guess(visit) -> None:
    visit.enter()
    guesser = visit.another()
    for _ in range(2 * MOST):
        visit.show("guess", guesser)
    assert visit.get("/").status_code == 200


def test_a_cookie_ends(visit) -> None:
    visit.enter()
    visit.clock.now += SESSION.total_seconds() + 1
    assert visit.get("/").status_code == 404
    visit.enter()
    kept = dict(visit.browser.cookies)
    assert visit.post("/leave").status_code == 303
    assert visit.browser.get(f"{visit.page.root}/", cookies=kept).status_code == 404


@pytest.mark.parametrize("read_only", [False, True])
def test_who_looks_decides_nothing(visit, read_only) -> None:
    looking = Visit(visit.folder, read_only).enter("looks")
    assert looking.get("/").status_code == 200
    page = looking.get(f"/study/{looking.study().study_sha256}").text
    assert "This link is for looking" in page
    assert "/approve" not in page and "/deny" not in page
    before = looking.events()
    fields = {"manifest": looking.study().manifest_sha256, "cohort": "main"}
    tried = [path for path in paths(looking, "POST") if not path.endswith(("/enter", "/leave"))]
    assert len(tried) >= 4
    for path in tried:
        assert looking.post(path.removeprefix(looking.page.root), fields).status_code == 403, path
    assert looking.study().decision is None
    assert looking.events() == before
    assert ("decides" in looking.tokens) is not read_only


def test_a_form_from_elsewhere_decides_nothing(visit) -> None:
    visit.enter()
    study = visit.study()
    path = f"{visit.page.root}/study/{study.study_sha256}/approve"
    fields = {"manifest": study.manifest_sha256, "cohort": "main", "csrf": visit.csrf}
    other = visit.another()
    visit.enter(browser=other)
    theirs = re.search(r'name="csrf" value="(\w+)"', other.get(f"{visit.page.root}/").text)[1]
    assert theirs != fields["csrf"]
    elsewhere = ("null", "http://example.org", f"http://127.0.0.1:{PORT + 1}", f"https://127.0.0.1:{PORT}")
    for headers in ({}, *({"Origin": each} for each in elsewhere)):
        assert visit.browser.post(path, data=fields, headers=headers).status_code == 403, headers
    for csrf in ("", "0" * 64, theirs):
        sent = visit.browser.post(path, data={**fields, "csrf": csrf}, headers={"Origin": HERE})
        assert sent.status_code == 403, csrf
    twice = "&".join(f"{name}={value}" for name, value in fields.items()) + "&cohort=main"
    kind = {"Origin": HERE, "Content-Type": "application/x-www-form-urlencoded"}
    assert visit.browser.post(path, content=twice, headers=kind).status_code == 403
    assert visit.browser.post(path, content="x" * 20_000, headers=kind).status_code == 413
    assert visit.browser.get(path, params=fields).status_code == 404
    assert visit.browser.put(path, data=fields).status_code == 405
    assert visit.study().decision is None
    assert visit.browser.post(path, data=fields, headers={"Origin": HERE}).status_code == 303, (
        "the form itself is good"
    )


def test_every_answer_loads_nothing_from_elsewhere(visit) -> None:
    stranger = visit.get("/")
    visit.enter()
    study = f"/study/{visit.study().study_sha256}"
    for path in ("/", "/enter", "/log", study, "/look.css", "/own/page.js", "/own/page.css", "/nothing"):
        reply = visit.get(path)
        policy = reply.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'") and "unsafe" not in policy, path
        assert reply.headers["cache-control"] == "no-store"
        assert reply.headers["x-frame-options"] == "DENY"
        assert not re.search(r"https?://(?!www.w3.org)", reply.text), path
        if "html" in reply.headers["content-type"]:
            assert "\u2014" not in reply.text, "a dash stands for a value that is not there"
            assert not re.search(r"\sstyle=|\son[a-z]+=", reply.text), path
            # What a stranger's page needs is in it, and allowed by its hash; all others load files.
            inline = re.findall(r"<(?:script|style)>(.*?)</(?:script|style)>", reply.text, re.DOTALL)
            assert len(inline) == (2 if path == "/enter" else 0), path
            for text in inline:
                assert base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() in policy
    assert stranger.headers["content-security-policy"].startswith("default-src 'none'")


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
