"""The cache over runs: nothing is decoded twice, nothing stale is used, nobody else reads it, and it can be cleared."""

from __future__ import annotations

import dataclasses
import os
import stat
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from fedgen.data.build import build_index
from fedgen.data.cache import decoded_sites, hashes, store
from fedgen.data.cache.decoded_sites import decode_sites, entry_keys
from fedgen.data.cache.hashes import file_hashes
from fedgen.data.cache.store import HASHES, CacheStore, cache_folder
from fedgen.data.decode import DecodedSite, decode_site
from fedgen.data.index import PatientIndex
from fedgen.errors import DataError
from fedgen.study.data import Columns, DataSection, Intensity

DATA = DataSection(image_size=(16, 16))


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Numbers of entries of each call that decodes."""
    calls: list[int] = []

    def counted(folder: Path, entries: Any, data: DataSection) -> DecodedSite:
        calls.append(len(entries))
        return decode_site(folder, entries, data)

    monkeypatch.setattr(decoded_sites, "decode_site", counted)
    return calls


@pytest.fixture
def run(png_folder: Path, tmp_path: Path, decoded: list[int]) -> Callable[..., int]:
    """run(data): index and decode as a run does; how many files were decoded."""

    def once(data: DataSection = DATA, folder: Path = png_folder) -> int:
        decoded.clear()
        decode_sites(folder, build_index(folder, data), data, tmp_path / "cache")
        return sum(decoded)

    return once


def same(one: DecodedSite, other: DecodedSite) -> bool:
    first, second = dataclasses.asdict(one), dataclasses.asdict(other)
    prints = first.pop("fingerprints"), second.pop("fingerprints")
    pairs = [(first[name], second[name]) for name in first]
    pairs += [(prints[0][name], prints[1][name]) for name in prints[0]]
    return all((a is None and b is None) or np.array_equal(a, b) for a, b in pairs)


def test_what_is_mapped_is_what_was_decoded(png_folder: Path, tmp_path: Path) -> None:
    index = build_index(png_folder, DATA)
    for _ in range(2):
        cached = decode_sites(png_folder, index, DATA, tmp_path / "cache")
        for site, mapped in cached.items():
            assert same(mapped, decode_site(png_folder, index.at(site), DATA))
            assert isinstance(mapped.images, np.memmap)
            # Nobody changes the cache by changing what it gave.
            mapped.images[:] = 0


def test_a_second_run_decodes_nothing_wherever_the_files_lie(
    run: Callable[..., int], png_folder: Path, tmp_path: Path
) -> None:
    assert run() == 32
    assert run() == 0
    elsewhere = tmp_path / "moved"
    png_folder.rename(elsewhere)
    assert run(folder=elsewhere) == 0


def test_only_what_changes_an_image_decodes_anew(run: Callable[..., int], png_folder: Path) -> None:
    assert run() == 32
    assert run(DATA.model_copy(update={"split": DATA.split.model_copy(update={"audit": 0.3})})) == 0
    assert run(DATA.model_copy(update={"labels": ("lesion", "none"), "images_per_patient": 1})) == 0
    assert run(DATA.model_copy(update={"intensity": Intensity(upper=200.0)})) == 32
    assert run(DATA.model_copy(update={"image_size": (16, 20)})) == 32
    # And all ways stay known.
    assert run() == run(DATA.model_copy(update={"intensity": Intensity(upper=200.0)})) == 0
    # Another time of change is no other content; other content is.
    os.utime(png_folder / "images" / "north-0-0.png", ns=(1, 1))
    assert run() == 0
    Image.fromarray(np.full((20, 28), 7, np.uint8)).save(png_folder / "images" / "north-0-0.png")
    assert run() == 1


def test_an_added_and_a_removed_file_leave_the_others_decoded(
    run: Callable[..., int], png_folder: Path, png_rows, write_rows
) -> None:
    write_rows(png_folder / "metadata.csv", png_rows[:-1])
    assert run(DATA.model_copy(update={"unused_share": 1.0})) == 31
    write_rows(png_folder / "metadata.csv", png_rows)
    assert run() == 1
    write_rows(png_folder / "metadata.csv", png_rows[2:])
    assert run(DATA.model_copy(update={"unused_share": 1.0})) == 0


def test_two_images_of_equal_bytes_are_both_there(
    png_folder: Path, tmp_path: Path, run: Callable[..., int]
) -> None:
    images = png_folder / "images"
    (images / "north-3-1.png").write_bytes((images / "north-0-0.png").read_bytes())
    run()
    index = build_index(png_folder, DATA)
    cached = decode_sites(png_folder, index, DATA, tmp_path / "cache")
    assert same(cached["north"], decode_site(png_folder, index.at("north"), DATA))


def test_masks_are_part_of_it(
    tmp_path: Path, picture: Callable[..., np.ndarray], write_rows, decoded
) -> None:
    folder = tmp_path / "masked"
    folder.mkdir()
    rows = []
    for number in range(4):
        Image.fromarray(picture(number)).save(folder / f"{number}.png")
        Image.fromarray((picture(number + 9) > 128).astype(np.uint8) * 255).save(folder / f"m{number}.png")
        rows.append(
            {
                "image": f"{number}.png",
                "patient": f"p{number}",
                "site": "s",
                "label": "none",
                "mask": f"m{number}.png",
            }
        )
    write_rows(folder / "metadata.csv", rows)
    data = DataSection(labels=("none",), image_size=(16, 16), columns=Columns(mask="mask"))
    index = build_index(folder, data)
    for _ in range(2):
        cached = decode_sites(folder, index, data, tmp_path / "cache")
        assert same(cached["s"], decode_site(folder, index.entries, data))
    decoded.clear()
    Image.fromarray(np.full((20, 28), 255, np.uint8)).save(folder / "m2.png")
    decode_sites(folder, index, data, tmp_path / "cache")
    assert decoded == [1]


def test_damage_counts_as_no_cache(run: Callable[..., int], tmp_path: Path) -> None:
    run()
    arrays = sorted((tmp_path / "cache").glob("*/images.npy"))
    content = bytearray(arrays[0].read_bytes())
    content[-1] ^= 1
    arrays[0].write_bytes(content)
    assert run() == 16
    records = sorted((tmp_path / "cache").glob("*/record.json"))
    records[1].write_text("{")
    assert run() == 16
    (tmp_path / "cache" / HASHES).write_bytes(b"no database")
    assert run() == 0
    arrays[0].unlink()
    assert run() == 16
    assert run() == 0


def test_a_file_that_is_gone_or_changes_meanwhile_is_refused(
    png_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = build_index(png_folder, DATA)
    victim = png_folder / index.entries[0].path

    def meddled(folder: Path, entries: Any, data: DataSection) -> DecodedSite:
        made = decode_site(folder, entries, data)
        victim.write_bytes(victim.read_bytes() + b" ")
        return made

    monkeypatch.setattr(decoded_sites, "decode_site", meddled)
    with pytest.raises(DataError, match="changed while it was read"):
        decode_sites(png_folder, index, DATA, tmp_path / "cache")
    assert not list((tmp_path / "cache").glob("*/record.json"))
    victim.unlink()
    with pytest.raises(DataError, match="cannot be read any more"):
        decode_sites(png_folder, index, DATA, tmp_path / "cache")


def test_an_unchanged_file_is_not_hashed_again(
    png_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = sorted((png_folder / "images").iterdir())
    read: list[Path] = []
    original = hashes._sha256

    def counted(path: Path) -> bytes:
        read.append(path)
        return original(path)

    monkeypatch.setattr(hashes, "_sha256", counted)
    first = file_hashes(paths, tmp_path / "memory")
    # Files that changed a moment ago may change again within one tick of the clock, and are not trusted yet.
    assert len(read) == len(paths)
    assert file_hashes(paths, tmp_path / "memory") == first
    assert len(read) == 2 * len(paths)
    later = time.time_ns() + 10 * 10**9
    monkeypatch.setattr(hashes.time, "time_ns", lambda: later)
    file_hashes(paths, tmp_path / "memory")
    read.clear()
    assert file_hashes(paths, tmp_path / "memory") == first
    assert read == []
    size = paths[3].stat().st_size
    paths[3].write_bytes(b"x" * size)
    assert file_hashes(paths, tmp_path / "memory") != first
    assert read == [paths[3]]


def test_the_key_holds_no_person_and_every_option(png_folder: Path, tmp_path: Path) -> None:
    index = build_index(png_folder, DATA)
    one = index.entries[0]
    renamed = dataclasses.replace(
        one, patient="other", site="there", label=None, study="x", series="y", modality="z"
    )
    assert entry_keys(png_folder, (one,), DATA, tmp_path / "m") == entry_keys(
        png_folder, (renamed,), DATA, tmp_path / "m"
    )
    for change in ({"spacing": (1.0, 2.0)}, {"size": (28, 20)}, {"orientation": "PR"}):
        moved = dataclasses.replace(one, **change)
        assert entry_keys(png_folder, (moved,), DATA, tmp_path / "m") != entry_keys(
            png_folder, (one,), DATA, tmp_path / "m"
        )
    # An option is in the key unless somebody said that it changes no image.
    assert set(DataSection.model_fields) > decoded_sites._WITHOUT_EFFECT
    changing = set(DataSection.model_fields) - decoded_sites._WITHOUT_EFFECT
    assert {"image_size", "channels", "intensity", "slices", "volume"} <= changing


def test_another_program_decodes_anew(run: Callable[..., int], monkeypatch: pytest.MonkeyPatch) -> None:
    assert run() == 32
    monkeypatch.setattr(decoded_sites, "_program", lambda: "another")
    assert run() == 32


def test_only_its_owner_can_read_it(run: Callable[..., int], tmp_path: Path) -> None:
    (tmp_path / "cache").mkdir(mode=0o755)
    run()
    assert stat.S_IMODE((tmp_path / "cache").stat().st_mode) == 0o700
    for path in (tmp_path / "cache").rglob("*"):
        assert "north" not in path.name
        if path.suffix != ".npy":
            assert b"north" not in path.read_bytes() if path.is_file() else True


def test_the_oldest_go_first_when_it_is_full(
    run: Callable[..., int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run()
    cache = CacheStore(tmp_path / "cache")
    monkeypatch.setattr(store, "MOST_BYTES", cache.size() + 1000)
    for number, record in enumerate(sorted((tmp_path / "cache").glob("*/record.json"))):
        os.utime(record, (number, number))
    assert run(DATA.model_copy(update={"intensity": Intensity(upper=200.0)})) == 32
    assert cache.size() <= store.MOST_BYTES
    assert run(DATA.model_copy(update={"intensity": Intensity(upper=200.0)})) == 0
    assert run() == 32


def test_clearing_leaves_what_is_not_its_own(run: Callable[..., int], tmp_path: Path) -> None:
    run()
    (tmp_path / "cache" / "mine").mkdir()
    (tmp_path / "cache" / "mine" / "notes.txt").write_text("mine")
    CacheStore(tmp_path / "cache").clear()
    assert [path.name for path in (tmp_path / "cache").rglob("*")] == ["mine", "notes.txt"]
    assert run() == 32


def test_where_it_lies(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FEDGEN_CACHE", str(tmp_path / "own"))
    assert cache_folder() == tmp_path / "own"
    monkeypatch.delenv("FEDGEN_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder() == tmp_path / "xdg" / "fedgen"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / ".cache" / "fedgen"


def test_progress_counts_every_image_once(png_folder: Path, tmp_path: Path) -> None:
    index: PatientIndex = build_index(png_folder, DATA)
    for _ in range(2):
        told = progress_of(png_folder, index, tmp_path / "cache")
        assert told[-1] == (32, 32)
        assert [done for done, _ in told] == sorted(done for done, _ in told)


def progress_of(folder: Path, index: PatientIndex, cache: Path) -> list[tuple[int, int]]:
    told: list[tuple[int, int]] = []
    decode_sites(folder, index, DATA, cache, lambda done, total: told.append((done, total)))
    return told
