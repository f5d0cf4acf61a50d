"""The page in a real browser: wide and narrow, light and dark, without an error, and back after the server was away."""

from __future__ import annotations

import io
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from PIL import Image

from fedgen.dashboard.access import OneProcess
from fedgen.dashboard.addresses import ROOT
from fedgen.dashboard.door import Door, Doorway
from fedgen.dashboard.live_page import LivePage
from fedgen.dashboard.local import OwnRun
from fedgen.run.atomic import write_atomic
from fedgen.run.directory import RunDirectory
from fedgen.run.events import (
    Asked,
    AskedSite,
    Assessed,
    Dropout,
    PhaseBegun,
    Previewed,
    QuestionAsked,
    RoundDone,
    RoundLoss,
    SiteAnswered,
    StageBegun,
    Traffic,
)
from fedgen.run.evidence_files import AuditNumbers, Claim, SiteAnswer
from fedgen.run.preview_file import preview_path
from fedgen.run.row import Finding, Row, Value, Verdict
from fedgen.run.summary import RunSummary, update_summary
from fedgen.study.load import load_study
from fedgen.study.show import dump_study
from fedgen.web.this_machine import ADDRESS, ThisMachine, quiet

SITES = ("Ashford", "Brookside", "Cedarhill")

# The pages' words, numbers, headers and refusals have tests without a browser, which are not slow.
pytestmark = pytest.mark.slow


def a_round(run: RunDirectory, number: int) -> None:
    stated = [
        AskedSite(
            site=site, patients=60, sampling_rate=0.2, noise_multiplier=1.0, steps_per_round=4, epsilon=9.0,
            epsilon_rdp=9.5,
        )
        for site in SITES
    ]  # fmt: skip
    moved = Traffic(to_sites=2_400_000, from_sites=2_500_000)
    run.all_events(
        [
            PhaseBegun(round=number, attempt=1, phase="share", sites=SITES),
            Asked(round=number, sites=tuple(stated)),
            PhaseBegun(round=number, attempt=1, phase="mask", sites=SITES),
            *(
                SiteAnswered(site=site, round=number, phase="mask", seconds=1.0 + index, bytes=moved)
                for index, site in enumerate(SITES)
            ),
            RoundDone(
                round=number,
                losses={"diffusion": RoundLoss(value=1.0 / number, std=0.05)},
                epsilon=1.5 * number,
                sites=SITES,
                seconds=3.5,
            ),
        ]
    )


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    made = RunDirectory.create(tmp_path, "demo")
    made.study.write_text(dump_study(load_study("demo_gradients", ("training.rounds=6",))), encoding="utf-8")
    update_summary(made, RunSummary(status="running"))
    made.event(StageBegun(stage="train"))
    for number in (1, 2):
        a_round(made, number)
    made.event(Dropout(site="Cedarhill", round=3, reason="the connection to it was lost"))
    made.event(PhaseBegun(round=3, attempt=1, phase="mask", sites=SITES))
    return made


@contextmanager
def served(run: RunDirectory, keys: OneProcess, port: int) -> Iterator[int]:
    """The page on a port; the passes are the caller's, as those of a server are a file's."""
    study = load_study("demo_gradients", ("training.rounds=6",))
    watched = OwnRun(run, study, "0123456789abcdef")
    with socket.socket() as listening, watched.running():
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((ADDRESS, port))
        listening.listen()
        taken = int(listening.getsockname()[1])
        door = Door(keys, Doorway(ROOT, "fedgen-page", secure=False))
        page = LivePage(watched, door, lambda: server.should_exit)
        server = uvicorn.Server(quiet(ThisMachine(page.app(), taken)))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        try:
            yield taken
        finally:
            server.should_exit = True
            thread.join(10)


def opened(browser: Any, width: int, scheme: str, address: str) -> tuple[Any, list[str]]:
    """The page once it is signed in, and what its console says from then on."""
    context = browser.new_context(color_scheme=scheme, viewport={"width": width, "height": 844})
    page = context.new_page()
    page.goto(address)
    page.wait_for_selector("#run")
    said: list[str] = []
    page.on("console", lambda message: said.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda error: said.append(f"error: {error}"))
    return page, said


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_it_fits_and_says_no_error(browser: Any, run: RunDirectory, width: int, scheme: str) -> None:
    keys = OneProcess()
    with served(run, keys, 0) as port:
        page, said = opened(browser, width, scheme, f"http://{ADDRESS}:{port}{ROOT}#{keys.issue('operate')}")
        # The secret is out of the address, and of the history.
        assert page.url == f"http://{ADDRESS}:{port}{ROOT}"
        page.reload()
        page.wait_for_selector("#sites table")
        assert page.evaluate("document.documentElement.scrollWidth") == width
        assert page.text_content("h1") == "Round 3 of 6"
        paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert paper == ("rgb(255, 255, 255)" if scheme == "light" else "rgb(17, 23, 28)")
        # Colours of a chart follow the page, though no element has a style.
        line = page.evaluate("getComputedStyle(document.querySelector('#curves path[stroke-width]')).stroke")
        assert line == ("rgb(11, 106, 112)" if scheme == "light" else "rgb(98, 195, 192)")
        assert page.locator("[style]").count() == 0
        assert said == []
        page.context.close()


