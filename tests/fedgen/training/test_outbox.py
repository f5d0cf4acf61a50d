"""A finished round lies on the site's disk until it may be forgotten, and comes back as it was."""

from __future__ import annotations

import pytest
import torch

from fedgen.errors import DataError
from fedgen.training.outbox import KEEP, Outbox, RoundResult

KEY = {"study": "a" * 64, "model": "b" * 64}


def result(seed: int = 0) -> RoundResult:
    rng = torch.Generator().manual_seed(seed)
    return RoundResult(
        update=torch.randn(17, generator=rng),
        losses={"vae": (1.0 / 3.0, 0.1), "other": (-0.0, 0.0)},
        optimizer={"vae/0/exp_avg": torch.randn(3, 2, generator=rng), "vae/0/step": torch.tensor(4.0)},
    )


@pytest.fixture
def outbox(tmp_path) -> Outbox:
    return Outbox(tmp_path / "outbox")


def test_a_result_comes_back_bit_for_bit(outbox) -> None:
    outbox.put(3, KEY, result())
    found = outbox.get(3, KEY)
    assert torch.equal(found.update, result().update)
    assert found.losses == result().losses
    assert set(found.optimizer) == set(result().optimizer)
    for name, tensor in result().optimizer.items():
        assert torch.equal(found.optimizer[name], tensor)
        assert found.optimizer[name].shape == tensor.shape


@pytest.mark.parametrize("changed", [{"study": "c" * 64}, {"model": "c" * 64}])
def test_another_key_gets_nothing(outbox, changed) -> None:
    outbox.put(1, KEY, result())
    assert outbox.get(1, {**KEY, **changed}) is None
    assert outbox.get(2, KEY) is None
    assert outbox.get(1, KEY) is not None


def test_a_truncated_file_is_no_result_but_is_known(outbox, tmp_path) -> None:
    outbox.put(1, KEY, result())
    (path,) = (tmp_path / "outbox").iterdir()
    path.write_bytes(path.read_bytes()[:-20])
    assert outbox.get(1, KEY) is None
    assert outbox.holds(1)
    assert not outbox.holds(2)


def test_the_newest_two_are_kept(outbox, tmp_path) -> None:
    for round in range(1, 6):
        outbox.put(round, KEY, result(round))
    assert KEEP == 2
    assert [outbox.get(round, KEY) is not None for round in range(1, 6)] == [False] * 3 + [True] * 2
    assert len(list((tmp_path / "outbox").iterdir())) == 2


def test_a_result_just_put_is_never_the_one_removed(outbox) -> None:
    for round in (8, 9, 3):
        outbox.put(round, KEY, result(round))
    assert outbox.get(3, KEY) is not None


def test_moments_come_from_the_latest_earlier_round_of_the_study(outbox) -> None:
    assert outbox.optimizer_before(1, KEY["study"]) == {}
    outbox.put(2, KEY, result(2))
    outbox.put(4, {**KEY, "model": "d" * 64}, result(4))
    for round, source in ((3, 2), (4, 2), (5, 4), (9, 4)):
        found = outbox.optimizer_before(round, KEY["study"])
        assert torch.equal(found["vae/0/exp_avg"], result(source).optimizer["vae/0/exp_avg"])
    assert outbox.optimizer_before(2, KEY["study"]) == {}
    assert outbox.optimizer_before(9, "e" * 64) == {}


def test_a_full_disk_is_an_error_and_leaves_the_earlier_result(outbox, monkeypatch, disk_full) -> None:
    outbox.put(1, KEY, result(1))
    with disk_full(), pytest.raises(DataError, match="disk is full"):
        outbox.put(2, KEY, result(2))
    assert outbox.get(2, KEY) is None
    assert torch.equal(outbox.get(1, KEY).update, result(1).update)
