"""`fedgen-server demo`: coordinator and hospitals as real processes, from phantom patients to the report."""

from __future__ import annotations

import json
from pathlib import Path

from fedgen.study.load import load_study
from fedgen_privacy.accounting import epsilon_prv
from fedgen_privacy.ledger import Ledger

STUDY = """
study: {name: tiny, seed: 3}
data:
  modality: T1w
  image_size: [16, 16]
  images_per_patient: 2
  phantom: {sites: 3, patients: 36}
model:
  family: vae
  vae: {channels: [4, 8], latent_size: 4}
training: {rounds: 2, local_steps: 2, batch_patients: 8}
privacy: {epsilon: 10, delta: 1.0e-3}
aggregation: {minimum_sites: 3, weight_cap: 64}
synthesis: {images: 12}
audit: {bootstrap: 100}
evaluation: {extractors: [radiomics], seeds: 1, steps: 5, bootstrap: 100}
"""
SITES = ["Ashford", "Brookside", "Cedarhill"]


def test_one_command_trains_to_the_report(processes, tmp_path) -> None:
    (tmp_path / "tiny.yaml").write_text(STUDY)
    done = processes.run(
        "-m",
        "fedgen_server.cli",
        "demo",
        "--sites",
        "3",
        "--study",
        "tiny.yaml",
        "--out",
        "out",
        seconds=600.0,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for command in ("init", "invite", "join", "check", "approve", "start --once", "ledger"):
        assert f" {command}" in done.stdout, command
    (out,) = (tmp_path / "out").glob("federation-tiny-*")
    (run,) = (out / "coordinator" / "runs").iterdir()
    summary = json.loads((run / "run.json").read_text())
    assert summary["status"] == "done" and summary["rounds"] == 2
    secure = summary["secure_aggregation"]
    assert secure["enabled"] and secure["survivors"] == {"1": SITES, "2": SITES} and not secure["aborts"]
    assert (run / "report.html").stat().st_size > 10_000
    assert len(list((run / "samples").glob("*.png"))) == 12
    told = {row["site"]: row for row in json.loads((run / "privacy.json").read_text())["sites"]}
    for name in SITES:
        ledger = Ledger(out / "sites" / name / "ledgers" / "main.jsonl")
        assert [row.round for row in ledger] == [1, 2]
        assert told[name]["epsilon"] == epsilon_prv(ledger.spends(), 1e-3) <= 10
    # the very split that a simulation of the same study makes: each hospital alone comes to the same patients
    assert {name: row["patients"] for name, row in told.items()} == simulated(tmp_path)
    # nothing that was started outlives the command
    assert not [p for p in Path("/proc").glob("[0-9]*/cmdline") if str(out).encode() in _read(p)]


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