def test_it_follows_filters_and_comes_back_after_the_server(browser: Any, run: RunDirectory) -> None:
    keys = OneProcess()
    with served(run, keys, 0) as port:
        page, said = opened(browser, 1280, "light", f"http://{ADDRESS}:{port}{ROOT}#{keys.issue('operate')}")
        a_round(run, 3)
        page.wait_for_selector("h1:has-text('Round 4 of 6')")
        page.fill("#filter-text", "cedarhill")
        page.select_option("#filter-tone", "grave")
        assert page.locator(".log li:visible").count() == 1
        # A question that is open is not taken away while the page goes on.
        page.click("#actions summary")
        a_round(run, 4)
        page.wait_for_selector("h1:has-text('Round 5 of 6')")
        assert page.locator("#actions button").is_visible()
        assert page.locator(".log li:visible").count() == 1
        assert said == []
    page.wait_for_selector("#lost:visible")
    a_round(run, 5)
    with served(run, keys, port):
        page.wait_for_selector("h1:has-text('Round 6 of 6')")
        page.wait_for_selector("#lost", state="hidden")
        # Whose token is void is out, without a reload by hand.
        keys.keyring().passes.clear()
        page.wait_for_selector("#enter")
    page.context.close()


def drawn(run: RunDirectory, round: int) -> None:
    """A picture of the training, of another height after another round."""
    picture = io.BytesIO()
    Image.new("L", (80, 20 + round)).save(picture, "PNG")
    write_atomic(preview_path(run, round), picture.getvalue())
    run.event(Previewed(round=round, images=8, seconds=0.1))


def said_of_the_release(run: RunDirectory, site: str) -> None:
    value = Value(name="AUC", value=0.51, low=0.4, high=0.6)
    finding = Finding(verdict=Verdict.PASS, sentence="Nothing was found.")
    rows = tuple(
        Row(
            id=f"attack-{number}",
            title=f"Attack {number}",
            group="audit",
            values=(value,),
            findings=(finding,),
        )
        for number in range(3)
    )
    audit = AuditNumbers(n={}, rows=rows, limits=(), seed=1, alpha=0.05, claim=Claim(epsilon=1.0, delta=1e-3))
    answer = SiteAnswer(site=site, question="a" * 64, audit=audit, evaluation=None)
    answer.write(run, f"assessments/{site}.json")
    run.event(Assessed(site=site))


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_pictures_of_the_training_and_rows_of_the_sites_come_by_themselves(
    browser: Any, run: RunDirectory, width: int, scheme: str
) -> None:
    keys = OneProcess()
    with served(run, keys, 0) as port:
        page, said = opened(browser, width, scheme, f"http://{ADDRESS}:{port}{ROOT}#{keys.issue('read')}")
        for round in (1, 2):
            drawn(run, round)
            page.wait_for_selector(f"#samples img[src$='?{round}']")
            # It is there, it is the new one, and it fits.
            page.wait_for_function(
                f"document.querySelector('#samples img').naturalHeight === {20 + round}", timeout=10_000
            )
        assert "after round 2 of 6, not of the release" in page.text_content("#samples")
        run.all_events([StageBegun(stage="assess"), QuestionAsked(question="a" * 64, sites=SITES)])
        page.wait_for_selector("#phase:has-text('Waiting for Ashford, Brookside, Cedarhill')")
        said_of_the_release(run, "Brookside")
        page.wait_for_selector("#evidence:has-text('Attack 2')")
        assert page.locator("#evidence .state.pass").count() == 1
        assert page.locator("#evidence .state.busy").count() == 2
        assert "its policy keeps its evaluation" in page.text_content("#evidence")
        said_of_the_release(run, "Ashford")
        page.wait_for_selector("#phase:has-text('Waiting for Cedarhill')")
        assert page.locator("#evidence table").nth(1).locator("thead th").count() == 3
        assert page.evaluate("document.documentElement.scrollWidth") == width
        assert page.locator("[style]").count() == 0
        assert said == []
        page.context.close()


def test_the_keyboard_alone_reaches_the_question(browser: Any, run: RunDirectory) -> None:
    keys = OneProcess()
    with served(run, keys, 0) as port:
        page, _ = opened(browser, 390, "dark", f"http://{ADDRESS}:{port}{ROOT}#{keys.issue('operate')}")
        for _ in range(12):
            page.keyboard.press("Tab")
            if page.evaluate("document.activeElement.matches('#actions summary')"):
                break
        page.keyboard.press("Enter")
        assert page.locator("#actions button").is_visible()
        page.context.close()


def test_who_has_the_address_alone_finds_a_field_for_a_token(browser: Any, run: RunDirectory) -> None:
    keys = OneProcess()
    with served(run, keys, 0) as port:
        context = browser.new_context(viewport={"width": 390, "height": 844})
        page = context.new_page()
        answer = page.goto(f"http://{ADDRESS}:{port}{ROOT}")
        assert answer is not None and answer.status == 404
        page.fill("#token", "fgp_wrong")
        page.click("button")
        page.wait_for_selector("[role=alert]")
        page.fill("#token", keys.issue("read"))
        page.click("button")
        page.wait_for_selector("#run")
        assert page.locator("#actions summary").count() == 0
        context.close()
