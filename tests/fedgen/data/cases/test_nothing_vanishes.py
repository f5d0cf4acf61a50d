"""Every file of a folder is used, left out with a reason and a count, or refused."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fedgen.data.build import build_index
from fedgen.data.folder_scan import files_of, hidden_files_of, scan_folder
from fedgen.errors import DataError, ExitCode
from fedgen.study.data import DataSection


def grain(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (24, 32)).astype(np.uint8)


def excluded(folder: Path, data: DataSection) -> dict[str, int]:
    return {item.reason: item.count for item in build_index(folder, data).excluded}


def lenient(data: DataSection) -> DataSection:
    return data.model_copy(update={"unused_share": 1.0})


def test_images_that_the_table_does_not_list_are_counted_and_many_are_refused(
    people: Callable, one_class: DataSection
) -> None:
    folder = people(["P1", "P2"])
    for n in range(3):
        Image.fromarray(grain(50 + n)).save(folder / "im" / f"extra{n}.png")
    with pytest.raises(DataError, match=r"3 of 5 images would be left out .*would be 0.6\.") as caught:
        build_index(folder, one_class)
    assert caught.value.exit_code == ExitCode.DATA
    assert excluded(folder, one_class.model_copy(update={"unused_share": 0.6})) == {
        "image that the table does not list": 3
    }


def test_files_that_another_column_names_are_asked_for(people: Callable, one_class: DataSection) -> None:
    folder = people(["P1", "P2"])
    lines = (folder / "metadata.csv").read_text().splitlines()
    for n in range(2):
        Image.fromarray(grain(90 + n)).save(folder / "im" / f"mask{n}.png")
    added = ["outline", "im/mask0.png", "im/mask1.png"]
    (folder / "metadata.csv").write_text(
        "\n".join(f"{a},{b}" for a, b in zip(lines, added, strict=True)) + "\n"
    )
    assert excluded(folder, one_class) == {"named by a column of the table that the study does not use": 2}


def test_packed_files_and_unknown_endings_are_told(
    dicom: Callable, tmp_path: Path, one_class: DataSection
) -> None:
    folder = tmp_path / "d"
    kept = dicom(folder / "north" / "a.dcm")
    with zipfile.ZipFile(folder / "north" / "P2.zip", "w") as packed:
        packed.write(kept, "b.dcm")
    (folder / "north" / "c.dcm.gz").write_bytes(b"x")
    (folder / "north" / "d.svs").write_bytes(b"x")
    (folder / "viewer.exe").write_bytes(b"x")
    (folder / "README").write_text("x")
    with pytest.raises(DataError, match=r"3 of 4 images would be left out .*\(\.zip\)"):
        build_index(folder, one_class)
    index = build_index(folder, lenient(one_class))
    assert sum(item.count for item in index.excluded) == 3
    assert any(".exe" in finding.sentence and finding.kind == "unknown_files" for finding in index.findings)


def test_a_dicom_instance_exported_twice_is_one(
    dicom: Callable, tmp_path: Path, one_class: DataSection
) -> None:
    folder = tmp_path / "d"
    content = dicom(folder / "north" / "a.dcm").read_bytes()
    (folder / "again").mkdir()
    (folder / "again" / "copy.dcm").write_bytes(content)
    assert excluded(folder, one_class) == {"the same DICOM instance again": 1}
    assert build_index(folder, one_class).n_images == 1


def test_participants_without_images_and_images_without_participants(
    bids: Callable, one_class: DataSection
) -> None:
    rows = ["participant_id\tsite", "sub-1\ts", "sub-2\ts", "sub-9\ts"]
    folder = bids(["sub-1", "sub-2", "sub-3"], rows)
    with pytest.raises(DataError, match=r"1 x image of a subject that participants.tsv does not list"):
        build_index(folder, one_class)
    index = build_index(folder, lenient(one_class))
    assert index.patients == ("sub-1", "sub-2")
    assert {finding.kind: finding.count for finding in index.findings} == {
        "excluded": 1,
        "participants_without_images": 1,
    }


@pytest.mark.parametrize("lines", [None, ["participant_id", "sub-1", "2"]])
def test_bids_opens_as_one_site(bids: Callable, one_class: DataSection, lines: list[str] | None) -> None:
    folder = bids(["sub-1", "sub-2"], lines)
    index = build_index(folder, one_class)
    assert (index.sites, len(index.patients)) == (("dataset",), 2)
    assert [finding.kind for finding in index.findings] == ["site_from_folder"]
    named = build_index(folder, one_class, site="Ours")
    assert (named.sites, named.findings) == (("Ours",), ())


def test_every_file_is_in_exactly_one_account(people: Callable, one_class: DataSection) -> None:
    folder = people(["P1", "NA", "P2"])
    (folder / ".git").mkdir()
    for name in ("a.zip", "b.mha", "c.exe", "notes.txt", "noending", "im/z.png", ".git/x", "im/.y.png"):
        (folder / name).write_bytes(b"x")
    scan = scan_folder(folder, one_class)
    entries = {file for entry in scan.entries for file in entry.files}
    problems = {problem.path for problem in scan.problems}
    accounts = (entries, problems, scan.seen)
    assert sum(len(account) for account in accounts) == len(set().union(*accounts))
    assert set().union(*accounts) == {*files_of(folder), *hidden_files_of(folder)}
    assert len(scan.seen) == scan.excluded.total() + scan.unasked.total() + scan.beside.total()


def test_hidden_files_are_counted_as_what_they_are(people: Callable, one_class: DataSection) -> None:
    folder = people(["P1", "P2", "P3"])
    (folder / ".git" / "annex").mkdir(parents=True)
    (folder / ".Trash-1000").mkdir()
    for name in (".DS_Store", "im/.DS_Store", "im/._0.png", ".git/config", ".git/annex/1.png", ".xyz"):
        (folder / name).write_bytes(b"x")
    (folder / ".Trash-1000" / "old.png").write_bytes(b"x")
    # A link to a folder above ends, in the open and in hiding.
    (folder / "im" / "up").symlink_to(folder, target_is_directory=True)
    (folder / ".git" / "up").symlink_to(folder, target_is_directory=True)
    index = build_index(folder, one_class)
    assert len(index.entries) == 3
    assert [(finding.kind, finding.count) for finding in index.findings] == [("hidden_files", 7)]
    assert index.findings[0].sentence == (
        "7 hidden files (names that begin with a dot) not looked at: 2 how macOS shows a folder, 2 version control "
        "(git), 1 deleted files, 1 of unknown purpose, 1 attributes that macOS keeps beside a file."
    )


def test_a_hidden_image_is_left_out_and_not_for_nothing(people: Callable, one_class: DataSection) -> None:
    folder = people(["P1", "P2"])
    Image.fromarray(grain(50)).save(folder / "im" / ".2.png")
    with pytest.raises(DataError, match=r"1 of 3 images would be left out .*hidden image .*rename it"):
        build_index(folder, one_class)
    (folder / "im" / ".2.png").rename(folder / "im" / "._2.png")
    assert [finding.kind for finding in build_index(folder, one_class).findings] == ["hidden_files"]


def test_a_path_in_another_composition_finds_its_file(people: Callable, one_class: DataSection) -> None:
    folder = people(["P1", "P2"])
    (folder / "im" / "0.png").rename(folder / "im" / "u\u0308.png")
    (folder / "im" / "1.png").rename(folder / "im" / "ONE.png")
    text = (folder / "metadata.csv").read_text()
    (folder / "metadata.csv").write_text(
        text.replace("im/0.png", "im/ü.png").replace("im/1.png", "im/ONE.png")
    )
    assert [entry.path for entry in build_index(folder, one_class).entries] == [
        "im/u\u0308.png",
        "im/ONE.png",
    ]
    (folder / "metadata.csv").write_text(
        text.replace("im/0.png", "im/ü.png").replace("im/1.png", "im/one.png")
    )
    with pytest.raises(DataError, match=r"im/one.png does not exist, but a file does that differs"):
        build_index(folder, one_class)
