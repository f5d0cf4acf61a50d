"""The hospital's page: strangers see nothing, who looks changes nothing, and no form from elsewhere decides."""

from __future__ import annotations

import base64
import hashlib
import re

import pytest
from starlette.routing import Route

from fedgen.dashboard.failures import MOST, SECONDS
from fedgen_client.site_page.site_door import COOKIE, SESSION
from tests.client.page_visit import HERE, PORT, Visit


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
