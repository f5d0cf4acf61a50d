"""What a release holds, what it must not hold, and that equal runs, keys and acceptances give equal bytes."""

from __future__ import annotations

import base64
import csv
import json
import re
import zipfile
from typing import Any

import mlcroissant
import pytest

import fedgen
from fedgen.errors import DataError, GateError, StudyError
from fedgen.pipeline.sign_release import Acceptance, sign_release
from fedgen.release.archive import open_files
from fedgen.release.datasheet import datasheet
from fedgen.release.release_manifest import read_manifest
from fedgen.release.verify import verify
from fedgen.report.page import render
from fedgen.run.acceptance_file import AcceptanceFile
from fedgen.run.row import Verdict
from fedgen.run_view import RunView

NAMES = ("north", "south")

TOP = {
    "study.yaml", "datasheet.md", "report.html", "croissant.json", "manifest.json", "signature.json",
    "evidence/audit.json", "evidence/evaluation.json", "evidence/privacy.json",
    "evidence/assessments/north.json", "evidence/assessments/south.json",
    "receipts/north.json", "receipts/south.json",
    "images/labels.csv", "images/card.json", "images/synthetic.safetensors",
}  # fmt: skip


def test_what_is_in_it(released: Any, signer: Any) -> None:
    manifest = released.made.manifest
    there = {
        path.relative_to(released.folder).as_posix() for path in released.folder.rglob("*") if path.is_file()
    }
    images = {name for name in there if name.endswith((".png", ".nii.gz"))}
    assert len(images) == 16
    assert there - images == TOP
    assert set(manifest.files) == there - {"manifest.json", "signature.json"}
    assert manifest.signer.key == signer.public_key.hex()
    assert manifest.lineage.keys == "made for this run by the machine that simulated the sites"
    assert [(site.site, site.rounds, site.receipt, site.withdrawn) for site in manifest.lineage.sites] == [
        (name, ((1, 2),), True, ()) for name in NAMES
    ]
    assert manifest.licence == "CC0-1.0"
    assert read_manifest((released.folder / "manifest.json").read_bytes()) == manifest
    with zipfile.ZipFile(released.archive) as packed:
        assert {name.removeprefix("tiny/") for name in packed.namelist()} == there


def test_equal_runs_have_equal_bytes(released: Any, release_of: Any) -> None:
    before = released.archive.read_bytes()
    again = release_of(released.run)
    assert again.archive.read_bytes() == before
    assert again.manifest == released.made.manifest


def test_no_picture_of_a_patient_is_in_it(released: Any) -> None:
    """A simulation's own report has them; every picture in the released one is one of the synthetic set's."""
    figures = released.run.work.run.figures
    # Of three the first is the synthetic one.
    real = {path.read_bytes() for path in (figures / "neighbours").glob("*_0[23].png")}
    listed = json.loads((figures / "real_vs_synthetic.json").read_text())["rows"]
    tiles = {row["kind"]: set() for row in listed}
    for row in listed:
        tiles[row["kind"]] |= {(figures / file).read_bytes() for file in row["files"]}
    real |= tiles["real"] - tiles["synthetic"]
    assert real
    shown = embedded(render(RunView(released.run.work.run)))
    page = (released.folder / "report.html").read_text()
    # The test would see them: they are in the run's own page.
    assert shown & real
    assert embedded(page) and embedded(page) <= tiles["synthetic"]
    assert "Contains real" not in page and "The training images are phantoms" not in page
    for name, path in ((p.name, p) for p in released.folder.rglob("*") if p.is_file()):
        content = path.read_bytes()
        assert content not in real, name
        assert not any(tile in content for tile in real), name


def embedded(page: str) -> set[bytes]:
    return {base64.b64decode(found) for found in re.findall(r"data:image/png;base64,([A-Za-z0-9+/=]+)", page)}


