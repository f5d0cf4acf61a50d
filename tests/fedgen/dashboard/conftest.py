"""A run as a coordinator's process leaves it in the middle of a round, and its page behind its door."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from fedgen.dashboard.access import OneProcess
from fedgen.dashboard.door import Door, Doorway
from fedgen.dashboard.live_page import LivePage
from fedgen.dashboard.page_state import PageState, Sighting
from fedgen.dashboard.watched import Followed
from fedgen.errors import FederationError
from fedgen.run.directory import RunDirectory
from fedgen.run.events import (
    Asked,
    AskedSite,
    Event,
    PhaseBegun,
    RoundDone,
    RoundLoss,
    SecureRecord,
    SessionAbort,
    SiteAnswered,
    StageBegun,
    Traffic,
)
from fedgen.run.summary import RunSummary, update_summary
from fedgen.study.load import load_study
from fedgen.study.show import dump_study
from fedgen.study.study import Study
from fedgen.web.safe_headers import SafeHeaders

SITES = ("east", "north", "south")
KEY = "0123456789abcdef"
AT = "https://coordinator.example"


def asked(round: int, *sites: str) -> Asked:
    return Asked(
        round=round,
        sites=tuple(
            AskedSite(
                site=site, patients=40, sampling_rate=0.2, noise_multiplier=1.0, steps_per_round=4,
                epsilon=2.5, epsilon_rdp=2.9,
            )
            for site in sites
        ),
    )  # fmt: skip


def answered(round: int, site: str, seconds: float) -> SiteAnswered:
    moved = Traffic(to_sites=4000, from_sites=4100)
    return SiteAnswered(site=site, round=round, phase="mask", seconds=seconds, bytes=moved)


def finished(round: int, sites: Sequence[str] = SITES, aborts: Sequence[SessionAbort] = ()) -> RoundDone:
    secure = SecureRecord(
        attempt=1, weight=9, exchanges=4, bytes=Traffic(to_sites=1, from_sites=1), failed_later={},
        aborts=tuple(aborts),
    )  # fmt: skip
    return RoundDone(
        round=round,
        losses={"diffusion": RoundLoss(value=1.0 / round, std=0.1)},
        epsilon=0.5 * round,
        sites=tuple(sites),
        seconds=4.0,
        secure=secure,
    )


def whole_round(round: int) -> list[Event]:
    phases = [PhaseBegun(round=round, attempt=1, phase=phase, sites=SITES) for phase in ("share", "mask")]
    answers = [answered(round, site, 1.0 + 2.0 * (site == "south")) for site in SITES]
    return [phases[0], asked(round, *SITES), phases[1], *answers, finished(round)]


@pytest.fixture(scope="session")
def study() -> Study:
    return load_study("demo_gradients", ("training.rounds=5",))


@pytest.fixture
def run(tmp_path: Path, study: Study) -> RunDirectory:
    made = RunDirectory.create(tmp_path, "demo")
    made.study.write_text(dump_study(study), encoding="utf-8")
    update_summary(made, RunSummary(status="running"))
    made.all_events([StageBegun(stage="train"), *whole_round(1), *whole_round(2)])
    made.all_events(
        [
            PhaseBegun(round=3, attempt=1, phase="share", sites=SITES),
            PhaseBegun(round=3, attempt=1, phase="mask", sites=SITES),
            answered(3, "north", 1.0),
        ]
    )
    return made


class One:
    """One run, of which it is remembered what was done to it."""

    title = "three hospitals"

    def __init__(self, run: RunDirectory, study: Study) -> None:
        self.followed = Followed(run, study, KEY, (*SITES, "west"))
        self.conducted = True
        self.done: list[tuple[str, str]] = []

    def runs(self) -> Sequence[str]:
        return (KEY,)

    def state(self, key: str) -> PageState | None:
        return self.followed.state(self.conducted, self.sightings()) if key == KEY else None

    def events(self, key: str) -> Sequence[Event]:
        return self.followed.events()

    def folder(self, key: str) -> Path | None:
        return self.followed.run.path if key == KEY else None

    def sightings(self) -> Mapping[str, Sighting]:
        return {
            "north": Sighting(connected=True, clock=0.4, fedgen="0.1.0"),
            "west": Sighting(connected=False, last_seen="2026-01-31T09:00:00+00:00"),
        }

    def stop(self, key: str, who: str) -> str:
        if not self.conducted:
            raise FederationError("No process conducts this run now: <look> again.")
        self.done.append(("stop", who))
        return "told"

    def resume(self, key: str, who: str) -> str:
        self.done.append(("resume", who))
        return "started"


@pytest.fixture
def one(run: RunDirectory, study: Study) -> One:
    return One(run, study)


@pytest.fixture
def keys() -> OneProcess:
    return OneProcess()


@pytest.fixture
def door(keys: OneProcess) -> Door:
    return Door(keys, Doorway("/page", "fedgen-page", secure=True))


@pytest.fixture
def client(one: One, door: Door) -> TestClient:
    """A browser that has no cookie yet; it follows no redirection by itself."""
    return TestClient(SafeHeaders(LivePage(one, door).app()), base_url=AT, follow_redirects=False)


def enter(client: TestClient, token: str) -> None:
    """Sign in."""
    answer = client.post("/page/enter", data={"token": token}, headers={"Origin": AT})
    assert answer.status_code == 303, answer.text
