"""Checkpoints: the newest whole one of this study, or an error that says which file is wrong."""

from __future__ import annotations

import json

import pytest
import torch

from fedgen.errors import DataError
from fedgen.run.checkpoint import KEEP, Checkpoint, latest_checkpoint, save_checkpoint

STUDY = "a" * 64


def checkpoint(round: int, study: str = STUDY) -> Checkpoint:
    rng = torch.Generator().manual_seed(round)
    return Checkpoint(round, torch.randn(9, generator=rng), torch.randn(9, generator=rng), study)


def same(one: Checkpoint, other: Checkpoint) -> bool:
    return (
        (one.round, one.study_sha256) == (other.round, other.study_sha256)
        and torch.equal(one.model, other.model)
        and torch.equal(one.ema, other.ema)
    )


@pytest.fixture
def saved(tmp_path):
    """A folder with rounds 1 and 2."""
    for round in (1, 2):
        save_checkpoint(tmp_path, checkpoint(round))
    return tmp_path


def test_nothing_saved_is_nothing_found(tmp_path) -> None:
    assert latest_checkpoint(tmp_path / "none", STUDY) is None


def test_the_newest_comes_back(saved) -> None:
    assert same(latest_checkpoint(saved, STUDY), checkpoint(2))


def test_round_ten_is_newer_than_round_nine(tmp_path) -> None:
    for round in (9, 10):
        save_checkpoint(tmp_path, checkpoint(round))
    assert latest_checkpoint(tmp_path, STUDY).round == 10


def test_the_description_says_what_the_file_holds(saved) -> None:
    description = json.loads((saved / "round-00002.json").read_text())
    assert set(description) == {"round", "study_sha256", "parameters", "sha256"}
    assert (description["round"], description["parameters"]) == (2, 9)


def test_three_are_kept(tmp_path) -> None:
    for round in range(6):
        save_checkpoint(tmp_path, checkpoint(round))
    assert KEEP == 3
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        f"round-{round:05d}.{kind}" for round in (3, 4, 5) for kind in ("json", "safetensors")
    ]


def test_interrupted_between_the_two_files_the_one_before_is_used(saved, monkeypatch) -> None:
    from fedgen.run import checkpoint as module

    def only_tensors(path, content):
        if path.suffix == ".json":
            raise KeyboardInterrupt
        write(path, content)

    write = module.write_atomic
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(module, "write_atomic", only_tensors)
        save_checkpoint(saved, checkpoint(3))
    assert (saved / "round-00003.safetensors").exists()
    assert same(latest_checkpoint(saved, STUDY), checkpoint(2))
    save_checkpoint(saved, checkpoint(3))
    assert same(latest_checkpoint(saved, STUDY), checkpoint(3))


def test_a_full_disk_leaves_the_one_before(saved, disk_full) -> None:
    with disk_full(), pytest.raises(DataError, match="disk is full"):
        save_checkpoint(saved, checkpoint(3))
    assert same(latest_checkpoint(saved, STUDY), checkpoint(2))


def test_another_studys_is_refused(saved) -> None:
    with pytest.raises(DataError, match="belongs to another study: start a new run"):
        latest_checkpoint(saved, "b" * 64)


def flip(path):
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


DAMAGE = {
    "flipped bit": lambda folder: flip(folder / "round-00002.safetensors"),
    "truncated": lambda folder: (folder / "round-00002.safetensors").write_bytes(b"{}"),
    "tensors gone": lambda folder: (folder / "round-00002.safetensors").unlink(),
    "not JSON": lambda folder: (folder / "round-00002.json").write_text("{"),
    "not an object": lambda folder: (folder / "round-00002.json").write_text("[]"),
    "null": lambda folder: (folder / "round-00002.json").write_text("null"),
    "keys missing": lambda folder: (folder / "round-00002.json").write_text("{}"),
    "round is null": lambda folder: (folder / "round-00002.json").write_text(
        json.dumps({**json.loads((folder / "round-00002.json").read_text()), "round": None})
    ),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_one_is_named_and_not_passed_over(saved, damage) -> None:
    """Going back a round silently would train it twice; a person decides."""
    DAMAGE[damage](saved)
    with pytest.raises(DataError, match=r"round-00002.*remove it to use the one before"):
        latest_checkpoint(saved, STUDY)
    (saved / "round-00002.json").unlink()
    assert same(latest_checkpoint(saved, STUDY), checkpoint(1))
