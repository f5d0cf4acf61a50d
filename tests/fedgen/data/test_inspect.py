"""The first look: it asks nothing, tells what is there, and ends with a section that works."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import yaml
from PIL import Image
from typer.testing import CliRunner

from fedgen.cli.data import app
from fedgen.data.build import build_index
from fedgen.data.inspect.as_it_lies import open_folder
from fedgen.data.inspect.columns import guess_columns, pick_table
from fedgen.data.inspect.look import inspect_data
from fedgen.data.inspect.report import Inspection
from fedgen.data.phantom.write import write_phantom
from fedgen.data.prepare import prepare_sites
from fedgen.data.table import read_table
from fedgen.errors import DataError
from fedgen.study.data import DataSection, Phantom
from fedgen.study.study import Study


def section(report: Inspection) -> dict[str, Any]:
    """The printed section, as a study file would be read."""
    value = yaml.safe_load(report.section)
    assert value.keys() - {"data"} == (set() if value["data"]["labels"] else {"task"})
    DataSection.model_validate(value["data"])
    return dict(value["data"])


def works(folder: Path, report: Inspection, tmp_path: Path) -> DataSection:
    """The printed section indexes and prepares the folder."""
    assert report.section_note == ""
    said = yaml.safe_load(report.section)
    study = Study.model_validate({"study": {"name": "t"}, "aggregation": {"secure": False}, **said})
    prepare_sites(study, folder, tmp_path / "prepared", tmp_path / "cache")
    return study.data


def test_a_table_with_columns_of_its_own(
    png_folder: Path, png_rows: Any, write_rows: Any, tmp_path: Path
) -> None:
    rows = [
        {
            "Subject ID": row["patient"],
            "File": row["image"],
            "Hospital": row["site"],
            "age": str(20 + n),
            "score": f"0.{n}",
            "Diagnosis": {"none": "normal", "lesion": "No"}[row["label"]],
            "sex": "MF"[n % 2],
        }
        for n, row in enumerate(png_rows)
    ]
    write_rows(png_folder / "metadata.csv", rows)
    report = inspect_data(png_folder)
    assert (report.layout, report.patients, report.images) == ("table", 16, 32)
    assert [each.column for each in report.labels] == ["Diagnosis", "sex"]
    data = works(png_folder, report, tmp_path)
    assert data.columns.model_dump() == {
        "image": "File", "patient": "Subject ID", "site": "Hospital", "label": "Diagnosis", "mask": None,
        "embedding": None,
    }  # fmt: skip
    assert set(data.labels) == {"normal", "No"}
    assert build_index(png_folder, data).n_images == 32


def test_without_patients_each_image_is_one(
    png_folder: Path, png_rows: Any, write_rows: Any, tmp_path: Path
) -> None:
    write_rows(
        png_folder / "metadata.csv", [{"image": row["image"], "label": row["label"]} for row in png_rows]
    )
    report = inspect_data(png_folder)
    assert report.patients == 32
    assert any("--patient-column" in finding.sentence for finding in report.findings)
    assert works(png_folder, report, tmp_path).columns.patient == "image"


def test_dicom_without_labels(tmp_path: Path) -> None:
    write_phantom(tmp_path / "p", Phantom(sites=2, patients=6), 1, (48, 48))
    (tmp_path / "p" / "labels.csv").unlink()
    for mask in (tmp_path / "p").rglob("*.png"):
        mask.unlink()
    report = inspect_data(tmp_path / "p")
    assert {(each.modality, each.series) for each in report.series} == {("MR", "T1w"), ("MR", "T2w")}
    assert sum(report.image_types.values()) == sum(each.files for each in report.series)
    data = works(tmp_path / "p", report, tmp_path)
    assert (data.labels, data.modality) == ((), "T1w")


def test_dicom_with_labels_and_a_table_about_something_else(tmp_path: Path) -> None:
    write_phantom(tmp_path / "p", Phantom(sites=2, patients=8), 1, (48, 48))
    (tmp_path / "p" / "devices.csv").write_text("serial,room\n1,2\n")
    report = inspect_data(tmp_path / "p")
    assert report.table == "labels.csv"
    files = sum(each.files for each in report.series)
    assert report.masks == {"mask": files, "tissue_mask": files}
    assert any("devices.csv names no image" in finding.sentence for finding in report.findings)
    (tmp_path / "p" / "devices.csv").unlink()
    assert works(tmp_path / "p", inspect_data(tmp_path / "p"), tmp_path).labels == ("none", "lesion")


def test_bids(bids_folder: Path, tmp_path: Path) -> None:
    report = inspect_data(bids_folder)
    assert report.masks == {"dseg": 4}
    assert report.spacings == {"2 x 2": report.images}
    assert {each.modality for each in report.series} == {"T1w", "T2w", "ce-gad_T1w"}
    data = section(report)
    assert (data["labels"], report.section_note) == ([], "")
    assert "mask: dseg" in report.section
    named = inspect_data(bids_folder, modality="T2w", site="Ours")
    assert section(named)["modality"] == "T2w"
    assert [site.site for site in named.sites] == ["Ours"]


def test_a_site_without_enough_patients_is_left_out(
    png_folder: Path, png_rows: Any, write_rows: Any, tmp_path: Path
) -> None:
    png_rows[0]["site"] = png_rows[1]["site"] = png_rows[2]["site"] = "tiny place"
    write_rows(png_folder / "metadata.csv", png_rows)
    report = inspect_data(png_folder)
    data = works(png_folder, report, tmp_path)
    assert data.sites.leave_out == ("tiny_place",)
    index = build_index(png_folder, data)
    assert index.sites == ("north", "south")
    assert {item.reason: item.count for item in index.excluded} == {
        "site tiny_place, which data.sites leaves out": 3
    }
    by_name = data.model_copy(update={"sites": data.sites.model_copy(update={"leave_out": ("tiny place",)})})
    assert build_index(png_folder, by_name) == index
    wrong = data.model_copy(update={"sites": data.sites.model_copy(update={"leave_out": ("tiny",)})})
    with pytest.raises(DataError, match=r"data.sites.leave_out names tiny, which is no site of the folder"):
        build_index(png_folder, wrong)
    # A hospital's own folder is one site by another name.
    assert build_index(png_folder, wrong, site="Ours").sites == ("Ours",)


def test_one_site_is_told(png_folder: Path, png_rows: Any, write_rows: Any) -> None:
    write_rows(png_folder / "metadata.csv", [{**row, "site": "one"} for row in png_rows])
    assert "one_site" in {finding.kind for finding in inspect_data(png_folder).findings}


def test_files_of_several_volumes(bids_folder: Path, tmp_path: Path) -> None:
    for path in bids_folder.rglob("*_T2w.nii.gz"):
        volume = nib.load(path)
        nib.save(
            nib.Nifti1Image(np.stack([volume.get_fdata()] * 3, -1).astype(np.uint8), volume.affine), path
        )
    report = inspect_data(bids_folder, modality="T2w")
    assert (report.unreadable, report.section_note) == ((), "")
    assert section(report)["volume"] == 0


def test_a_folder_as_it_lies_there_needs_no_names_of_columns(
    png_folder: Path, png_rows: Any, write_rows: Any
) -> None:
    rows = [{"subject": row["patient"], "file": row["image"]} for row in png_rows]
    write_rows(png_folder / "metadata.csv", rows)
    opened = open_folder(png_folder)
    assert len({entry.patient for entry in opened.scan.entries}) == 16
    assert opened.guess.columns.image == "file"


def test_blank_images_and_those_outside_the_window_are_told(png_folder: Path) -> None:
    images = sorted((png_folder / "images").iterdir())
    Image.fromarray(np.full((20, 28), 7, np.uint8)).save(images[0])
    report = inspect_data(png_folder)
    counts = {finding.kind: finding.count for finding in report.findings}
    assert counts["blank_images"] == 1
    for path in images:
        stored = np.asarray(Image.open(path)).astype(np.uint16)
        Image.fromarray(stored + 500).save(path)
    Image.fromarray(np.asarray(Image.open(images[1])) * 0 + np.arange(28, dtype=np.uint16)).save(images[1])
    report = inspect_data(png_folder)
    assert {f.kind: f.count for f in report.findings}["outside_window"] == 1
    window = section(report)["intensity"]
    assert 0 < window["upper"] - 755 < 100


def test_equal_images_with_other_labels_are_told(png_folder: Path) -> None:
    images = png_folder / "images"
    (images / "south-1-0.png").write_bytes((images / "north-0-0.png").read_bytes())
    counts = {finding.kind: finding.count for finding in inspect_data(png_folder).findings}
    assert counts["equal_images_other_labels"] == 1


def test_problems_do_not_stop_the_look(png_folder: Path, png_rows: Any, write_rows: Any) -> None:
    png_rows[0]["patient"] = "NA"
    (png_folder / "images" / "north-1-0.png").write_bytes(b"no")
    write_rows(png_folder / "metadata.csv", png_rows)
    report = inspect_data(png_folder)
    assert len(report.unreadable) == 2
    assert report.images == 30
    assert report.section_note != ""


def test_a_folder_of_nothing_known_is_described(tmp_path: Path) -> None:
    for name in ("a.xyz", "b.xyz", "readme.md"):
        (tmp_path / name).write_bytes(b"x")
    report = inspect_data(tmp_path)
    assert (report.layout, report.section) == ("", "")
    assert report.beside == {"files with .xyz": 2, "files with .md": 1}
    assert report.section_note
    with pytest.raises(DataError, match="is empty"):
        (tmp_path / "none").mkdir()
        inspect_data(tmp_path / "none")


def test_the_table_that_names_images_is_picked(png_folder: Path) -> None:
    (png_folder / "a.csv").write_text("x,y\n1,2\n")
    (png_folder / "broken.csv").write_text("x\n1,2\n")
    (png_folder / "few.csv").write_text("image\nimages/north-0-0.png\n")
    files = [path.relative_to(png_folder).as_posix() for path in png_folder.rglob("*.png")]
    table, said = pick_table(png_folder, files)
    assert table is not None
    assert table.path.name == "metadata.csv"
    assert len(said) == 2
    guess = guess_columns(table, files, png_folder, {"label": "site"})
    assert (guess.columns.image, guess.columns.label, guess.masks) == ("image", "site", ())


def test_columns_of_masks_are_not_taken_for_images(png_folder: Path, png_rows: Any, write_rows: Any) -> None:
    rows = [{"lung_mask": row["image"].replace("-0-", "-1-"), **row} for row in png_rows]
    write_rows(png_folder / "metadata.csv", rows)
    table = read_table(png_folder / "metadata.csv")
    guess = guess_columns(table, [row["image"] for row in png_rows], png_folder, {})
    assert (guess.columns.image, guess.masks) == ("image", ("lung_mask",))


def test_the_page(png_folder: Path) -> None:
    result = CliRunner().invoke(app, ["inspect", str(png_folder)], catch_exceptions=False)
    assert result.exit_code == 0
    printed = result.output[result.output.index("data:\n") :]
    assert set(yaml.safe_load(printed)["data"]["labels"]) == {"none", "lesion"}
    value = json.loads(CliRunner().invoke(app, ["inspect", str(png_folder), "--json"]).output)
    assert value["section"] == printed


def test_advice_names_options(png_folder: Path) -> None:
    with pytest.raises(DataError, match="--label-column") as caught:
        CliRunner().invoke(app, ["index", str(png_folder), "--label-column", "x"], catch_exceptions=False)
    assert "data." not in str(caught.value)
    assert "--labels" in str(caught.value)


def test_advice_about_tables_names_the_option(png_folder: Path) -> None:
    (png_folder / "metadata.csv").rename(png_folder / "a.csv")
    (png_folder / "b.csv").write_text("x\n1\n")
    with pytest.raises(DataError, match=r"several tables \(a.csv, b.csv\): choose one with --table"):
        CliRunner().invoke(app, ["index", str(png_folder)], catch_exceptions=False)
    # A look picks the one that names images.
    assert inspect_data(png_folder).table == "a.csv"


def test_index_takes_a_volume_of_several(
    bids_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for path in bids_folder.rglob("*_T2w.nii.gz"):
        volume = nib.load(path)
        nib.save(
            nib.Nifti1Image(np.stack([volume.get_fdata()] * 2, -1).astype(np.uint8), volume.affine), path
        )
    asked = ["index", str(bids_folder), "--modality", "T2w", "--labels", "any"]
    with pytest.raises(DataError, match="set --volume to the one to take"):
        CliRunner().invoke(app, asked, catch_exceptions=False)
    assert CliRunner().invoke(app, [*asked, "--volume", "1"], catch_exceptions=False).exit_code == 0


def test_classes_that_are_spelled_in_several_ways_are_told(tmp_path: Path) -> None:
    lines = ["image,patient,site,label"]
    for number, label in enumerate(["Benign", "benign", "1", "1.0", "malignant", "malignant"]):
        pixels = np.random.default_rng(number).integers(0, 256, (20, 20)).astype(np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{number}.png")
        lines.append(f"{number}.png,p{number},north,{label}")
    (tmp_path / "metadata.csv").write_text("\n".join(lines) + "\n")
    (told,) = [each for each in inspect_data(tmp_path).findings if each.kind == "labels_alike"]
    assert told.sentence == (
        "2 classes are spelled in several ways: '1' and '1.0', 'Benign' and 'benign'. Choose one."
    )


def test_an_equal_image_is_named_by_its_place_in_the_stack(tmp_path: Path) -> None:
    stack = np.random.default_rng(0).integers(0, 256, (6, 20, 20)).astype(np.uint8)
    stack[4] = stack[2]
    np.savez(tmp_path / "a.npz", images=stack)
    (group,) = inspect_data(tmp_path).exact_duplicates
    assert [image.slice for image in group] == [2, 4]
