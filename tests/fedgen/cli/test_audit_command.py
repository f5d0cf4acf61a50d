"""`fedgen audit FOLDER --train A --held-out B`: images of any tool, and never a guess whether a run is meant."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.ndimage import zoom
from typer.testing import CliRunner

from fedgen.cli.main import app
from fedgen.errors import DataError, GateError, StudyError
from fedgen.evidence.audit.spaces import SPACES, THUMBNAIL
from fedgen.evidence.same_scale import same_scale
from fedgen.run.directory import RunDirectory
from fedgen.run.evidence_files import AuditFile
from fedgen.run.row import Verdict

runner = CliRunner()


def pictures(seed, n):
    rng = np.random.default_rng(seed)
    small = rng.normal(size=(n, 6, 6))
    return [np.clip(128 + 25 * zoom(image, 32 / 6, order=3), 0, 255).astype(np.uint8) for image in small]


def write(folder, images, names):
    folder.mkdir()
    for image, name in zip(images, names, strict=True):
        Image.fromarray(image).save(folder / f"{name}.png")
    return folder


@pytest.fixture
def folders(tmp_path, monkeypatch):
    """Two images a patient in both real folders; `made(copies)` with so many copies of training images."""
    monkeypatch.setenv("FEDGEN_CACHE", str(tmp_path / "cache"))
    for space in set(SPACES) - {THUMBNAIL}:
        monkeypatch.delitem(SPACES, space)
    images = pictures(0, 60)
    rng = np.random.default_rng(2)
    twice = [np.clip(image + rng.normal(0, 3, image.shape), 0, 255).astype(np.uint8) for image in images]
    both = [each for pair in zip(images, twice, strict=True) for each in pair]
    train, held = both[:80], both[80:]
    write(tmp_path / "train", train, [f"p{i // 2:03d}_{i % 2}" for i in range(80)])
    write(tmp_path / "held", held, [f"q{i // 2:03d}_{i % 2}" for i in range(40)])

    def made(copies):
        strangers = pictures(1, 40 - copies)
        return write(tmp_path / "made", [*strangers, *images[:copies]], [f"s{i:03d}" for i in range(40)])

    return made


def call(made, *more):
    base = made.parent
    options = ["--train", str(base / "train"), "--held-out", str(base / "held"), "--size", "32,32"]
    return runner.invoke(app, ["audit", str(made), *options, *more])


def test_copies_fail_with_a_code_a_page_and_a_list_by_file(folders):
    made = folders(4)
    result = call(made, "--patient-rule", "([pq][0-9]+)_")
    assert isinstance(result.exception, GateError), result.output
    out = made.parent / "made-audit"
    audit = AuditFile.read(RunDirectory(out))
    assert audit.n["train_patients"] == 40 and audit.n["audit_patients"] == 20
    assert not {"model-membership", "dataset-inference"} & {row.id for row in audit.rows}
    listed = json.loads((out / "site-only" / "copies.json").read_text())["entries"]
    equal = {entry["synthetic_file"]: entry["image_file"] for entry in listed if entry["kind"] == "equal"}
    assert set(equal) == {f"s{i:03d}.png" for i in range(36, 40)}
    assert equal["s036.png"].startswith("p000_")
    page = (out / "audit.html").read_text()
    assert "FAIL" in page and "real patients" in page
    assert len(list(made.iterdir())) == 40


def test_where_nothing_names_patients_each_image_is_one_and_that_is_said_first(folders):
    made = folders(0)
    # Whatever the verdict: pairs of one person that count as two spoil it.
    result = call(made)
    assert "each of its 80 images counts as a person" in " ".join(result.output.split())
    out = made.parent / "made-audit"
    audit = AuditFile.read(RunDirectory(out))
    assert "counts as a person" in audit.limits[0]
    assert audit.n["train_patients"] == 80
    assert "counts as a person" in (out / "audit.html").read_text()


def test_of_images_on_another_scale_nothing_is_concluded(folders):
    made = folders(4)
    for path in made.glob("*.png"):
        Image.fromarray((np.asarray(Image.open(path)) // 4).astype(np.uint8)).save(path)
    result = call(made, "--patient-rule", "([pq][0-9]+)_")
    assert "darker than nearly all real ones" in " ".join(result.output.split())
    out = made.parent / "made-audit"
    assert "If they were saved on another scale" in (out / "audit.html").read_text()
    audit = AuditFile.read(RunDirectory(out))
    scale = next(row for row in audit.rows if row.id == "same-scale")
    assert scale.verdict is Verdict.INSUFFICIENT
    assert audit.verdict in (Verdict.INSUFFICIENT, Verdict.FAIL)
    assert any(reason.startswith("Intensity scale: ") for reason in audit.reasons)


def test_other_scale_asks_for_more_than_a_generator_that_is_a_little_dark():
    real = torch.rand(200, 1, 4, 4, generator=torch.Generator().manual_seed(0)) * 2 - 1
    assert same_scale(real, real[:50] - 0.02).verdict is Verdict.PASS
    bright = same_scale(real, real[:50] * 0.1 + 0.8)
    assert bright.verdict is Verdict.INSUFFICIENT
    assert "brighter" in (bright.reason or "")
    means = (real.flatten(1).mean(dim=1) / 2 + 0.5).numpy()
    assert [value.value for value in bright.values[1:]] == pytest.approx(np.quantile(means, [0.01, 0.99]))


def test_who_is_in_both_folders_is_refused(folders):
    made = folders(0)
    (made.parent / "train" / "q000_0.png").write_bytes((made.parent / "train" / "p001_0.png").read_bytes())
    result = call(made, "--patient-rule", "([pq][0-9]+)_")
    assert isinstance(result.exception, DataError)
    assert "1 patient is in the training and in the held-out folder" in str(result.exception)


@pytest.mark.parametrize("where", ["made", "train", "held"])
def test_a_run_is_no_folder_of_images(folders, where):
    made = folders(0)
    (made.parent / where / "study.yaml").write_text("")
    result = call(made)
    assert isinstance(result.exception, DataError)
    assert "is the folder of a run, not of images" in str(result.exception)


def test_a_folder_without_options_is_a_run_or_nothing(folders):
    result = runner.invoke(app, ["audit", str(folders(0))])
    assert isinstance(result.exception, DataError)
    assert "is not a run folder" in str(result.exception)


@pytest.mark.parametrize("option", ["--train", "--held-out"])
def test_one_option_alone_is_an_error(folders, option):
    result = runner.invoke(app, ["audit", str(folders(0)), option, "."])
    assert isinstance(result.exception, StudyError)


def test_one_folder_given_twice_is_an_error(folders):
    made = folders(0)
    both = str(made.parent / "train")
    result = runner.invoke(app, ["audit", str(made), "--train", both, "--held-out", both])
    assert isinstance(result.exception, DataError)
    assert "hold the same images" in str(result.exception)


@pytest.mark.parametrize("option", [("--size", "a,b"), ("--window", "1"), ("--size", "31,31")])
def test_an_option_that_is_no_number_is_an_error(folders, option):
    assert isinstance(call(folders(0), *option).exception, StudyError)
