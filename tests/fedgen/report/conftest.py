"""Finished runs as the stages leave them: a simulation of four tiny sites, and a federation of the same."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError

from fedgen.data.index import PatientIndex, write_index
from fedgen.data.prepare import Prepared
from fedgen.data.site_data import SiteData
from fedgen.federation.coordinator.aggregation import PlainAggregator
from fedgen.federation.exchange.direct import DirectExchange
from fedgen.federation.site.site import Site
from fedgen.pipeline.assessment import Assessor
from fedgen.pipeline.federation import FederationSetting
from fedgen.pipeline.runner import run_stages
from fedgen.pipeline.simulation import Simulation
from fedgen.pipeline.workspace import Workspace
from fedgen.recipe import Recipe
from fedgen.run.directory import RunDirectory
from fedgen.run.run_file import RunFile
from fedgen.study.show import dump_study
from fedgen.study.study import Study

CLASSES = ("COVID-19", "Other pneumonia")
#: Site to its patients in training, and in each of the two other parts.
SITES = {"australia_americas": (15, 9), "hannover": (12, 9), "iberia": (9, 4), "wien": (10, 9)}
WITHHOLDS = "wien"


@pytest.fixture(scope="session")
def chest_study(tiny_study: Callable[..., Study]) -> Study:
    """A study whose every stage is quick."""
    return tiny_study(
        study={
            "name": "chest-xray",
            "seed": 3,
            "description": "Chest X-rays of four sites, one family, DP at each site.",
        },
        data={"image_size": (16, 16), "labels": CLASSES, "images_per_patient": 2},
        training={"rounds": 3},
        privacy={"epsilon": 8.0},
        synthesis={"images": 20},
        audit={"bootstrap": 100, "minimum_patients": 8},
        evaluation={"seeds": 2, "steps": 2, "bootstrap": 100},
    )


@pytest.fixture(scope="session")
def chest_sites(tiny_site: Callable[..., SiteData]) -> list[SiteData]:
    """hannover has one class alone, and iberia has too few patients to be judged."""
    made = [tiny_site(name, train, held_out=held_out) for name, (train, held_out) in SITES.items()]
    classes = [replace(site, classes=CLASSES) for site in made]
    classes[1] = replace(classes[1], labels=torch.zeros_like(classes[1].labels))
    return classes


@pytest.fixture(scope="session")
def template_run(
    tmp_path_factory: pytest.TempPathFactory,
    chest_study: Study,
    chest_sites: list[SiteData],
    quick_plans: None,
) -> Path:
    """A finished simulation that tests copy, and never change."""

    def prepare(study: Any, source: Any, run_data: Path, cache: Path, progress: Any, more: Any) -> Prepared:
        write_index(run_data / "index.json", PatientIndex("table", ()))
        return Prepared(chest_sites, [], 0)

    def reach_virtual_sites(recipe: Any, sites: Any, run: Any, main: Any) -> Any:
        return main(DirectExchange([Site(recipe, site, run.site(site.site)) for site in sites]))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("fedgen.pipeline.simulation.reach_virtual_sites", reach_virtual_sites)
        patch.setattr("fedgen.pipeline.simulation.prepare_sites", prepare)
        out = tmp_path_factory.mktemp("template")
        # Images of patients, of whom none exists: a folder was given, so the page must warn.
        here = Simulation.create(chest_study, out / "images", out)
        run_stages(here)
    return here.work.run.path


@pytest.fixture(scope="session")
def nullable() -> Callable[[type[RunFile], Any], list[str]]:
    """`nullable(RunSummary, content)`: entries of a file that may be null."""

    def fits(kind: type[RunFile], content: Any) -> bool:
        try:
            kind.model_validate_json(json.dumps(content))
        except ValidationError:
            return False
        return True

    return lambda kind, content: [key for key in content if fits(kind, {**content, key: None})]


@pytest.fixture
def finished_run(template_run: Path, tmp_path: Path) -> RunDirectory:
    """A finished simulation."""
    return RunDirectory(Path(shutil.copytree(template_run, tmp_path / "chest-xray-20260101T100000Z")))


@pytest.fixture(scope="session")
def federated_template(
    tmp_path_factory: pytest.TempPathFactory,
    chest_study: Study,
    chest_sites: list[SiteData],
    quick_plans: None,
) -> Path:
    """A finished federation of the same sites, of which the last lets no number leave."""
    folder = tmp_path_factory.mktemp("federation")
    run, recipe = RunDirectory(folder / "run"), Recipe.of(chest_study)
    run.path.mkdir()
    run.study.write_text(dump_study(chest_study))
    sites = []
    for data in chest_sites:
        leaves = frozenset({"loss"}) if data.site == WITHHOLDS else frozenset({"loss", "audit", "evaluation"})
        own = folder / data.site
        sites.append(Site(recipe, data, own, assessor=Assessor(recipe, data, own, leaves)))
    run_stages(FederationSetting(Workspace(run, chest_study), DirectExchange(sites), PlainAggregator()))
    return run.path


@pytest.fixture
def federated_run(federated_template: Path, tmp_path: Path) -> RunDirectory:
    """A finished federation, as its coordinator has it."""
    return RunDirectory(Path(shutil.copytree(federated_template, tmp_path / "chest-xray-20260102T100000Z")))


@pytest.fixture
def made(template_run: Path, tmp_path: Path) -> Callable[..., Path]:
    """`made("one", seed=2, epsilon=1.0, score=0.7)`: a run like the template, with what is named changed."""

    def build(
        name: str, *, score: float | None = None, gone: str = "", model: str = "", **changes: Any
    ) -> Path:
        path = tmp_path / name
        shutil.copytree(template_run, path)
        summary = json.loads((path / "run.json").read_text())
        summary["model"]["sha256"] = hashlib.sha256((model or name).encode()).hexdigest()
        (path / "run.json").write_text(json.dumps(summary))
        study = (path / "study.yaml").read_text()
        for before, after in changes.get("study", {}).items():
            assert before in study, before
            study = study.replace(before, after)
        (path / "study.yaml").write_text(study)
        if score is not None:
            file = path / "evaluation.json"
            value = json.loads(file.read_text())
            for row in value["pooled"]:
                if row["id"] == "TSTR":
                    row["values"][0] |= {
                        "name": "AUROC",
                        "value": score,
                        "low": score - 0.1,
                        "high": score + 0.1,
                    }
            file.write_text(json.dumps(value))
        if gone:
            (path / gone).unlink()
        return path

    return build
