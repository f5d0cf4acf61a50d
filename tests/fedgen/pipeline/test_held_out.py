"""A site without audit patients ends a study before anything is spent; one without test patients is told of."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from fedgen.data.index import PatientIndex, write_index
from fedgen.data.prepare import Prepared
from fedgen.data.site_data import Part, SiteData
from fedgen.errors import DataError, ExitCode
from fedgen.pipeline.runner import run_stages


def without(data: SiteData, part: Part) -> SiteData:
    """The site as if nobody were in this part."""
    keep = data.parts != int(part)
    _, patients = torch.unique(data.patients[keep], return_inverse=True)
    return dataclasses.replace(
        data, images=data.images[keep], labels=data.labels[keep], patients=patients, parts=data.parts[keep]
    )


@pytest.fixture
def lacking(
    monkeypatch: pytest.MonkeyPatch, tiny_site: Callable[..., SiteData], simulation: Callable[..., Any]
) -> Callable[..., Any]:
    """`lacking(Part.AUDIT, "south")`: a run whose sites have nobody in a part."""

    def build(part: Part, *sites: str) -> Any:
        made = [tiny_site(name, 9, held_out=4) for name in ("north", "south")]
        made = [without(site, part) if site.site in sites else site for site in made]

        def prepare(
            study: Any, source: Any, run_data: Path, cache: Path, progress: Any, more: Any
        ) -> Prepared:
            write_index(run_data / "index.json", PatientIndex("table", ()))
            return Prepared(made, [], 0)

        monkeypatch.setattr("fedgen.pipeline.simulation.prepare_sites", prepare)
        return simulation()

    return build


@pytest.mark.parametrize("sites", [("north",), ("south",), ("north", "south")])
def test_no_audit_patients_end_a_simulation_before_round_1(lacking, watcher, sites) -> None:
    here = lacking(Part.AUDIT, *sites)
    with pytest.raises(DataError) as refused:
        run_stages(here, watcher.watcher)
    sentence = str(refused.value)
    assert refused.value.exit_code is ExitCode.DATA
    assert f"Site {sites[0]} has 13 patients and none of them is held out for the audit" in sentence
    assert "data.split.audit (0.15)" in sentence
    assert "audit.minimum_patients (10)" in sentence
    assert "\n" not in sentence
    assert not list(here.work.run.path.rglob("ledger.jsonl"))
    assert not list(here.work.run.checkpoints.glob("*"))
    assert "synthesize" not in watcher.told
    assert 1 not in watcher.told


def test_without_test_patients_a_run_ends_and_says_so(lacking, watcher) -> None:
    here = lacking(Part.TEST, "north", "south")
    run_stages(here, watcher.watcher)
    assert here.work.run.read_json("run.json")["status"] == "done"
    for file in ("evaluation.json", "report.html"):
        assert "There is no test patient." in (here.work.run.path / file).read_text(encoding="utf-8"), file
