"""kill -9 of everything, in every phase of a round: training completes, and no ledger is below what was spent."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from fedgen_privacy.accounting import epsilon_prv
from fedgen_privacy.ledger import Ledger

pytestmark = pytest.mark.slow

STUDY = """
study: {{name: kills, seed: {seed}}}
data:
  modality: T1w
  image_size: [16, 16]
  images_per_patient: 2
  phantom: {{sites: 4, patients: 14}}
model:
  family: vae
  vae: {{channels: [4, 8], latent_size: 4}}
training: {{rounds: 14, local_steps: 2, batch_patients: 3}}
privacy: {{epsilon: 20, delta: 1.0e-3}}
aggregation: {{minimum_sites: 3, weight_cap: 16, deadline: 120}}
synthesis: {{images: 12}}
audit: {{bootstrap: 100}}
evaluation: {{extractors: [radiomics], seeds: 1, steps: 5, bootstrap: 100}}
"""
PHASES = ("share", "train", "mask", "confirm", "unmask")
#: as the study says
ROUNDS = 14
SECONDS = 400.0


def wait_until(condition, what: str, seconds: float) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"waited {seconds:.0f} s for {what}"
        time.sleep(0.02)


@contextmanager
def held(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """It stands still meanwhile: a command takes seconds to start, in which a run could end."""
    process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        process.send_signal(signal.SIGCONT)


class Federation:
    """Four hospitals with phantom patients, which approve by policy."""

    def __init__(self, hospitals) -> None:
        self.hospitals = hospitals
        self.coordinator, self.processes = hospitals.coordinator, hospitals.processes
        self.folder, self.sites, self.at = hospitals.folder, hospitals.sites, hospitals.at
        self.start, self.kill, self.conduct = hospitals.start, hospitals.kill, hospitals.conduct

    @property
    def run(self) -> Path:
        return self.hospitals.run

    def rounds(self) -> int:
        try:
            return (self.run / "events.jsonl").read_text().count('"event": "round"')
        except (ValueError, OSError):
            return 0

    def in_phase(self, name: str, phase: str, after: int) -> bool:
        """Whether a site has come to a phase of a round after `after`."""
        site = self.sites[name]
        if phase == "train":
            # charged, so that training has begun
            ledgers = list(site.glob("ledgers/*.jsonl"))
            return any(json.loads(line)["row"]["round"] > after for path in ledgers for line in _whole(path))
        kind = {"mask": "masked_update"}.get(phase, "secure_reply")
        for text in _whole(site / "log.jsonl"):
            line = json.loads(text)
            known = (line["event"], line.get("kind"), line.get("phase", "mask")) == (
                "sent",
                kind,
                phase,
            )
            if known and line["round"] > after:
                return True
        return False

    def wait_phase(self, conductor, name: str, phase: str, after: int) -> None:
        def come() -> bool:
            return self.in_phase(name, phase, after) or conductor.poll() is not None

        wait_until(come, f"phase {phase} after round {after}", SECONDS)
        assert conductor.poll() is None, self.processes.log("run")

    def wait_round(self, conductor, after: int) -> None:
        wait_until(lambda: self.rounds() > after or conductor.poll() is not None, "another round", SECONDS)

    def check_ledgers(self, rounds: int) -> None:
        """Every update that left was charged, no round twice; and epsilon is the ledger's, or more."""
        told = json.loads((self.run / "privacy.json").read_text())
        epsilon = {row["site"]: row["epsilon"] for row in told["sites"]}
        for name, site in self.sites.items():
            (path,) = site.glob("ledgers/*.jsonl")
            ledger = Ledger(path)
            charged = [row.round for row in ledger]
            assert len(set(charged)) == len(charged) and set(charged) <= set(range(1, rounds + 1))
            sent = {
                json.loads(line)["round"]
                for line in _whole(site / "log.jsonl")
                if json.loads(line)["event"] == "sent" and json.loads(line)["kind"] == "masked_update"
            }
            assert sent <= set(charged), name
            assert epsilon_prv(ledger.spends(), 1e-3) <= epsilon[name] * (1 + 1e-9) <= 20, name


def _whole(path: Path) -> list[str]:
    return path.read_text().rpartition("\n")[0].splitlines() if path.exists() else []


@pytest.fixture
def federation(hospitals):
    found = Federation(hospitals(STUDY, approve="always"))
    for name in found.sites:
        found.start(name)
    return found


def test_a_site_is_killed_in_every_phase(federation, processes) -> None:
    conductor = federation.conduct("run")
    federation.wait_round(conductor, 0)
    victim = next(iter(federation.sites))
    for phase in PHASES:
        after = federation.rounds()
        federation.wait_phase(conductor, victim, phase, after)
        federation.kill(victim)
        federation.start(victim)
        # it is back in a round before it is killed again
        federation.wait_round(conductor, after)
    assert conductor.wait(SECONDS) == 0, processes.log("run")
    rounds = [json.loads(line) for line in _whole(federation.run / "events.jsonl")]
    assert [line["round"] for line in rounds if line["event"] == "round"] == list(range(1, ROUNDS + 1))
    federation.check_ledgers(ROUNDS)


def test_the_coordinator_is_killed_in_every_phase(federation, processes) -> None:
    """The process that conducts the run, and once the server with it."""
    conductor = federation.conduct("run")
    watched = next(iter(federation.sites))
    for phase in PHASES:
        after = federation.rounds()
        federation.wait_phase(conductor, watched, phase, after)
        processes.kill(conductor)
        if phase == "confirm":
            federation.coordinator.kill()
            federation.coordinator.start()
        conductor = federation.conduct("resume")
    assert conductor.wait(SECONDS) == 0, processes.log("run")
    federation.check_ledgers(ROUNDS)
    # Resumed with the same study: an uninterrupted run's plan, and not one step more.
    for site in federation.sites.values():
        (path,) = site.glob("ledgers/*.jsonl")
        assert len(Ledger(path).spends()) <= ROUNDS


def test_stopped_by_a_command_and_resumed(federation, processes) -> None:
    conductor = federation.conduct("run")
    federation.wait_round(conductor, 1)
    with held(conductor):
        stopped = processes.run("-m", "fedgen_server.cli", "stop", *federation.at)
    assert stopped.returncode == 0, stopped.stderr
    assert conductor.wait(60.0) == 130
    status = json.loads(processes.run("-m", "fedgen_server.cli", "status", "--json", *federation.at).stdout)
    (run,) = [row for row in status["runs"] if row["run"] == str(federation.run)]
    assert run["state"] == "interrupted" and not run["conducted"] and 2 <= run["round"] < ROUNDS
    again = processes.run("-m", "fedgen_server.cli", "run", "study.yaml", *federation.at)
    assert again.returncode == 2 and "was published before" in again.stderr
    # Meanwhile a hospital's images vanish: it says so, and the others go on.
    gone = next(iter(federation.sites))
    data = federation.folder / "data" / "Ashford"
    federation.kill(gone)
    data.rename(data.with_name("elsewhere"))
    federation.start(gone)
    resumed = federation.conduct("resume")
    federation.wait_round(resumed, run["round"] + 1)
    with held(resumed):
        second = processes.run("-m", "fedgen_server.cli", "resume", *federation.at)
    assert second.returncode == 5 and "Another process conducts" in second.stderr
    resumed.send_signal(signal.SIGTERM)
    assert resumed.wait(60.0) == 130
    log = (federation.sites[gone] / "log.jsonl").read_text()
    assert '"decision": "refused"' in log
