"""A study of one private sum on a public prior, over real processes: approved, charged once, killed at any instant."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from fedgen.priors.build import Said, of_images
from fedgen.run.checkpoint import latest_checkpoint
from fedgen_client.cli.main import app
from fedgen_privacy.accounting import epsilon_rdp
from fedgen_privacy.ledger import Ledger

STUDY = """
study: {{name: statistic, seed: {seed}}}
data:
  modality: T1w
  image_size: [16, 16]
  images_per_patient: 2
  phantom: {{sites: 3, patients: 14}}
model:
  family: latent
  latent: {{latent_size: 4}}
  prior: {{sha256: %s, source: "24 images of noise (CC0-1.0)"}}
privacy: {{mode: distributed, epsilon: 10, delta: 1.0e-3, sampling_rate: 0.5}}
training: {{batch_patients: 12}}
aggregation: {{minimum_sites: 3, tolerated_dropouts: 0, deadline: 60}}
synthesis: {{images: 12}}
audit: {{bootstrap: 100}}
evaluation: {{extractors: [radiomics], seeds: 1, steps: 5, bootstrap: 100}}
"""
SECONDS = 300.0


def prior_of(sites: tuple[str, ...] = ()) -> bytes:
    """A prior of 24 images of noise, which says that patients of these sites are among them."""
    images = np.random.default_rng(4).uniform(-1, 1, (24, 1, 16, 16)).astype(np.float32)
    return of_images(images, 6, 3, Said("24 images of noise", "CC0-1.0", sites))


@pytest.fixture
def study(hospitals, processes, tmp_path):
    """`study()`: three hospitals, and the study on a prior whose file is prior.safetensors."""

    def build(content: bytes | None = None):
        content = content or prior_of()
        (tmp_path / "prior.safetensors").write_bytes(content)
        return hospitals(STUDY % hashlib.sha256(content).hexdigest())

    return build


def approve(federation, name: str, prior: Path | None) -> Result:
    """The command, in this process: it would load torch for each of many calls."""
    more = () if prior is None else ("--prior", str(prior))
    at = ("--folder", str(federation.sites[name]))
    return CliRunner().invoke(app, ["approve", "statistic", "--yes", *more, *at])


def begun(federation, until):
    """A run that is offered to sites that work, all of which approve it."""
    for name in federation.sites:
        federation.start(name)
    conductor = federation.conduct("run", "--prior", "prior.safetensors")
    studies = federation.coordinator.folder / "studies"
    before = len(list(studies.glob("*.json")))
    until(lambda: conductor.poll() is not None or len(list(studies.glob("*.json"))) > before, "the study")
    for name in federation.sites:
        done = approve(federation, name, federation.folder / "prior.safetensors")
        assert done.exit_code == 0, done.output
    return conductor


def charges(federation) -> dict[str, list]:
    """Rows of each site's ledgers."""
    return {
        name: [row for path in site.glob("ledgers/*.jsonl") for row in Ledger(path)]
        for name, site in federation.sites.items()
    }


def parts(federation) -> dict[str, str]:
    """What each site keeps of the vector that it sends, by its hash."""
    found = {
        name: list(site.glob("studies/*/outbox/*.safetensors")) for name, site in federation.sites.items()
    }
    return {
        name: hashlib.sha256(path.read_bytes()).hexdigest() for name, paths in found.items() for path in paths
    }


def sent(site: Path) -> int:
    """Masked vectors that left, or were about to."""
    lines = (site / "log.jsonl").read_text().splitlines()
    return sum(
        (told["event"], told.get("kind")) == ("sent", "masked_update") for told in map(json.loads, lines)
    )


def check_done(federation) -> None:
    """The release is there, and every ledger holds one charge, the one that privacy.json tells of."""
    run = federation.run
    assert json.loads((run / "run.json").read_text())["status"] == "done"
    assert len(list((run / "samples").glob("*.png"))) == 12 and (run / "report.html").is_file()
    told = {row["site"]: row["epsilon"] for row in json.loads((run / "privacy.json").read_text())["sites"]}
    found = charges(federation)
    assert {name: [row.round for row in rows] for name, rows in found.items()} == {name: [1] for name in told}
    assert set(told) == set(federation.sites)
    for name, (row,) in found.items():
        assert epsilon_rdp([row.spend], 1e-3) == pytest.approx(told[name]) and told[name] <= 10
    study_sha256 = json.loads((run / "checkpoints" / "round-00001.json").read_text())["study_sha256"]
    assert latest_checkpoint(run / "checkpoints", study_sha256).round == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    "instant",
    [
        "before:*/ledgers/main.jsonl",
        "torn:*/ledgers/main.jsonl",
        "after:*/ledgers/main.jsonl",
        "after:*/outbox",
    ],
)
def test_a_site_is_killed_around_its_charge(study, until, processes, instant) -> None:
    """Before the charge is on disk, after it, and when its vector is kept and has not left."""
    federation = study()
    victim = next(iter(federation.sites))
    mark = federation.plant(victim, instant)
    conductor = begun(federation, until)
    killed = federation.running[victim]
    until(lambda: killed.poll() is not None or conductor.poll() is not None, "the kill", SECONDS)
    assert killed.wait(30) == -9 and mark.exists()
    assert sent(federation.sites[victim]) == 0
    assert (victim in parts(federation)) == instant.endswith("outbox")
    federation.start(victim)
    if conductor.wait(SECONDS) != 0:
        conductor = federation.conduct("resume")
        assert conductor.wait(SECONDS) == 0, processes.log("run")
    check_done(federation)
    assert sent(federation.sites[victim]) >= 1


@pytest.mark.slow
@pytest.mark.parametrize("file", ["safetensors", "json"])
def test_the_coordinator_is_killed_after_the_sum(study, until, processes, file) -> None:
    """It has opened the sum and has not kept it: the sites send the very same vectors again, and pay once."""
    federation = study()
    mark = federation.plant("run", f"before:*/checkpoints/.round-00001.{file}.*")
    conductor = begun(federation, until)
    assert conductor.wait(SECONDS) == -9 and mark.exists(), processes.log("run")
    before = parts(federation)
    assert len(before) == 3 and {len(rows) for rows in charges(federation).values()} == {1}
    assert federation.conduct("resume").wait(SECONDS) == 0, processes.log("run")
    assert parts(federation) == before
    check_done(federation)


@pytest.mark.slow
def test_a_sum_on_a_prior_that_every_site_approves(study, until, processes) -> None:
    federation = study()
    conductor = begun(federation, until)
    assert conductor.wait(SECONDS) == 0, processes.log("run")
    check_done(federation)
