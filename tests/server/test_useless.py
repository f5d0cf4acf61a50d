"""A coordinator asks before a study of which nothing useful is to be expected is signed, and before it trains."""

from __future__ import annotations

import contextlib
import threading
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from fedgen.errors import PrivacyRefusedError
from fedgen.pipeline.watch import SILENT
from fedgen.pipeline.workspace import Workspace
from fedgen.protocol.messages import SiteDescription
from fedgen_server import conduct as room
from fedgen_server.cli.main import app

ROSTER = {name: bytes([n]) * 32 for n, name in enumerate(("east", "north", "south"), 1)}
FAINT = {"privacy": {"epsilon": 0.02}}


class Answers:
    """An exchange whose sites describe themselves."""

    def sites(self):
        return sorted(ROSTER)

    def stream(self, tasks, deadline):
        for n, site in enumerate(sorted(tasks)):
            yield (
                site,
                SiteDescription(
                    site=site,
                    patients=10 + n,
                    sampling_rate=1.0,
                    noise_multiplier=50.0,
                    steps_per_round=1,
                    epsilon=0.02,
                    epsilon_rdp=0.02,
                ),
            )


@pytest.fixture
def published(monkeypatch, tiny_study, tmp_path):
    """A study nobody can learn from, published, with sites that are there; `trained` fills once it trains."""
    trained: list[bool] = []
    run = Workspace.create(tiny_study("latent", **FAINT), tmp_path, None).run
    entry = SimpleNamespace(
        run=str(run.path), manifest=SimpleNamespace(roster={name: key.hex() for name, key in ROSTER.items()})
    )
    federation = SimpleNamespace(
        paths=SimpleNamespace(database=tmp_path / "db"),
        is_served=lambda: True,
        sites=SimpleNamespace(active=dict),
        studies=SimpleNamespace(close=lambda sha256: None),
        log=SimpleNamespace(write=lambda *_, **__: None),
    )
    monkeypatch.setattr(room, "Link", lambda *_: SimpleNamespace(close=lambda done: None))
    monkeypatch.setattr(room, "FleetExchange", lambda *_: Answers())
    monkeypatch.setattr(room, "stopping", lambda stop: contextlib.nullcontext())
    monkeypatch.setattr(room, "run_stages", lambda here, watcher: trained.append(True))
    return SimpleNamespace(federation=federation, entry=entry, trained=trained)


def test_who_takes_part_is_known_by_what_it_said(tiny_study, tmp_path) -> None:
    study = tiny_study("latent")
    run = Workspace.create(study, tmp_path, None).run
    found = room.gather(study, Answers(), run, ROSTER, print, 10.0, threading.Event())
    assert {name: said.patients for name, said in found.items()} == {"east": 10, "north": 11, "south": 12}


def test_nothing_is_trained_before_somebody_wants_it(published) -> None:
    arguments = (published.federation, published.entry, SILENT, print, 10.0)
    with pytest.raises(PrivacyRefusedError, match=r"over 33 training patients of 3 sites .* give --yes"):
        room.conduct(*arguments)
    assert published.trained == []
    room.conduct(*arguments, True)
    assert published.trained == [True]


def test_nothing_is_signed_before_somebody_wants_it(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("FEDGEN_FEDERATION", str(tmp_path / "f"))
    run = CliRunner().invoke
    assert run(app, ["init", "--name", "n", "--address", "localhost:8443"]).exit_code == 0
    faint = ["run", "demo", "--set", "model.family=latent", "--set", "privacy.epsilon=0.02"]
    done = run(app, faint)
    assert isinstance(done.exception, PrivacyRefusedError)
    assert "WARNING: NOTHING USEFUL" in done.output
    # with --yes it is the next thing that is wrong
    assert "its roster has 0" in str(run(app, [*faint, "--yes"]).exception)
    demo = run(app, ["demo", *faint[2:], "--out", str(tmp_path / "runs")])
    assert isinstance(demo.exception, PrivacyRefusedError)
    assert not (tmp_path / "runs").exists()
