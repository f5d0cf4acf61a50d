"""What commands about data, priors, plans and the self-test print for a program fits the form that they tell."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from fedgen.cli.as_json import told
from fedgen.cli.data_told import (
    DecodedCache,
    IndexedFolder,
    InspectedFolder,
    InspectedPhi,
    ToldExclusion,
    WrittenPhantom,
)
from fedgen.cli.main import app
from fedgen.cli.plan_told import PlannedStudy
from fedgen.cli.prior import ShownPrior
from fedgen.cli.selftest import document
from fedgen.schema.section import Section
from fedgen.selftest import run as selftest_run
from fedgen.selftest.finding import CheckResult


def run(*arguments: object) -> Result:
    found = CliRunner().invoke(app, [*map(str, arguments), "--json"])
    assert found.exit_code == 0, found.output
    return found


def as_told(model: type[Section], found: Result) -> None:
    """Its standard output is one object of this form, every key of it."""
    parsed = model.model_validate_json(found.stdout)
    assert parsed.model_dump_json(indent=1) + "\n" == found.stdout


@pytest.fixture(scope="module")
def phantom(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Result]:
    folder = tmp_path_factory.mktemp("told") / "phantom"
    return folder, run("data", "phantom", folder, "--sites", 2, "--patients", 4, "--size", 32)


def test_of_data(phantom: tuple[Path, Result], tmp_path: Path) -> None:
    folder, written = phantom
    as_told(WrittenPhantom, written)
    indexed = run("data", "index", folder, "--modality", "T1w", "--out", tmp_path / "index.json")
    as_told(IndexedFolder, indexed)
    assert IndexedFolder.model_validate_json(indexed.stdout).counts.patients == 8
    as_told(InspectedFolder, run("data", "inspect", folder))
    as_told(InspectedPhi, run("data", "inspect", folder, "--phi"))
    as_told(DecodedCache, run("data", "cache", "--folder", tmp_path / "cache"))


def test_of_a_prior(tmp_path: Path) -> None:
    out = tmp_path / "prior.safetensors"
    made = CliRunner().invoke(
        app, ["prior", "build", "--out", str(out), "--size", "16x16", "--components", "4"]
    )
    assert made.exit_code == 0, made.output
    shown = run("prior", "show", out)
    as_told(ShownPrior, shown)
    assert ShownPrior.model_validate_json(shown.stdout).sha256 in made.output


def test_of_a_plan() -> None:
    as_told(PlannedStudy, run("privacy", "plan", "demo_gradients"))


def test_of_the_self_test() -> None:
    lost = CheckResult("noise", "all", False, math.nan, 1.0, "<=", "No noise.")
    found = document(
        selftest_run.Result((lost,), (selftest_run.Caught("no noise", "vae", ("noise",)),)), "cpu"
    )
    assert (found.passed, found.findings[0].measured, found.faults[0].by) == (False, None, ("noise",))


def test_a_key_that_the_form_does_not_know_is_an_error() -> None:
    with pytest.raises(ValueError, match="more"):
        told(ToldExclusion, {"reason": "small", "count": 1, "more": 2})
