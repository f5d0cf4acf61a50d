"""The typed files of a run: what is written is read back, and nothing else is."""

from __future__ import annotations

import json
from typing import Any

import pytest

from fedgen.errors import DataError
from fedgen.run.directory import RunDirectory
from fedgen.run.evidence_files import AuditFile, EvaluationFile
from fedgen.run.privacy_file import PrivacyFile, SitePrivacy
from fedgen.run.run_file import RunFile
from fedgen.run.source_file import SourceFile
from fedgen.run.summary import DataEntry, Parts, RunSummary, SiteEntry, update_summary

PRIVACY = PrivacyFile(
    unit="patient",
    mode="local",
    statement="A claim.",
    epsilon=1.5,
    delta=1e-3,
    accountant="PRV",
    holds_against="everybody",
    clipping_norm=1.0,
    multiplicity=1,
    images_per_patient=2,
    shared_patients=None,
    start=None,
    sites=(SitePrivacy(site="north", patients=9, sampling_rate=0.5, noise_multiplier=1.0, steps=4, epsilon=1.5,
                       epsilon_rdp=1.6),),
    limits=("A limit.",),
)  # fmt: skip
SUMMARY = RunSummary(
    status="done",
    sites=(SiteEntry(site="north", parts=Parts(train=9)),),
    data=DataEntry(source="federation"),
    privacy=PRIVACY.entry(),
    timings={"train": 1.25},
)


@pytest.fixture
def run(tmp_path) -> RunDirectory:
    return RunDirectory(tmp_path)


@pytest.mark.parametrize("file", [PRIVACY, SUMMARY, SourceFile(source="/images"), SourceFile(source=None)])
def test_a_file_is_read_back_as_it_was_written(run, file: RunFile) -> None:
    file.write(run)
    assert type(file).read(run) == type(file).find(run) == file


@pytest.mark.parametrize("kind", [RunSummary, PrivacyFile, SourceFile, AuditFile, EvaluationFile])
@pytest.mark.parametrize(
    ("written", "says"),
    [
        ({}, "a version before 2"),
        ({"version": 1}, "version 1"),
        ({"version": 3}, "version 3"),
        ({"version": "2"}, "a version before 2"),
    ],
)
def test_a_file_of_another_version_is_refused_with_the_next_step(run, kind, written: Any, says) -> None:
    run.write_json(kind.name, {"status": "done", **written})
    with pytest.raises(DataError) as refused:
        kind.read(run)
    assert str(refused.value) == (
        f"{run.path / kind.name} has the form of {says} and this fedgen reads version 2: start a new run, or open "
        "this one with the fedgen that wrote it."
    )


@pytest.mark.parametrize("kind", [RunSummary, PrivacyFile, SourceFile])
@pytest.mark.parametrize("change", [{"something": 1}, {"status": 3, "unit": 3, "source": 3}])
def test_what_is_not_in_the_form_is_damage(run, kind, change) -> None:
    whole = {RunSummary: SUMMARY, PrivacyFile: PRIVACY, SourceFile: SourceFile(source=None)}[kind]
    whole.write(run)
    found = json.loads((run.path / kind.name).read_text())
    run.write_json(kind.name, {**found, **change})
    with pytest.raises(DataError, match=rf"{kind.name} is damaged \((something|status|unit|source)"):
        kind.read(run)


def test_what_has_not_been_written_is_not_there(run) -> None:
    assert RunSummary.find(run) is None
    with pytest.raises(DataError, match="run the stage that writes it first"):
        RunSummary.read(run)


def test_update_summary_merges_what_was_set_and_writes_nothing_else(run) -> None:
    update_summary(run, RunSummary(status="running", seed=1))
    update_summary(run, RunSummary(status="done", rounds=2))
    assert json.loads((run.path / "run.json").read_text()) == {
        "version": 2,
        "status": "done",
        "seed": 1,
        "rounds": 2,
    }
    # An entry can be taken back, which is not the same as not being said.
    update_summary(run, RunSummary(rounds=None))
    assert RunSummary.read(run).rounds is None
    assert RunSummary.read(run).seed == 1


def test_a_summary_that_cannot_be_read_is_not_written_over(run) -> None:
    run.write_json("run.json", {"status": "done"})
    with pytest.raises(DataError, match="version before 2"):
        update_summary(run, RunSummary(status="running"))
    assert json.loads((run.path / "run.json").read_text()) == {"status": "done"}