def test_a_report_that_shows_one_all_the_same_is_refused(
    run: Any, release_of: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    view = RunView(run.work.run)
    real = render(view)
    monkeypatch.setattr("fedgen.report.handed_on.render", lambda *args, **options: real)
    with pytest.raises(DataError, match="they may be patients'"):
        release_of(run)
    assert not list((run.work.run.path / "release").glob("*.zip"))


def test_the_datasheet_says_what_the_run_says(released: Any) -> None:
    text = (released.folder / "datasheet.md").read_text()
    for heading in (
        "Motivation", "Composition", "Collection process", "Preprocessing, cleaning, labeling", "Uses",
        "Distribution", "Maintenance",
    ):  # fmt: skip
        assert f"## {heading}\n" in text
    manifest = released.made.manifest
    assert manifest.privacy.statement in text
    assert f"**{manifest.gate.verdict}**" in text
    assert "8 synthetic images as png, nifti" in text
    assert "CC0-1.0" in text and manifest.signer.key in text
    assert "north: in rounds 1 to 2, epsilon" in text
    assert "Nobody's: the training images were phantoms" in text
    assert "None" not in text


def test_a_datasheet_never_calls_patients_anonymous(released: Any) -> None:
    manifest, view = released.made.manifest, RunView(released.run.work.run)
    lineage = manifest.lineage.model_copy(update={"source": "federation", "protected": ("north",)})
    text = datasheet(manifest.model_copy(update={"lineage": lineage}), view, None)
    assert "It is not called anonymous" in text and text.count("anonymous") == 1
    assert "With privacy: north. Without privacy: nobody's." in text
    assert "What is it worth? Nothing was measured." in text
    claim = manifest.privacy.model_copy(update={"epsilon": None, "delta": None, "mode": "none"})
    text = datasheet(manifest.model_copy(update={"lineage": lineage, "privacy": claim}), view, None)
    assert "It must be assumed: nothing bounds what the model learned of a single patient" in text


def test_nothing_of_this_machine_is_in_it(released: Any) -> None:
    for path in released.folder.rglob("*"):
        if path.is_file():
            assert str(released.run.work.run.path.parent).encode() not in path.read_bytes(), path.name


def test_a_catalogue_can_read_it(released: Any) -> None:
    told = json.loads((released.folder / "croissant.json").read_text())
    assert told["conformsTo"] == "http://mlcommons.org/croissant/1.0"
    assert told["license"] == "CC0-1.0"
    objects = {each["@id"]: each for each in told["distribution"] if each["@type"] == "cr:FileObject"}
    files = released.made.manifest.files
    for name, each in objects.items():
        assert each["sha256"] == files[name].sha256
    sets = [each["@id"] for each in told["distribution"] if each["@type"] == "cr:FileSet"]
    assert sets == ["images-nifti", "images-png"]
    known = {*objects, *sets}
    for records in told["recordSet"]:
        for field in records["field"]:
            source = field["source"]
            assert (source.get("fileObject") or source["fileSet"])["@id"] in known
    columns = (released.folder / "images/labels.csv").read_text().splitlines()[0].split(",")
    named = {
        field["source"]["extract"]["column"]
        for records in told["recordSet"]
        for field in records["field"]
        if "column" in field["source"]["extract"]
    }
    assert named <= set(columns)


def test_the_catalogues_own_reader_reads_each_image_with_its_label(released: Any) -> None:
    dataset = mlcroissant.Dataset(jsonld=released.folder / "croissant.json")
    assert not dataset.metadata.ctx.issues.errors
    with (released.folder / "images/labels.csv").open(newline="") as handle:
        rows = {row["image"]: row["label"] for row in csv.DictReader(handle)}
    pictures = {name: label for name, label in rows.items() if name.endswith(".png")}
    for records, expected in (("table", rows), ("records-png", pictures)):
        read = list(dataset.records(record_set=records))
        told = {row[f"{records}/image"].decode(): row[f"{records}/label"].decode() for row in read}
        assert told == expected
        assert len(read) == len(told) > 0


@pytest.mark.parametrize("verdict", [Verdict.FAIL, Verdict.INSUFFICIENT])
def test_what_nobody_can_accept(with_verdict: Any, verdict: Verdict, signer: Any, accepted: Any) -> None:
    run = with_verdict(verdict)
    for acceptance in (None, accepted):
        with pytest.raises(GateError, match=f"says {verdict}, which nobody can accept: Copies: planted"):
            sign_release(run.work, signer, signer.site, run.kept_keys, acceptance)
    assert not (run.work.run.path / "release").exists()


def test_a_review_is_accepted_by_name_and_reason(with_verdict: Any, signer: Any, accepted: Any) -> None:
    run = with_verdict(Verdict.REVIEW)
    with pytest.raises(GateError, match="--accept-review"):
        sign_release(run.work, signer, signer.site, run.kept_keys)
    for by, why in (("", "x"), ("x", " "), ("A\nB", "x"), ("x", "two\nlines")):
        with pytest.raises(StudyError, match="must each be one line"):
            sign_release(run.work, signer, signer.site, run.kept_keys, Acceptance(by, why))
    made = sign_release(run.work, signer, signer.site, run.kept_keys, accepted)
    noted = made.manifest.gate.accepted
    assert noted is not None and (noted.name, noted.why) == (accepted.by, accepted.why)
    assert accepted.why in (made.folder / "datasheet.md").read_text()
    # Noted: the same release can be packed again without asking that person again.
    assert sign_release(run.work, signer, signer.site, run.kept_keys).manifest == made.manifest
    # Of other evidence they have said nothing.
    note = AcceptanceFile.read(run.work.run)
    note.model_copy(update={"evidence_sha256": "0" * 64}).write(run.work.run)
    with pytest.raises(GateError, match="--accept-review"):
        sign_release(run.work, signer, signer.site, run.kept_keys)


def test_there_is_nothing_to_accept_in_a_pass(with_verdict: Any, signer: Any, accepted: Any) -> None:
    run = with_verdict(Verdict.PASS)
    with pytest.raises(StudyError, match="nothing to accept"):
        sign_release(run.work, signer, signer.site, run.kept_keys, accepted)
    assert sign_release(run.work, signer, signer.site, run.kept_keys).manifest.gate.accepted is None


def test_evidence_of_other_images_is_not_evidence(run: Any, release_of: Any) -> None:
    from fedgen.data.site_data import LabelledImages
    from fedgen.pipeline.question import question_of
    from fedgen.pipeline.release import _provenance
    from fedgen.synthesis.samples import write_samples

    work = run.work
    asked = question_of(work)
    other = LabelledImages(-asked.images, asked.labels)
    grid = RunView(work.run).summary.image
    write_samples(work.run.samples, other, work.study.data.labels, ("png",), grid, about=_provenance(work))
    with pytest.raises(DataError, match="evidence of another model or other images"):
        release_of(run)


def test_it_is_loaded_after_it_was_verified(released: Any, signer: Any) -> None:
    from_folder = fedgen.load_release(released.folder)
    from_archive = fedgen.load_release(released.archive, key=signer.public_key.hex())
    of_run = fedgen.load_release(released.run.work.run.path)
    for images in (from_folder, from_archive):
        assert len(images) == 8 and images.classes == of_run.classes
        for number in range(8):
            one, other = images[number], of_run[number]
            assert one.label == other.label
            assert (one.image == other.image).all()
    with pytest.raises(DataError, match="signed with another key"):
        fedgen.load_release(released.folder, key="0" * 64)
    with pytest.raises(DataError, match="is not signed"):
        fedgen.load_release(released.run.work.run.path, key="0" * 64)
    assert verify(open_files(released.archive)).wrong == ()
