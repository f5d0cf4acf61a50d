"""What a study takes of a file, and what decoders noticed in many files."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from fedgen.data.build import build_index
from fedgen.data.cache.decoded_sites import entry_keys
from fedgen.data.decoders.decoder import Header, UnreadableError
from fedgen.data.decoders.raster import DECODER
from fedgen.data.findings import DataFinding, Note, findings_of_notes
from fedgen.data.index import SliceRange
from fedgen.data.layouts.layout import cut_axis, taken
from fedgen.study.data import DataSection


def section(**keys: Any) -> DataSection:
    return DataSection.model_validate({"labels": ["none"], **keys})


def test_of_several_volumes_one_must_be_named() -> None:
    header = Header((4, 6), depth=5, axis=2, volumes=3)
    with pytest.raises(
        UnreadableError, match=r"holds 3 volumes .*: set data\.volume to the one to take, 0 to 2"
    ):
        taken(header, section())
    with pytest.raises(UnreadableError, match=r"data\.volume is 3: name one of 0 to 2"):
        taken(header, section(volume=3))
    assert taken(header, section(volume=2)).slices == SliceRange(2, 2, 3, 2, volume=2, depth=5)
    assert taken(Header((4, 6), depth=5, axis=2), section(volume=2)).slices == SliceRange(2, 2, 3, 2, depth=5)


def test_slices_are_cut_where_the_study_says() -> None:
    assert cut_axis(section(slices={"axis": 1})) == 1


def test_the_same_of_many_files_is_one_finding() -> None:
    one, other = Note("turned", "it was turned."), Note("turned", "it was not.")
    assert findings_of_notes([("b", one), ("c", other), ("a", one)]) == [
        DataFinding("turned", "1 file: it was not.", 1, "c"),
        DataFinding("turned", "2 files: it was turned.", 2, "a"),
    ]


def test_what_a_decoder_notices_is_told(png_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = DECODER.header

    def header(path: Path, axis: int) -> Header:
        return dataclasses.replace(plain(path, axis), notes=(Note("turned", "it was turned."),))

    monkeypatch.setattr(DECODER, "header", header)
    told = [
        finding for finding in build_index(png_folder, DataSection()).findings if finding.kind == "turned"
    ]
    assert [(finding.sentence, finding.count) for finding in told] == [("32 files: it was turned.", 32)]


def test_the_cache_depends_on_every_file_of_a_volume(png_folder: Path, tmp_path: Path) -> None:
    index = build_index(png_folder, DataSection())
    first, second = index.entries[0].path, index.entries[1].path
    entry = dataclasses.replace(index.entries[0], files=(first, second))
    before = entry_keys(png_folder, (entry,), DataSection(), tmp_path / "memory")
    (png_folder / second).write_bytes(b"changed")
    assert entry_keys(png_folder, (entry,), DataSection(), tmp_path / "memory") != before
