"""The hospital's page in a real browser: wide and narrow, light and dark, a decision by it, and none by a look."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import uvicorn

from fedgen.dashboard.access import OneProcess
from fedgen.dashboard.door import Door
from fedgen.web.this_machine import ADDRESS, ThisMachine, quiet
from fedgen_client.folder import SiteFolder
from fedgen_client.site_page.coordinator_watch import CoordinatorWatch, ask
from fedgen_client.site_page.page_routes import SitePage
from fedgen_client.site_page.site_door import site_doorway
from fedgen_client.site_page.site_reader import SiteReader
from fedgen_client.studies import Studies
from fedgen_privacy.accounting import Spend
from fedgen_privacy.ledger import Budget, Charge, Ledger
from fedgen_privacy.secagg import Identity

# What the page says, refuses and records has tests without a browser, which are not slow.
pytestmark = pytest.mark.slow


class Links:
    """A page that is served, and what opens it."""

    server: uvicorn.Server

    def __init__(self, folder: SiteFolder, port: int) -> None:
        keys = OneProcess()
        self.tokens = {"decides": keys.issue("operate"), "looks": keys.issue("read")}
        watch = CoordinatorWatch(lambda: ask(folder))
        self.page = SitePage(SiteReader(folder, watch.look), watch, Door(keys, site_doorway()))
        self.root = f"http://{ADDRESS}:{port}{self.page.root}"

    def __getitem__(self, role: str) -> str:
        return f"{self.root}/enter#{self.tokens[role]}"


@pytest.fixture
def links(with_data: SiteFolder, offered: Any) -> Iterator[Links]:
    """Of a site with two studies, one of which has charged a round and has its budget kept free."""
    study = Studies(with_data).keep(offered)
    ledger, spend = Ledger(with_data.ledger("main")), Spend(2.4, 0.3, 12)
    ledger.reserve(study.study_sha256, [spend] * 3, Budget(10.0, 1e-3))
    ledger.charge(Charge(study.study_sha256, 1, "0" * 64, spend))
    with socket.socket() as listening:
        listening.bind((ADDRESS, 0))
        listening.listen()
        port = int(listening.getsockname()[1])
        made = Links(with_data, port)
        server = made.server = uvicorn.Server(quiet(ThisMachine(made.page.app(), port)))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        yield made
        server.should_exit = True
        thread.join(10)


@pytest.fixture
def opened(browser: Any) -> Iterator[Callable[..., tuple[Any, list[str]]]]:
    """`opened(address, 390, "dark")`: a page, and what its console says."""
    contexts: list[Any] = []

    def open_it(address: str, width: int = 1280, scheme: str = "light") -> tuple[Any, list[str]]:
        contexts.append(browser.new_context(color_scheme=scheme, viewport={"width": width, "height": 844}))
        page = contexts[-1].new_page()
        page.set_default_timeout(120_000)
        said: list[str] = []
        page.on("console", lambda message: said.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: said.append(f"error: {error}"))
        page.goto(address)
        page.wait_for_selector("#live")
        return page, said

    yield open_it
    for context in contexts:
        context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_it_fits_and_says_no_error(links: Links, opened: Any, width: int, scheme: str) -> None:
    page, said = opened(links["decides"], width, scheme)
    assert page.url == f"{links.root}/", "the token is out of the address"
    page.wait_for_selector("#budget .gauge")
    for path in ("/", "/log", None):
        if path is None:
            page.goto(f"{links.root}/")
            page.click(".offers h3 a")
            page.wait_for_selector("#words")
            page.click("summary:has-text('Approve')")
        else:
            page.goto(links.root + path)
        assert page.evaluate("document.documentElement.scrollWidth") == width, path
        paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert paper == ("rgb(255, 255, 255)" if scheme == "light" else "rgb(17, 23, 28)")
        assert page.locator("[style]").count() == 0
    assert said == []


def test_a_person_approves_and_withdraws_by_the_keyboard(
    links: Links, opened: Any, with_data: SiteFolder
) -> None:
    page, said = opened(links["decides"], 390, "dark")
    page.focus(".offers .go a")
    page.keyboard.press("Enter")
    page.wait_for_selector("#decide")
    page.focus("summary:has-text('Approve')")
    page.keyboard.press("Enter")
    page.focus("button:has-text('Approve tiny')")
    page.keyboard.press("Enter")
    page.wait_for_selector(".state:has-text('approved')")
    (study,) = Studies(with_data).all()
    assert study.decision is not None and study.decision.decision == "approved"
    page.click("summary:has-text('Withdraw')")
    page.fill("#reason", "asked by the ethics board")
    page.click("button:has-text('Withdraw')")
    page.wait_for_selector(".state:has-text('denied')")
    (study,) = Studies(with_data).all()
    assert study.decision is not None and study.decision.reason == "asked by the ethics board"
    assert said == []


def test_the_first_page_is_fresh_by_itself(links: Links, opened: Any, with_data: SiteFolder) -> None:
    page, said = opened(links["looks"])
    assert page.locator("form").count() == 1, "to leave, and nothing else"
    with_data.journal.write("withdrawn", patients=2)
    page.wait_for_selector("#passed b:has-text('Patients withdrew')")
    with_data.log.write_text(with_data.log.read_text().replace("lungs", "lung5"))
    page.wait_for_selector("[role=alert]:has-text('is not what was written')")
    assert said == []


def test_a_study_is_fresh_but_never_another_one_under_the_eyes(
    links: Links, opened: Any, with_data: SiteFolder, stub: Any, others: Any, secure_study: Any
) -> None:
    page, said = opened(links["decides"])
    page.click(".offers h3 a")
    (study,) = Studies(with_data).all()
    Ledger(with_data.ledger("main")).charge(Charge(study.study_sha256, 2, "0" * 64, Spend(2.4, 0.3, 12)))
    page.wait_for_selector("#stands:has-text('2 of 3 rounds charged here')")
    read = page.text_content("#words")
    page.click("summary:has-text('Approve')")
    Studies(with_data).keep(stub.offer(secure_study(), **others, west=Identity.generate("west").public_key))
    page.wait_for_selector("#changed:visible")
    assert page.text_content("#words") == read
    assert page.get_attribute("#decide input[name=manifest]", "value") == study.manifest_sha256
    page.click("#changed a")
    page.wait_for_selector("#words:has-text('4 sites')")
    assert said == []


def test_a_page_whose_program_has_ended_says_so(links: Links, opened: Any) -> None:
    page, _ = opened(links["looks"], 390)
    assert page.locator("#stale").is_hidden()
    links.server.should_exit = True
    page.wait_for_selector("#stale:visible")
    assert page.text_content("#stale time")
