"""A bundle's files are read where they are, and an archive cannot point out of itself or grow without end."""

from __future__ import annotations

import stat
import zipfile

import pytest

from fedgen.bundles.bundle_files import open_bundle
from fedgen.errors import DataError

FILES = {"configs/metadata.json": b"{}", "models/model.pt": b"weights"}


@pytest.mark.parametrize("outer", ["", "brain_bundle/"])
def test_a_folder_and_an_archive_hold_the_same(tmp_path, zipped, outer) -> None:
    for name, content in FILES.items():
        (tmp_path / "folder" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "folder" / name).write_bytes(content)
    folder = open_bundle(tmp_path / "folder")
    archive = open_bundle(zipped({outer + name: content for name, content in FILES.items()}))
    for files in (folder, archive):
        assert files.names == tuple(sorted(FILES))
        assert {name: files.read(name) for name in files.names} == FILES


@pytest.mark.parametrize("name", ["../evil", "/etc/evil", "a/../../evil", "a\\..\\evil", "C:evil"])
def test_a_name_that_points_out_is_refused(zipped, name) -> None:
    with pytest.raises(DataError, match="points out of the archive; no bundle needs that"):
        open_bundle(zipped({**FILES, name: b""}))


def test_links_are_refused(tmp_path, zipped) -> None:
    link = zipfile.ZipInfo("models/link")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    path = zipped(FILES)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(link, "/etc/passwd")
    with pytest.raises(DataError, match="is a link"):
        open_bundle(path)
    (tmp_path / "folder").mkdir()
    (tmp_path / "elsewhere").write_text("secret")
    (tmp_path / "folder" / "LICENSE").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(DataError, match="is a link out of the bundle"):
        open_bundle(tmp_path / "folder")


def test_two_files_of_one_name_and_encrypted_ones_are_refused(zipped) -> None:
    path = zipped(FILES)
    with zipfile.ZipFile(path, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("models/model.pt", b"other")
    with pytest.raises(DataError, match="two files of one name"):
        open_bundle(path)
    content = bytearray(zipped(FILES).read_bytes())
    at = content.index(b"PK\x01\x02")
    content[at + 8] |= 1
    path.write_bytes(content)
    with pytest.raises(DataError, match="is encrypted"):
        open_bundle(path)


def test_no_file_is_read_beyond_its_size(zipped) -> None:
    """A thousandfold of zeros, which packs to nothing."""
    files = open_bundle(zipped({"LICENSE": b"0" * 4_000_000}))
    with pytest.raises(DataError, match="more than the 1048576 bytes"):
        files.read("LICENSE")
    with pytest.raises(DataError, match="more than the 10 bytes"):
        files.read("LICENSE", 10)


def test_damage_is_one_sentence(zipped, tmp_path) -> None:
    content = bytearray(zipped({"a": bytes(range(256)) * 20}).read_bytes())
    content[60] ^= 255
    path = tmp_path / "damaged.zip"
    path.write_bytes(content)
    with pytest.raises(DataError, match="damaged"):
        open_bundle(path).read("a")
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(DataError, match="damaged zip archive"):
        open_bundle(path)
    with pytest.raises(DataError, match="does not exist"):
        open_bundle(tmp_path / "nothing")
