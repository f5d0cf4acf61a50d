"""The commands: exit codes, what is said, and what a person is told to do next."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner, Result

import fedgen
from fedgen.cli.main import app
from fedgen.errors import DataError, ExitCode, FedgenError, GateError, StudyError
from fedgen.run.row import Verdict


def invoke(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(each) for each in arguments])


def refused(kind: type[FedgenError], *arguments: str | Path) -> str:
    outcome = invoke(*arguments)
    assert isinstance(outcome.exception, kind), outcome.output
    return str(outcome.exception)


def test_a_release_is_made_verified_and_loaded(run: Any, with_verdict: Any, tmp_path: Path) -> None:
    with_verdict(Verdict.PASS)
    made = invoke("release", run.work.run.path)
    assert made.exit_code == 0, made.output
    key = next(line for line in made.output.splitlines() if line.startswith("key: ")).removeprefix("key: ")
    archive = run.work.run.path / "release/tiny.zip"
    assert f"fedgen verify tiny.zip --key {key}" in made.output
    # One's own key: the next release has the same.
    assert f"key: {key}" in invoke("release", run.work.run.path).output

    verified = invoke("verify", archive, "--key", key)
    # The verdict was planted, so the audit is not what the sites' numbers give; everything else holds.
    assert "ok           signature:" in verified.output and "ok           whose key:" in verified.output
    (tmp_path / "key.txt").write_text(f"{key}\n")
    assert "ok           whose key:" in invoke("verify", archive, "--key", tmp_path / "key.txt").output
    assert "WRONG        whose key:" in invoke("verify", archive, "--key", "0" * 64).output
    assert "not checked  whose key:" in invoke("verify", archive).output
    assert "is no Ed25519 public key" in refused(DataError, "verify", archive, "--key", "abc")
    assert "must be NAME=PUBLIC" in refused(StudyError, "verify", archive, "--site", "0" * 64)


def test_what_was_changed_ends_with_a_code(released: Any, tmp_path: Path) -> None:
    assert invoke("verify", released.archive).exit_code == 0
    folder = tmp_path / "tiny"
    shutil.copytree(released.folder, folder)
    (folder / "datasheet.md").write_text("Nobody's patients.")
    said = refused(DataError, "verify", folder)
    assert "is NOT what was signed" in said and DataError.exit_code is ExitCode.DATA
    for use in (lambda: fedgen.load_release(folder), lambda: invoke_load(folder, tmp_path)):
        with pytest.raises(DataError, match=r"not what was signed.*datasheet.md was changed"):
            use()


def invoke_load(folder: Path, tmp_path: Path) -> None:
    outcome = invoke("load", folder, "--out", tmp_path / "a.npz")
    assert outcome.exception is not None
    raise outcome.exception


def test_arrays_are_those_of_the_files(released: Any, tmp_path: Path) -> None:
    out = tmp_path / "arrays.npz"
    assert invoke("load", released.archive, "--out", out, "--format", "png").exit_code == 0
    images = fedgen.load_release(released.folder, "png")
    with np.load(out) as arrays:
        assert arrays["images"].shape == (8, 1, 16, 16) and arrays["classes"].tolist() == list(images.classes)
        assert arrays["labels"].tolist() == list(images.labels)
        assert arrays["spacing"].shape == (8, 2)
        for number in range(8):
            assert (arrays["images"][number] == images[number].image.numpy()).all()
    assert "exists: name another file" in refused(StudyError, "load", released.archive, "--out", out)
    assert "must end in .npz" in refused(StudyError, "load", released.archive, "--out", tmp_path / "a.csv")


def test_a_review_needs_a_name_and_a_reason(with_verdict: Any) -> None:
    run = with_verdict(Verdict.REVIEW).work.run.path
    assert "which a person decides" in refused(GateError, "release", run)
    assert "give both" in refused(StudyError, "release", run, "--accept-review", "Fine.")
    assert "give both" in refused(StudyError, "release", run, "--by", "A. Officer")
    made = invoke("release", run, "--accept-review", "Fine.", "--by", "A. Officer")
    assert made.exit_code == 0 and "gate: REVIEW, accepted by A. Officer: Fine." in made.output
    assert json.loads((run / "acceptance.json").read_text())["by"] == "A. Officer"


@pytest.mark.parametrize("verdict", [Verdict.FAIL, Verdict.INSUFFICIENT])
def test_what_nobody_may_release_ends_with_code_six(with_verdict: Any, verdict: Verdict) -> None:
    run = with_verdict(verdict).work.run.path
    said = refused(GateError, "release", run, "--accept-review", "Fine.", "--by", "A. Officer")
    assert "nobody can accept" in said and GateError.exit_code == 6


def test_what_is_no_run_or_release(tmp_path: Path) -> None:
    assert "is not a run folder" in refused(DataError, "release", tmp_path)
    assert "neither a folder nor a zip" in refused(DataError, "verify", tmp_path / "x.zip")
    outcome = invoke("verify", tmp_path)
    assert "WRONG        manifest: There is none." in outcome.output
    (tmp_path / "study").mkdir()
    (tmp_path / "study/manifest.json").write_text("{}")
    outcome = invoke("verify", tmp_path)
    assert "manifest: There is none here, but study below holds one: name that folder." in outcome.output
    assert isinstance(outcome.exception, DataError)
