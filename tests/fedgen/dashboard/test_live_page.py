"""A stranger finds nothing; who is let in sees the run; what is done to it is asked for by the page itself."""

from __future__ import annotations

import re

import pytest
from prometheus_client.parser import text_string_to_metric_families
from starlette.routing import Route
from starlette.testclient import TestClient

from fedgen.dashboard.access import OneProcess
from fedgen.dashboard.door import LONGEST, Door
from fedgen.dashboard.failures import MOST
from fedgen.dashboard.live_page import LivePage
from fedgen.run.atomic import write_atomic
from fedgen.run.events import Previewed
from fedgen.run.preview_file import preview_path
from fedgen.web.safe_headers import SAFE
from tests.fedgen.dashboard.conftest import AT, KEY, One, enter

ORIGIN = {"Origin": AT}


def secret_of(client: TestClient) -> str:
    """What a form of the page says."""
    found = re.search(r'name="csrf" value="([0-9a-f]{64})"', client.get("/page").text)
    assert found is not None
    return found[1]


def test_every_path_is_404_for_a_stranger(client: TestClient, one: One, door: Door) -> None:
    app = LivePage(one, door).app()
    paths = [
        (route.path.replace("{key}", KEY), route.methods) for route in app.routes if isinstance(route, Route)
    ]
    assert len(paths) > 10
    for path, methods in paths:
        for method in methods or ():
            answer = client.request(method, path, headers=ORIGIN)
            assert answer.status_code == 404, (method, path)
            assert "three hospitals" not in answer.text and "north" not in answer.text
            assert "set-cookie" not in answer.headers
    assert client.get("/page/nothing").status_code == 404
    assert client.put("/page").status_code == 404


def test_every_answer_keeps_to_a_policy_without_inline_scripts(client: TestClient, keys: OneProcess) -> None:
    entry = client.get("/page")
    policy = entry.headers["content-security-policy"]
    assert "unsafe" not in policy and "default-src 'none'" in policy and "sha256-" in policy
    enter(client, keys.issue("operate"))
    for path in (
        "/page",
        f"/page/run/{KEY}",
        f"/page/state/{KEY}",
        "/page/look.css",
        "/page/live.js",
        "/page/x",
    ):
        answer = client.get(path)
        for name, value in SAFE.items():
            assert answer.headers[name] == value, (path, name)
    text = client.get("/page").text
    assert not re.search(r"\sstyle=|\son[a-z]+=|<style|<script(?![^>]*src=)", text)
    assert not re.search(r'(src|href)="(?!/page|#)', text)


def test_a_token_becomes_a_cookie_that_no_script_and_no_other_site_gets(
    client: TestClient, keys: OneProcess
) -> None:
    token = keys.issue("read")
    answer = client.post("/page/enter", data={"token": token}, headers=ORIGIN)
    assert (answer.status_code, answer.headers["location"]) == (303, "/page")
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith("__Host-fedgen-page=")
    for word in ("HttpOnly", "Secure", "SameSite=strict", "Path=/"):
        assert word in cookie
    assert token.split("_", 2)[2] not in cookie + answer.text
    assert "three hospitals" in client.get("/page").text
    assert token not in client.get("/page").text


def test_a_token_in_an_address_opens_nothing(client: TestClient, keys: OneProcess) -> None:
    token = keys.issue("operate")
    assert client.get("/page", params={"token": token}).status_code == 404
    assert client.get(f"/page/enter?token={token}").status_code == 404
    assert client.post(f"/page/enter?token={token}", headers=ORIGIN).status_code == 404


@pytest.mark.parametrize(
    "headers", [{"Origin": "https://elsewhere.example"}, {"Sec-Fetch-Site": "cross-site"}, {"Origin": "null"}]
)
def test_nobody_elsewhere_signs_a_browser_in(client: TestClient, keys: OneProcess, headers) -> None:
    answer = client.post("/page/enter", data={"token": keys.issue("read")}, headers=headers)
    assert answer.status_code == 404 and "set-cookie" not in answer.headers


def test_guesses_are_not_listened_to_for_long_and_the_right_token_waits_too(
    client: TestClient, keys: OneProcess
) -> None:
    for _ in range(MOST):
        assert client.post("/page/enter", data={"token": "fgp_no"}, headers=ORIGIN).status_code == 404
    answer = client.post("/page/enter", data={"token": keys.issue("read")}, headers=ORIGIN)
    assert answer.status_code == 429 and int(answer.headers["retry-after"]) > 0
    assert (
        client.get("/metrics", headers={"Authorization": f"Bearer {keys.issue('read')}"}).status_code == 404
    )


def test_a_form_that_is_too_long_is_none(client: TestClient, keys: OneProcess) -> None:
    body = {"token": keys.issue("read"), "more": "x" * LONGEST}
    assert client.post("/page/enter", data=body, headers=ORIGIN).status_code == 404


def test_stop_and_resume_are_asked_by_a_form_of_this_browser_alone(
    client: TestClient, keys: OneProcess, one: One
) -> None:
    enter(client, keys.issue("operate"))
    good = secret_of(client)
    for data, headers in [
        ({}, ORIGIN),
        ({"csrf": "0" * 64}, ORIGIN),
        ({"csrf": good}, {"Origin": "https://elsewhere.example"}),
        ({"csrf": good}, {**ORIGIN, "Sec-Fetch-Site": "same-site"}),
    ]:
        assert client.post(f"/page/stop/{KEY}", data=data, headers=headers).status_code == 404
    assert client.get(f"/page/stop/{KEY}").status_code == 404
    assert one.done == []
    answer = client.post(f"/page/stop/{KEY}", data={"csrf": good}, headers=ORIGIN)
    assert (answer.status_code, answer.headers["location"]) == (303, f"/page/run/{KEY}")
    client.post(f"/page/resume/{KEY}", data={"csrf": good}, headers=ORIGIN)
    assert [what for what, _ in one.done] == ["stop", "resume"]
    assert {who for _, who in one.done} == set(keys.keyring().passes)


