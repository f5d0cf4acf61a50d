"""A browser at the hospital's page, without a port."""

from __future__ import annotations

import html
import re
from datetime import UTC, datetime, timedelta

from starlette.testclient import TestClient

from fedgen.dashboard.access import OneProcess
from fedgen.dashboard.door import Door
from fedgen.dashboard.failures import Failures
from fedgen.run.journal import Journal
from fedgen.web.this_machine import ThisMachine
from fedgen_client.folder import SiteFolder
from fedgen_client.site_page.coordinator_watch import CoordinatorWatch, ask
from fedgen_client.site_page.page_routes import SitePage
from fedgen_client.site_page.site_door import site_doorway
from fedgen_client.site_page.site_reader import SiteReader
from fedgen_client.studies import Studies

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
