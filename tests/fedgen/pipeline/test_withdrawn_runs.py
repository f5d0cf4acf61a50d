"""A patient is taken out of a simulation: resumed or assessed again, no step and no audit reads her."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

from fedgen.cli.main import app
from fedgen.data.index import PatientIndex
from fedgen.data.phantom.write import write_phantom
from fedgen.data.pseudonyms import own_pseudonyms
from fedgen.data.site_data import Part
from fedgen.errors import DataError
from fedgen.federation.site.site import Site
from fedgen.pipeline.runner import run_again, run_stages
from fedgen.pipeline.simulation import Simulation
from fedgen.pipeline.stages import ASSESS
from fedgen.protocol.messages import TrainRound
from fedgen.protocol.receipt import SiteReceipt, Withdrawn
from fedgen.run_view import RunView
from fedgen.study.data import Phantom
from fedgen_privacy.ledger import Ledger


@pytest.fixture
def hospitals(tmp_path: Path) -> Path:
    folder = tmp_path / "hospitals"
    write_phantom(folder, Phantom(sites=2, patients=16), 1, (32, 32))
    return folder


def patients_of(here: Simulation, part: Part, site: str) -> list[str]:
    """Identities of a site's patients in a part, by split.json."""
    import json

    from fedgen.data.join_folders import index_folders

    value = json.loads((here.work.run.data / "split.json").read_text())
    ours = own_pseudonyms()
    salted = ours.of_run(value["salt"])
    assert here.folder is not None
    index: PatientIndex = index_folders((here.folder,), here.work.study.data)
    return [
        patient
        for patient in sorted({entry.patient for entry in index.entries if entry.site == site})
        if value["patients"][salted.patient(ours.patient(patient))] == part.name.lower()
    ]


# Slow: two trainings of DICOM phantoms. What it puts together is tested apart: the list and the split
# (test_withdrawals.py), a hospital's next task (test_withdraw.py), and what is signed (test_receipts.py).
@pytest.mark.slow
def test_out_of_the_second_round_and_of_every_audit(
    hospitals: Path, tmp_path: Path, tiny_study: Any, direct: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = Simulation.create(
        tiny_study(
            data={"modality": "T1w", "image_size": (32, 32)},
            training={"rounds": 2},
            audit={"bootstrap": 100, "minimum_patients": 2},
        ),
        hospitals,
        tmp_path / "runs",
    )
    run, real = here.work.run, Site.answer

    def stopped(self: Site, task: Any) -> Any:
        if isinstance(task, TrainRound) and task.round == 2:
            raise KeyboardInterrupt
        return real(self, task)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Site, "answer", stopped)
        run_stages(here)
    first = here.sites[0].site
    trained, held_out = patients_of(here, Part.TRAIN, first)[0], patients_of(here, Part.AUDIT, first)[0]
    before = {site.site: site for site in here.sites}
    outcome = CliRunner().invoke(app, ["withdraw", str(run.path), trained, held_out])
    assert outcome.exit_code == 0, outcome.output
    assert "2 of 2 are in its data" in outcome.output
    assert trained not in outcome.output and held_out not in outcome.output

    seen: list[int] = []
    monkeypatch.setattr(Site, "answer", lambda self, task: noting(self, task))

    def noting(self: Site, task: Any) -> Any:
        if isinstance(task, TrainRound) and self.name == first:
            seen.append(self._rounds._here.cohort.n_records)
        return real(self, task)

    again = Simulation.open(run.path)
    run_stages(again)
    n = before[first].part(Part.TRAIN).n_patients
    assert seen == [n - 1]
    # Read by nobody any more: neither training nor audit has an image of theirs.
    left = {site.site: site for site in again.sites}[first]
    assert left.enrolled_patients == n
    assert left.part(Part.AUDIT).n_patients == before[first].part(Part.AUDIT).n_patients - 1
    gone = [
        image for image in before[first].images if not any(torch.equal(image, kept) for kept in left.images)
    ]
    assert gone
    view = RunView(run)
    assert view.audit is not None
    counts = {site.site: site.n for site in view.audit.sites}[first]
    assert counts["train_patients"] == n - 1
    # N is what was stated, each round was charged once, and the receipt tells it by count.
    ledger = Ledger(run.site(first) / "ledger.jsonl")
    assert [row.round for row in ledger] == [1, 2]
    assert len({row.spend for row in ledger}) == 1
    receipt = SiteReceipt.model_validate_json(view.receipts[first].signed.text)
    assert receipt.withdrawn == (Withdrawn(after_round=1, patients=1),)
    assert {row.site: row.patients for row in view.privacy.sites}[first] == n if view.privacy else False
    for path in run.path.rglob("*"):
        assert not path.is_file() or trained.encode() not in path.read_bytes(), path

    # Somebody else, after the last round: assessed again, she is in no number.
    later = patients_of(again, Part.TRAIN, first)
    other = next(patient for patient in later if patient not in (trained, held_out))
    assert CliRunner().invoke(app, ["withdraw", str(run.path), other]).exit_code == 0
    (run.path / "assessments" / f"{run.site(first).name}.json").unlink()
    (run.site(first) / "assessment" / "audit.json").unlink()
    run_again(Simulation.open(run.path), ASSESS)
    view = RunView(run)
    assert view.audit is not None
    assert {site.site: site.n for site in view.audit.sites}[first]["train_patients"] == n - 2
    receipt = SiteReceipt.model_validate_json(view.receipts[first].signed.text)
    assert receipt.withdrawn == (
        Withdrawn(after_round=1, patients=1),
        Withdrawn(after_round=2, patients=1),
    )

    outcome = CliRunner().invoke(app, ["withdraw", str(run.path), "nobody"])
    assert isinstance(outcome.exception, DataError)
    assert "1 of the identities are of nobody in the data" in str(outcome.exception)
