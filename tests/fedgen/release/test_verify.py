"""Whatever is done to a release is found: a byte, a name, a file more or less, an archive packed in another way."""

from __future__ import annotations

import io
import os
import shutil
import stat
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fedgen.errors import DataError
from fedgen.release.archive import open_files, write_zip
from fedgen.release.checked import Outcome, Verified
from fedgen.release.verify import verify
from fedgen_privacy.secagg import Identity

#: The key of the fixture `signer`.
SIGNER = Identity.from_private_bytes("whoever ran the simulation", bytes(range(32)))
KEY = SIGNER.public_key
FEW = settings(max_examples=25, suppress_health_check=list(HealthCheck))


def found(path: Path, **keys: Any) -> Verified | str:
    """What a check finds; the sentence where it could not even be opened."""
    try:
        return verify(open_files(path), **keys)
    except DataError as error:
        return str(error)


def is_wrong(path: Path) -> bool:
    said = found(path)
    return isinstance(said, str) or bool(said.wrong)


def outcomes(said: Verified | str) -> dict[str, Outcome]:
    assert isinstance(said, Verified), said
    return {line.about: line.outcome for line in said.lines}


def test_a_release_as_it_was_made(released: Any) -> None:
    for path in (released.folder, released.archive):
        said = outcomes(found(path, key=KEY, sites=released.run.kept_keys))
        assert said == {
            "signature": Outcome.OK,
            "whose key": Outcome.OK,
            "files": Outcome.OK,
            "study": Outcome.OK,
            "privacy": Outcome.OK,
            "gate": Outcome.OK,
            "images": Outcome.OK,
            "images as drawn": Outcome.OK,
            "image files": Outcome.OK,
            "receipt of north": Outcome.OK,
            "receipt of south": Outcome.OK,
            # A simulation measures over all patients together, which no site can sign.
            "audit from the sites": Outcome.OPEN,
        }


def test_what_cannot_be_known_without_keys_is_said(released: Any) -> None:
    said = outcomes(found(released.folder))
    assert {about for about, outcome in said.items() if outcome is Outcome.OPEN} == {
        "whose key", "key of north", "key of south", "audit from the sites",
    }  # fmt: skip


def test_another_key_is_found(released: Any) -> None:
    said = outcomes(found(released.folder, key=bytes(32)))
    assert said["whose key"] is Outcome.WRONG
    said = outcomes(found(released.folder, key=KEY, sites={"north": bytes(32)}))
    assert said["receipt of north"] is Outcome.WRONG and said["receipt of south"] is Outcome.OK


