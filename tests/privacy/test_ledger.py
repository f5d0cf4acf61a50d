"""The ledger: written before the spend, chained, replayed, never under-counting."""

import json
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
@settings(deadline=None, max_examples=60)
def test_a_crash_at_any_byte_keeps_every_finished_row(
    tmp_path_factory: pytest.TempPathFactory, rows: list[Charge], data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("ledger") / "ledger.jsonl"
    kept = write(path, rows)
    content = path.read_bytes()
    length = data.draw(st.integers(0, len(content)))
    path.write_bytes(content[:length])
    finished = content[:length].count(b"\n")
    ledger = Ledger(path)
    assert list(ledger) == kept[:finished]
    # And it can be written on.
    if finished < len(kept):
        assert ledger.charge(kept[finished])
        assert list(Ledger(path)) == kept[: finished + 1]


@given(charges.filter(lambda rows: len({r.key for r in rows}) > 1), st.data())
@settings(deadline=None, max_examples=60)
def test_any_changed_removed_or_swapped_row_is_detected(
    tmp_path_factory: pytest.TempPathFactory, rows: list[Charge], data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("ledger") / "ledger.jsonl"
    write(path, rows)
    lines = path.read_text().splitlines()
    victim = data.draw(st.integers(0, len(lines) - 2))
    how = data.draw(st.sampled_from(["change", "remove", "swap"]))
    if how == "change":
        value = json.loads(lines[victim])
        value["row"]["spend"]["steps"] += 1
        lines[victim] = json.dumps(value)
    elif how == "remove":
        del lines[victim]
    else:
        lines[victim], lines[victim + 1] = lines[victim + 1], lines[victim]
    path.write_text("\n".join(lines) + "\n")
    with pytest.raises(PrivacyRefusedError, match="damaged at line"):
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
