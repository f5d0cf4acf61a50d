"""`fedgen-server demo`: coordinator and hospitals as real processes, from phantom patients to the report."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from fedgen.priors.build import Said, of_images
from fedgen.protocol.receipt import ReceiptFile, open_receipt
from fedgen.run.directory import RunDirectory
from fedgen.study.load import load_study
from fedgen_privacy.accounting import epsilon_reported
from fedgen_privacy.ledger import Ledger
from fedgen_privacy.secagg.identity_file import stored_identity

STUDY = """
study: {name: tiny, seed: 3}
data:
  modality: T1w
  image_size: [16, 16]
  images_per_patient: 2
  phantom: {sites: 3, patients: 36}
aggregation: {minimum_sites: 3, tolerated_dropouts: 0, weight_cap: 64}
synthesis: {images: 12}
audit: {bootstrap: 100}
evaluation: {extractors: [radiomics], seeds: 1, steps: 5, bootstrap: 100}
"""
GRADIENTS = """
model:
  family: vae
  vae: {channels: [4, 8], latent_size: 4}
training: {rounds: 2, local_steps: 2, batch_patients: 8}
privacy: {epsilon: 10, delta: 1.0e-3}
"""
STATISTIC = """
model:
  family: latent
  latent: {latent_size: 4}
  prior: {sha256: %s, source: 24 images of noise (CC0-1.0)}
training: {batch_patients: 40}
privacy: {mode: distributed, epsilon: 10, delta: 1.0e-3, sampling_rate: 0.5}
"""
SITES = ["Ashford", "Brookside", "Cedarhill"]


@pytest.mark.slow
def test_one_command_to_the_report_of_a_sum_on_a_prior(processes, tmp_path) -> None:
    images = np.random.default_rng(4).uniform(-1, 1, (24, 1, 16, 16)).astype(np.float32)
    prior = of_images(images, 6, 3, Said("24 images of noise", "CC0-1.0"))
    (tmp_path / "prior.safetensors").write_bytes(prior)
    (tmp_path / "tiny.yaml").write_text(STUDY + STATISTIC % hashlib.sha256(prior).hexdigest())
    out, read = demonstrated(processes, tmp_path, 1, "--prior", "prior.safetensors")
    assert read.count("24 images of noise (CC0-1.0). It is never changed") == 1
    for name in SITES:
        assert "24 images of noise" in (out / "logs" / f"{name}-approves.log").read_text()
        (row,) = Ledger(out / "sites" / name / "ledgers" / "main.jsonl")
        assert row.spend is not None and row.spend.discrete
    # nothing that was started outlives the command
    assert not [p for p in Path("/proc").glob("[0-9]*/cmdline") if str(out).encode() in _read(p)]


@pytest.mark.slow
def test_one_command_trains_to_the_report(processes, tmp_path) -> None:
    (tmp_path / "tiny.yaml").write_text(STUDY + GRADIENTS)
    out, _ = demonstrated(processes, tmp_path, 2)
    (run,) = (out / "coordinator" / "runs").iterdir()
    told = {row["site"]: row for row in json.loads((run / "privacy.json").read_text())["sites"]}
    # the very split that a simulation of the same study makes: each hospital alone comes to the same patients
    assert {name: row["patients"] for name, row in told.items()} == simulated(tmp_path)
    # each signed what it did with the key in its own folder
    for name in SITES:
        kept = ReceiptFile.read(RunDirectory(run), f"receipts/{name}.json")
        own = stored_identity(out / "sites" / name, name).public_key
        assert open_receipt(kept.signed, own).epsilon == told[name]["epsilon"]
    released = processes.run(
        "-m", "fedgen_server.cli", "release", run.name, "--folder", str(out / "coordinator"), seconds=300.0
    )
    verdict = json.loads((run / "audit.json").read_text())["verdict"]
    assert released.returncode == (0 if verdict == "PASS" else 6), released.stdout + released.stderr


@pytest.mark.slow
def test_a_run_that_somebody_stops_is_waited_for(processes, until, tmp_path) -> None:
    """As the page does it: the run ends with an interrupt, and goes on when it is resumed."""
    (tmp_path / "tiny.yaml").write_text(STUDY + GRADIENTS.replace("rounds: 2", "rounds: 8"))
    command = ("demo", "--sites", "3", "--study", "tiny.yaml", "--out", "out")
    demo = processes.start("demo", "-m", "fedgen_server.cli", *command)

    def in_training() -> bool:
        events = list((tmp_path / "out").glob("federation-tiny-*/coordinator/runs/*/events.jsonl"))
        return bool(events) and '"event": "round"' in events[0].read_text()

    until(in_training, "the first round", seconds=300.0)
    (out,) = (tmp_path / "out").glob("federation-tiny-*")
    at = ("--folder", str(out / "coordinator"))
    stopped = processes.run("-m", "fedgen_server.cli", "stop", *at)
    assert stopped.returncode == 0, stopped.stdout + stopped.stderr
    until(lambda: "Resume… on the page" in processes.log("demo"), "the demonstration's word", seconds=60.0)
    assert demo.poll() is None
    resumed = processes.run("-m", "fedgen_server.cli", "resume", *at, seconds=300.0)
    assert resumed.returncode == 0, resumed.stdout + resumed.stderr
    assert demo.wait(120) == 0, processes.log("demo")
    for name in SITES:
        ledger = Ledger(out / "sites" / name / "ledgers" / "main.jsonl")
        assert [row.round for row in ledger] == list(range(1, 9))


def demonstrated(processes, folder: Path, rounds: int, *more: str) -> tuple[Path, str]:
    """The demonstration of tiny.yaml: its folder, and what it printed."""
    command = ("demo", "--sites", "3", "--study", "tiny.yaml", "--out", "out", *more)
    done = processes.run("-m", "fedgen_server.cli", *command, seconds=600.0)
    assert done.returncode == 0, done.stdout + done.stderr
    for command in ("init", "invite", "join", "check", "approve", "start --once", "ledger", "page"):
        assert f" {command}" in done.stdout, command
    (out,) = (folder / "out").glob("federation-tiny-*")
    (run,) = (out / "coordinator" / "runs").iterdir()
    summary = json.loads((run / "run.json").read_text())
    assert summary["status"] == "done" and summary["rounds"] == rounds
    secure, every = summary["secure_aggregation"], list(range(1, rounds + 1))
    assert secure["enabled"] and not secure["aborts"]
    assert secure["survivors"] == {str(round): SITES for round in every}
    assert (run / "report.html").stat().st_size > 10_000
    assert len(list((run / "samples").glob("*.png"))) == 12
    told = {row["site"]: row for row in json.loads((run / "privacy.json").read_text())["sites"]}
    for name in SITES:
        ledger = Ledger(out / "sites" / name / "ledgers" / "main.jsonl")
        assert [row.round for row in ledger] == every
        assert told[name]["epsilon"] == epsilon_reported(ledger.spends(), 1e-3) <= 10
    return out, " ".join(done.stdout.split())


def simulated(folder: Path) -> dict[str, int]:
    """Training patients of each site, as `fedgen simulate` prepares them."""
    from fedgen.data.prepare import prepare_sites
    from fedgen.data.site_data import Part

    study = load_study(str(folder / "tiny.yaml"), ())
    made = prepare_sites(study, None, folder / "simulated", folder / "cache")
    return {site.site: site.part(Part.TRAIN).n_patients for site in made.sites}


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""