@pytest.fixture(scope="module")
def copy(released: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that is changed and put right again."""
    place = tmp_path_factory.mktemp("copy") / "tiny"
    shutil.copytree(released.folder, place)
    return place


def files_of(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


@FEW
@given(st.data())
def test_a_changed_byte_is_found(copy: Path, data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(files_of(copy)))
    before = (copy / name).read_bytes()
    at = data.draw(st.integers(0, len(before) - 1))
    other = data.draw(st.integers(1, 255))
    try:
        (copy / name).write_bytes(before[:at] + bytes([before[at] ^ other]) + before[at + 1 :])
        assert is_wrong(copy)
    finally:
        (copy / name).write_bytes(before)


@FEW
@given(st.data())
def test_a_file_more_or_less_or_of_another_name_is_found(copy: Path, data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(files_of(copy)))
    what = data.draw(st.sampled_from(["add", "remove", "rename", "cut", "lengthen", "swap"]))
    path, before = copy / name, (copy / name).read_bytes()
    other = copy / data.draw(
        st.sampled_from(["more.txt", "images/more.png", "images/lesion_0009.png", "x/y"])
    )
    peer = copy / data.draw(st.sampled_from([each for each in files_of(copy) if each != name]))
    kept = peer.read_bytes()
    try:
        match what:
            case "add":
                other.parent.mkdir(exist_ok=True)
                other.write_bytes(before)
            case "remove":
                path.unlink()
            case "rename":
                other.parent.mkdir(exist_ok=True)
                path.rename(other)
            case "cut":
                path.write_bytes(before[:-1])
            case "lengthen":
                path.write_bytes(before + b"\n")
            case "swap" if kept != before:
                path.write_bytes(kept)
                peer.write_bytes(before)
            case _:
                return
        assert is_wrong(copy)
    finally:
        path.write_bytes(before)
        peer.write_bytes(kept)
        other.unlink(missing_ok=True)
        shutil.rmtree(copy / "x", ignore_errors=True)


@FEW
@given(st.data())
def test_a_changed_byte_of_the_archive_is_found(released: Any, copy: Path, data: st.DataObject) -> None:
    """Also where no file of it lies: in headers, in the directory, behind the end."""
    content = released.archive.read_bytes()
    directory = content.rindex(b"PK\x05\x06")
    place = st.integers(0, len(content) - 1) | st.integers(directory - 2000, len(content) - 1)
    at, other = data.draw(place), data.draw(st.integers(1, 255))
    changed = copy.parent / "changed.zip"
    changed.write_bytes(content[:at] + bytes([content[at] ^ other]) + content[at + 1 :])
    assert is_wrong(changed)
    changed.write_bytes(content + bytes([other]))
    assert is_wrong(changed)
    changed.write_bytes(bytes([other]) + content)
    assert is_wrong(changed)


def test_links_and_strange_things_are_refused(copy: Path) -> None:
    link = copy / "link.png"
    link.symlink_to(copy / "study.yaml")
    try:
        assert "is a link" in str(found(copy))
    finally:
        link.unlink()
    # A link in the place of a file, with the very same content.
    inside, moved = copy / "images/labels.csv", copy.parent / "labels.csv"
    inside.rename(moved)
    inside.symlink_to(moved)
    try:
        assert "is a link" in str(found(copy))
    finally:
        inside.unlink()
        moved.rename(inside)
    (copy / "empty").mkdir()
    try:
        assert "empty folder" in str(found(copy))
    finally:
        (copy / "empty").rmdir()
    os.mkfifo(copy / "pipe")
    try:
        assert "neither a file nor a folder" in str(found(copy))
    finally:
        (copy / "pipe").unlink()
    assert "neither a folder nor a zip" in str(found(copy / "nothing"))
    assert not is_wrong(copy)


def entries(archive: Path) -> Iterator[tuple[zipfile.ZipInfo, bytes]]:
    with zipfile.ZipFile(archive) as packed:
        for info in packed.infolist():
            yield info, packed.read(info)


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda out, info, content: out.writestr("../evil.txt", b"x"), "path that no release has"),
        (lambda out, info, content: out.writestr("tiny/../../evil.txt", b"x"), "path that no release has"),
        (lambda out, info, content: out.writestr("/etc/evil", b"x"), "path that no release has"),
        (lambda out, info, content: out.writestr("tiny/a\\b", b"x"), "path that no release has"),
        (lambda out, info, content: out.writestr("other/a", b"x"), "does not hold one folder"),
        (lambda out, info, content: out.writestr(info, content), "twice"),
        (lambda out, info, content: out.writestr("tiny/STUDY.YAML", content), "twice"),
        (lambda out, info, content: out.writestr(linked("tiny/link"), b"/etc/passwd"), "is a link"),
        (lambda out, info, content: out.writestr("tiny/more.txt", b"x"), "not the archive that its files make"),
        (lambda out, info, content: setattr(out, "comment", b"seen"), "not the archive that its files make"),
    ],
)  # fmt: skip
def test_an_archive_with_more_in_it_is_refused(
    released: Any, tmp_path: Path, change: Callable[..., Any], said: str
) -> None:
    path = tmp_path / "more.zip"
    with zipfile.ZipFile(path, "w") as out:
        for info, content in entries(released.archive):
            out.writestr(info, content)
            kept = (info, content) if info.filename == "tiny/study.yaml" else None
            if kept is not None:
                last = kept
        change(out, *last)
    assert said in str(found(path))


def linked(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.create_system, info.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
    return info


def test_an_archive_that_was_packed_anew_is_refused(released: Any, tmp_path: Path) -> None:
    path = tmp_path / "again.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as out:
        for info, content in entries(released.archive):
            out.writestr(info.filename, content)
    assert "not stored as a release's files are" in str(found(path))
    path.write_bytes(b"PK\x05\x06" + bytes(18))
    assert "0 entries" in str(found(path))
    path.write_bytes(b"no archive")
    assert "no zip archive" in str(found(path))


def test_the_folder_packs_to_the_archive(released: Any, tmp_path: Path) -> None:
    write_zip(tmp_path / "tiny.zip", "tiny", open_files(released.folder))
    assert (tmp_path / "tiny.zip").read_bytes() == released.archive.read_bytes()
    # And an archive unpacked by any program is the folder.
    with zipfile.ZipFile(released.archive) as packed:
        packed.extractall(tmp_path / "out")
    assert not is_wrong(tmp_path / "out/tiny")


def test_an_archive_is_read_in_pieces(released: Any) -> None:
    files = open_files(released.archive)
    assert b"".join(files.chunks("study.yaml")) == (released.folder / "study.yaml").read_bytes()
    assert files.size("study.yaml") == len(files.read("study.yaml"))
    assert isinstance(files.open("study.yaml"), io.BufferedIOBase)
