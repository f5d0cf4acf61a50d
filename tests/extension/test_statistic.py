"""A statistic is one file beside its family: sums, noise and ledger need no code of its own."""

from __future__ import annotations

from typing import Any

import pytest

KINDS = ("a statistic",)
#: A tenth of each site's patients is 0 bright, a tenth 0.1, ... a tenth 0.9.
MEAN = 0.45


@pytest.mark.parametrize("mode", ["none", "local", "distributed"])
def test_its_mean_is_learnt_in_one_exchange(exchanged: dict[str, dict[str, Any]], mode: str) -> None:
    found = exchanged[mode]
    assert found["round"] == 1
    assert found["image"] == [2, 1, 16, 16]
    assert found["brightness"] == pytest.approx(MEAN, abs=1e-3 if mode == "none" else 0.1)


def test_each_site_pays_for_it_under_either_noise(exchanged: dict[str, dict[str, Any]]) -> None:
    assert exchanged["none"]["charges"] == [0, 0, 0]
    for mode in ("local", "distributed"):
        assert exchanged[mode]["charges"] == [1, 1, 1]
        assert exchanged[mode]["discrete"] == [mode == "distributed"] * 3
        assert 0.95 * 8 < exchanged[mode]["epsilon"] <= 8
