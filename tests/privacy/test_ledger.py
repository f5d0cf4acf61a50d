"""The ledger: written before the spend, chained, replayed, never under-counting."""

import json
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedgen_privacy.accounting import Spend
from fedgen_privacy.errors import PrivacyRefusedError
from fedgen_privacy.ledger import Charge, Ledger

spends = st.builds(Spend, st.floats(0.1, 50), st.floats(0.001, 1), st.integers(0, 1000))
charges = st.lists(
    st.builds(
        Charge, st.sampled_from(["a" * 64, "b" * 64]), st.integers(1, 5), st.sampled_from(["m", "n"]), spends
    ),
    max_size=12,
)


def write(path: Path, rows: list[Charge]) -> list[Charge]:
    """Charge every row, each key once; returns what must be in the ledger."""
    ledger, kept = Ledger(path), {}
    for row in rows:
        if row.key not in kept:
            assert ledger.charge(row)
            kept[row.key] = row
    return list(kept.values())


@given(charges)
@settings(deadline=None, max_examples=40)
def test_replay_equals_live(tmp_path_factory: pytest.TempPathFactory, rows: list[Charge]) -> None:
    path = tmp_path_factory.mktemp("ledger") / "ledger.jsonl"
    kept = write(path, rows)
    assert list(Ledger(path)) == kept
    assert Ledger(path).spends("a" * 64) == [row.spend for row in kept if row.study == "a" * 64]