def test_two_browsers_with_one_link_have_nothing_in_common(client: TestClient, keys: OneProcess) -> None:
    token = keys.issue("operate")
    enter(client, token)
    secret, value = secret_of(client), dict(client.cookies)
    client.cookies.clear()
    enter(client, token)
    assert dict(client.cookies) != value and secret_of(client) != secret
    assert client.post("/page/leave", data={"csrf": secret}, headers=ORIGIN).status_code == 404


def test_who_reads_neither_sees_nor_has_the_buttons(client: TestClient, keys: OneProcess, one: One) -> None:
    enter(client, keys.issue("read"))
    assert "/page/stop/" not in client.get("/page").text
    answer = client.post(f"/page/stop/{KEY}", data={"csrf": secret_of(client)}, headers=ORIGIN)
    assert answer.status_code == 403 and one.done == []


def test_what_could_not_be_done_is_said(client: TestClient, keys: OneProcess, one: One) -> None:
    enter(client, keys.issue("operate"))
    secret, one.conducted = secret_of(client), False
    answer = client.post(f"/page/stop/{KEY}", data={"csrf": secret}, headers=ORIGIN)
    assert (
        answer.status_code == 409 and "No process conducts this run now: &lt;look&gt; again." in answer.text
    )


def test_leaving_takes_the_cookie_and_a_void_token_lets_nobody_stay(
    client: TestClient, keys: OneProcess
) -> None:
    enter(client, keys.issue("read"))
    kept = dict(client.cookies)
    assert client.post("/page/leave", headers=ORIGIN).status_code == 404
    answer = client.post("/page/leave", data={"csrf": secret_of(client)}, headers=ORIGIN)
    assert answer.status_code == 303
    assert client.get("/page").status_code == 404
    assert client.get("/page", cookies=kept).status_code == 404, "a copy of it opens nothing either"
    client.cookies.clear()
    enter(client, keys.issue("read"))
    assert client.get("/page/session").status_code == 204
    keys.keyring().passes.clear()
    assert client.get("/page/session").status_code == 404


def test_names_and_reasons_are_text_and_nothing_else(client: TestClient, keys: OneProcess, run) -> None:
    from fedgen.run.events import LeftOut

    run.event(LeftOut(site="<img src=x>", reason="<script>alert(1)</script>"))
    enter(client, keys.issue("read"))
    text = client.get("/page").text
    assert "<img src=x>" not in text and "<script>alert" not in text
    assert "&lt;img src=x&gt;" in text


def test_the_numbers_for_machines_are_those_of_the_page(client: TestClient, keys: OneProcess) -> None:
    token = keys.issue("read")
    assert client.get("/metrics").status_code == 404
    assert client.get("/metrics", headers={"Authorization": f"Bearer {token}x"}).status_code == 404
    answer = client.get("/metrics", headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code == 200
    samples = {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }
    run = next(key[1] for key in samples if key[0] == "fedgen_run_rounds_done")
    study = next(key[2] for key in samples if key[0] == "fedgen_run_rounds_done")
    assert samples["fedgen_run_rounds_done", run, study] == 2
    assert samples["fedgen_run_epsilon", run, study] == 1.0
    assert samples["fedgen_site_connected", "north"] == 1
    assert samples["fedgen_site_connected", "west"] == 0
    assert samples[("fedgen_run_standing", *sorted([run, study, "running"]))] == 1
    assert samples[("fedgen_site_bytes_total", *sorted([run, study, "north", "to_site"]))] == 12000


def test_the_state_is_json_and_there_is_no_other_run(client: TestClient, keys: OneProcess) -> None:
    enter(client, keys.issue("read"))
    assert client.get(f"/page/state/{KEY}").json()["round"] == 2
    for path in ("run", "state", "stream", "samples", "preview", "report"):
        assert client.get(f"/page/{path}/ffff").status_code == 404
    assert client.get(f"/page/samples/{KEY}").status_code == 404


def test_what_the_model_drew_is_shown_with_its_round_and_asked_for_anew(
    client: TestClient, keys: OneProcess, run
) -> None:
    enter(client, keys.issue("read"))
    assert client.get(f"/page/preview/{KEY}").status_code == 404
    write_atomic(preview_path(run, 2), b"a picture")
    run.event(Previewed(round=2, images=8, seconds=0.1))
    answer = client.get(f"/page/preview/{KEY}")
    assert (answer.content, answer.headers["content-type"]) == (b"a picture", "image/png")
    text = client.get("/page").text
    # Its address is another after another round, or a browser would show the old one.
    assert f'src="/page/preview/{KEY}?2"' in text
    assert "after round 2 of 5" in text and "in the \u03b5 that is spent" in text
    (run.figures).mkdir()
    (run.figures / "samples.png").write_bytes(b"of the release")
    text = client.get("/page").text
    assert f'src="/page/samples/{KEY}"' in text and "/page/preview/" not in text


def test_the_report_is_a_file_to_keep(client: TestClient, keys: OneProcess, run) -> None:
    (run.path / "report.html").write_text("<p>report")
    enter(client, keys.issue("read"))
    answer = client.get(f"/page/report/{KEY}")
    assert answer.text == "<p>report" and "attachment" in answer.headers["content-disposition"]
