"""Round numbers along an axis, beside those of matplotlib."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.ticker import MaxNLocator

from fedgen.report.svg import ticks_of


@given(
    low=st.floats(-1000, 1000),
    span=st.floats(0.1, 1000),
    bins=st.integers(3, 6),
    integer=st.booleans(),
)
def test_ticks_are_round_few_and_cover_the_values(low: float, span: float, bins: int, integer: bool) -> None:
    low, high = (round(low), round(low + span) + 1) if integer else (low, low + span)
    ticks = ticks_of(low, high, bins, integer)
    steps = [after - before for before, after in pairwise(ticks)]
    assert ticks[0] <= low + 1e-6 and ticks[-1] >= high - 1e-6
    assert 2 <= len(ticks) <= 2 * bins + 2
    assert steps == pytest.approx([steps[0]] * len(steps))
    digits = f"{steps[0]:.6e}".partition("e")[0]
    assert float(digits) in (1, 2, 2.5, 5)
    if integer:
        assert all(tick == round(tick) for tick in ticks)


@pytest.mark.parametrize(
    ("low", "high", "bins", "integer"),
    [
        (0.0, 1.0, 4, False),
        (0.277, 1.0, 4, False),
        (-0.03, 0.012, 4, False),
        (1, 20, 5, True),
        (0, 3, 5, True),
    ],
)
def test_ticks_are_those_of_matplotlib(low: float, high: float, bins: int, integer: bool) -> None:
    theirs = MaxNLocator(nbins=bins, integer=integer, steps=[1, 2, 2.5, 5, 10]).tick_values(low, high)
    assert ticks_of(low, high, bins, integer) == pytest.approx(list(theirs))


@pytest.mark.parametrize("value", [0.0, 0.7, -3.0, 1.0])
def test_one_value_has_an_axis_too(value: float) -> None:
    ticks = ticks_of(value, value, 4)
    assert ticks[0] < value < ticks[-1] and len(ticks) < 12