@given(charges.filter(bool), st.data())
@settings(deadline=None, max_examples=40)
def test_a_crash_at_any_byte_of_the_last_line_keeps_every_finished_row(
    tmp_path_factory: pytest.TempPathFactory, rows: list[Charge], data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("ledger") / "ledger.jsonl"
    kept = write(path, list({row.key: row for row in rows}.values())[:-1])
    before = path.read_bytes() if kept else b""
    head = (path.parent / "ledger.jsonl.head").read_bytes() if kept else b""
    last = list({row.key: row for row in rows}.values())[-1]
    assert Ledger(path).charge(last)
    # As if the process had died while the line was written: a part of it, and the head of before.
    content = path.read_bytes()
    path.write_bytes(content[: data.draw(st.integers(len(before), len(content) - 1))])
    (path.parent / "ledger.jsonl.head").write_bytes(head or b'{"rows": 0, "sha256": "' + b"0" * 64 + b'"}')
    ledger = Ledger(path)
    assert list(ledger) == kept
    # And it can be written on.
    assert ledger.charge(last)
    assert list(Ledger(path)) == [*kept, last]


@given(charges.filter(lambda rows: len({r.key for r in rows}) > 1), st.data())
@settings(deadline=None, max_examples=60)
def test_any_changed_removed_inserted_or_swapped_row_is_detected(
    tmp_path_factory: pytest.TempPathFactory, rows: list[Charge], data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("ledger") / "ledger.jsonl"
    write(path, rows)
    lines = path.read_text().splitlines()
    how = data.draw(st.sampled_from(["change", "remove", "swap", "insert", "cut", "delete"]))
    victim = data.draw(st.integers(0, len(lines) - (2 if how == "swap" else 1)))
    if how == "insert":
        lines.insert(victim, lines[data.draw(st.integers(0, len(lines) - 1))])
    elif how == "cut":
        del lines[victim:]
    elif how == "delete":
        lines.clear()
    elif how == "change":
        value = json.loads(lines[victim])
        value["row"]["spend"]["steps"] += 1
        lines[victim] = json.dumps(value)
    elif how == "remove":
        del lines[victim]
    else:
        lines[victim], lines[victim + 1] = lines[victim + 1], lines[victim]
    path.write_text("".join(f"{line}\n" for line in lines))
    if how == "delete":
        path.unlink()
    with pytest.raises(PrivacyRefusedError, match=r"damaged at line|rows where|other rows"):
        Ledger(path)


def test_the_same_work_is_charged_once_and_never_with_another_mechanism(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.jsonl")
    row = Charge("s", 1, "m", Spend(1.0, 0.5, 10))
    assert ledger.charge(row)
    assert not ledger.charge(row)
    assert not Ledger(tmp_path / "ledger.jsonl").charge(row)
    with pytest.raises(PrivacyRefusedError, match="another mechanism"):
        ledger.charge(Charge("s", 1, "m", Spend(2.0, 0.5, 10)))


def test_a_row_that_cannot_be_written_is_not_counted_as_charged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = Ledger(tmp_path / "ledger.jsonl")

    def full(*args: object) -> None:
        raise OSError(28, "No space left on device")

    row = Charge("s", 1, "m", Spend(1.0, 0.5, 10))
    with monkeypatch.context() as broken:
        broken.setattr("os.fsync", full)
        with pytest.raises(OSError, match="No space"):
            ledger.charge(row)
    assert list(ledger) == []
    # The disk has room again: the ledger goes on, with the row once.
    assert ledger.charge(row)
    assert list(Ledger(tmp_path / "ledger.jsonl")) == [row]


def test_garbage_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    path.write_text('{"row": 3}\n')
    with pytest.raises(PrivacyRefusedError, match="line 1"):
        Ledger(path)


#: Written by the version before heads and budgets: its rows and hashes must stay what they are.
OLD = (
    '{"row": {"study": "old", "round": 1, "model": "m", "spend": {"noise_multiplier": 1.5, "sampling_rate": 0.25, '
    '"steps": 12}}, "sha256": "4d5297e783e8d414cdfc9b06b9ee73f6cf39d31b18f985b30c0044658982db9d"}\n'
    '{"row": {"study": "old", "round": 2, "model": "n", "spend": {"noise_multiplier": 1.5, "sampling_rate": 0.25, '
    '"steps": 12}}, "sha256": "169663cff18a5c62d1b54d7d9f7f05ab24c2a54017e5cda470deb8b04ab2c555"}\n'
)


def test_a_ledger_of_the_version_before_is_read_and_written_on(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    path.write_text(OLD)
    old = [Charge("old", r, m, Spend(1.5, 0.25, 12)) for r, m in ((1, "m"), (2, "n"))]
    ledger = Ledger(path)
    assert list(ledger) == old
    assert not ledger.charge(old[1])
    new = Charge("new", 1, "o", None)
    assert ledger.charge(new)
    assert path.read_text().startswith(OLD)
    assert list(Ledger(path)) == [*old, new]
    # From now on rows that go missing are noticed.
    path.write_text(OLD)
    with pytest.raises(PrivacyRefusedError, match="2 rows where 3 were written"):
        Ledger(path)


def test_a_missing_or_damaged_head_is_refused(tmp_path: Path) -> None:
    path, head = tmp_path / "ledger.jsonl", tmp_path / "ledger.jsonl.head"
    ledger = Ledger(path)
    ledger.charge(Charge("s", 1, "m", Spend(1.0, 0.5, 10)))
    content = head.read_bytes()
    for damage in (b"", b"[]", b'{"rows": -1, "sha256": ""}', b'{"rows": "x", "sha256": ""}', b"\xff"):
        head.write_bytes(damage)
        with pytest.raises(PrivacyRefusedError, match=r"damaged ledger\.jsonl\.head"):
            Ledger(path)
        with pytest.raises(PrivacyRefusedError, match=r"damaged ledger\.jsonl\.head"):
            ledger.charge(Charge("s", 2, "m", Spend(1.0, 0.5, 10)))
    head.unlink()
    with pytest.raises(PrivacyRefusedError, match=r"has lost ledger\.jsonl\.head"):
        Ledger(path)
    head.write_bytes(content)
    assert len(Ledger(path).spends()) == 1


def test_whoever_is_told_that_a_row_is_charged_finds_it_guarded(tmp_path: Path) -> None:
    """A crash between the row and its head leaves the head behind; it is mended before anybody acts on the row."""
    path, head = tmp_path / "ledger.jsonl", tmp_path / "ledger.jsonl.head"
    rows = [Charge("s", round, "m", Spend(1.0, 0.5, 10)) for round in (1, 2)]
    Ledger(path).charge(rows[0])
    first, behind = path.read_bytes(), head.read_bytes()
    Ledger(path).charge(rows[1])
    head.write_bytes(behind)
    assert not Ledger(path).charge(rows[1])
    path.write_bytes(first)
    with pytest.raises(PrivacyRefusedError, match="1 rows where 2 were written"):
        Ledger(path)


def test_rows_of_another_process_are_read_before_charging(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    ours, theirs = Ledger(path), Ledger(path)
    rows = [Charge("s", round, "m", Spend(1.0, 0.5, 10)) for round in (1, 2, 3)]
    assert ours.charge(rows[0])
    assert not theirs.charge(rows[0])
    assert theirs.charge(rows[1])
    assert ours.charge(rows[2])
    assert list(ours) == list(Ledger(path)) == rows


def test_a_file_that_lost_rows_since_it_was_read_is_refused(tmp_path: Path) -> None:
    path, head = tmp_path / "ledger.jsonl", tmp_path / "ledger.jsonl.head"
    ledger = Ledger(path)
    ledger.charge(Charge("s", 1, "m", Spend(1.0, 0.5, 10)))
    early = path.read_bytes(), head.read_bytes()
    ledger.charge(Charge("s", 2, "m", Spend(1.0, 0.5, 10)))
    # Both put back together: another process could not tell, this one can.
    path.write_bytes(early[0])
    head.write_bytes(early[1])
    with pytest.raises(PrivacyRefusedError, match="1 rows where 2 were written"):
        ledger.charge(Charge("s", 3, "m", Spend(1.0, 0.5, 10)))
    # Other rows instead of those read.
    path.unlink()
    head.unlink()
    other = Ledger(path)
    for round in (1, 2, 3):
        other.charge(Charge("t", round, "m", Spend(1.0, 0.5, 10)))
    with pytest.raises(PrivacyRefusedError, match="other rows than were written"):
        ledger.charge(Charge("s", 3, "m", Spend(1.0, 0.5, 10)))


def test_reading_never_writes(tmp_path: Path) -> None:
    """Somebody may look at a ledger while a row is being written to it: the unfinished line is not theirs to cut."""
    path = tmp_path / "ledger.jsonl"
    Ledger(path).charge(Charge("s", 1, "m", Spend(1.0, 0.5, 10)))
    whole = path.read_bytes()
    path.write_bytes(whole + whole[:40])
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    ledger = Ledger(path)
    assert len(ledger.spends()) == 1
    assert ledger.spent(1e-3) > 0
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before
    assert list(Ledger(tmp_path / "none" / "ledger.jsonl")) == []
    assert not (tmp_path / "none").exists()


def test_a_row_is_on_disk_before_its_head_and_both_before_the_steps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = Ledger(tmp_path / "ledger.jsonl")
    ledger.charge(Charge("s", 1, "m", Spend(1.0, 0.5, 10)))
    real, order = os.fsync, []

    def fsync(handle: int) -> None:
        real(handle)
        order.append(Path(f"/proc/self/fd/{handle}").readlink().name)

    monkeypatch.setattr("os.fsync", fsync)
    ledger.charge(Charge("s", 2, "m", Spend(1.0, 0.5, 10)))
    row, head, folder = order
    assert (row, folder) == ("ledger.jsonl", tmp_path.name)
    assert head.startswith(".ledger.jsonl.head.")
