"""The sum is the exact fixed-point sum of the survivors, or there is none: whole sessions over bytes."""

from __future__ import annotations

import itertools
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from fedgen_privacy.secagg import Phase, SecAggAborted

ORDER = list(Phase)
MANY = settings(
    max_examples=5 * settings.default.max_examples // 2,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    database=None,
)


def outcome(p: Any, names: list[str], silent: dict[str, Phase]) -> tuple[Phase | None, list[str]]:
    """Where a session must end, and who must be in the sum, from who falls silent when: the rules, counted."""

    def left(phase: Phase) -> list[str]:
        return [n for n in names if n not in silent or ORDER.index(silent[n]) > ORDER.index(phase)]

    for phase in (Phase.ADVERTISE, Phase.SHARE, Phase.MASK):
        if len(left(phase)) < max(p.threshold, p.minimum_sites + p.colluders):
            return phase, []
    for phase in (Phase.CONFIRM, Phase.UNMASK):
        if len(left(phase)) < p.threshold:
            return phase, []
    return None, left(Phase.MASK)


def check_total(drill: Any, total: Any, survivors: list[str]) -> None:
    """The decoded sum against the integers that each survivor put in, recovered one by one."""
    p = drill.parameters
    encoded = [drill.encoded(name) for name in survivors]
    lanes, tail = sum(e[0] for e in encoded), sum(e[1] for e in encoded)
    weight = sum(drill.contributions[name].weight for name in survivors)
    assert (int(tail[0]), int(tail[1])) == (len(survivors), weight)
    assert total.weight == weight
    for k in range(p.metrics):
        exact = sum(Fraction(round(Fraction(drill.contributions[n].metrics[k]) * 2**32)) for n in survivors)
        assert int(tail[2 + k]) == exact
        assert total.metrics[k] == float(exact / 2**32)
    step = Fraction(p.bound) * p.weight_cap / (p.levels(len(drill.names)) * weight)
    expected = np.array([float(int(value) * step) for value in lanes])
    # With mantissas a and b of the integer and the factor, their roundings move the product by (a + b) / 2 < 3 / 2 of
    # a unit in its last place, or by half as much where ab >= 2; its own and that of what is expected by one half each.
    np.testing.assert_array_max_ulp(total.mean, expected.astype(np.float32), maxulp=2)
    small = np.abs(lanes) < 2**22
    np.testing.assert_array_equal(np.rint(total.mean.astype(np.float64) / float(step))[small], lanes[small])
    for name, (integers, _) in zip(survivors, encoded, strict=True):
        mine = drill.contributions[name]
        scale = mine.weight / p.weight_cap * p.levels(len(drill.names)) / p.bound
        wanted = np.clip(mine.vector.astype(np.float64), -p.bound, p.bound) * scale
        # As the encoding promises: less than one level, and three roundings of the value.
        assert np.all(np.abs(integers - wanted) < 1 + 3 * 2.0**-24 * np.abs(wanted))


@st.composite
def sessions(draw: st.DrawFn) -> dict[str, Any]:
    n = draw(st.integers(3, 7))
    c = draw(st.integers(0, n - 3))
    t = draw(st.integers((n + c) // 2 + 1, n))
    ring_bits = draw(st.sampled_from([16, 32]))
    p = {
        "minimum_sites": draw(st.integers(3, n - c)),
        "threshold": t,
        "colluders": c,
        "bound": draw(st.sampled_from([0.01, 0.3, 1.0, 7.0, 1e4])),
        "weight_cap": draw(st.sampled_from([1, 2, 100] if ring_bits == 16 else [1, 2, 1000, 2**20])),
        "ring_bits": ring_bits,
        "length": draw(st.integers(1, 41)),
        "metrics": draw(st.integers(0, 3)),
    }
    # Most sites stay, or nearly every session would be the same early abort.
    when = st.sampled_from([None] * 20 + ORDER)
    silent = {f"site{k:02d}": phase for k in range(n) if (phase := draw(when)) is not None}
    return {"sites": n, "parameters": p, "silent": silent, "seed": draw(st.integers(0, 2**32 - 1))}


@MANY
@given(sessions())
def test_any_session_gives_the_exact_sum_of_the_survivors_or_a_typed_abort(
    drill: Any, contribution: Any, case: dict[str, Any]
) -> None:
    rng = np.random.default_rng(case["seed"])
    p = case["parameters"]
    contributions = {
        f"site{k:02d}": contribution(
            (rng.uniform(-1.3, 1.3, p["length"]) * p["bound"]).astype(np.float32),
            int(rng.integers(1, p["weight_cap"] + 1)),
            tuple(float(m) for m in rng.normal(0, 10.0 ** rng.integers(-8, 5), p["metrics"])),
        )
        for k in range(case["sites"])
    }
    session = drill(case["sites"], at={"contributions": contributions, "silent": case["silent"]}, **p)
    ends, survivors = outcome(session.parameters, session.names, case["silent"])
    if ends is None:
        check_total(session, session.run(), survivors)
        assert session.server.survivors == tuple(survivors)
        assert set(session.server.dropped) == set(case["silent"])
        return
    with pytest.raises(SecAggAborted) as caught:
        session.run()
    assert caught.value.phase is ends
    # Everybody who fell silent by then is named, and nobody else.
    gone = sorted(n for n, phase in case["silent"].items() if ORDER.index(phase) <= ORDER.index(ends))
    assert list(caught.value.sites) == gone
    assert session.total is None


def test_every_pattern_of_up_to_two_dropouts_of_four(drill: Any) -> None:
    for places in itertools.product([None, *ORDER], repeat=2):
        for pair in itertools.combinations(range(4), 2):
            silent = {f"site{k:02d}": p for k, p in zip(pair, places, strict=True) if p is not None}
            session = drill(4, at={"silent": silent}, length=2, metrics=1)
            ends, survivors = outcome(session.parameters, session.names, silent)
            if ends is None:
                check_total(session, session.run(), survivors)
            else:
                with pytest.raises(SecAggAborted) as caught:
                    session.run()
                assert caught.value.phase is ends


@pytest.mark.parametrize(
    ("ring_bits", "length"),
    [
        *((bits, length) for bits in (16, 32) for length in (1, 2, 3, 4, 5, 16383, 16384, 16385)),
        (32, 2**16 - 1),
        (32, 2**16),
        (32, 2**16 + 1),
        (16, 2**17 - 1),
        (16, 2**17 + 1),
        (16, 2**17 + 3),
        (32, 2**17 + 16385),
    ],
)
def test_every_length_around_blocks_and_chunks(drill: Any, ring_bits: int, length: int) -> None:
    session = drill(4, at={"silent": {"site01": Phase.MASK}}, ring_bits=ring_bits, length=length)
    check_total(session, session.run(), ["site00", "site02", "site03"])


@st.composite
def grids(draw: st.DrawFn) -> dict[str, Any]:
    """Values of four sites, as whole numbers of levels a unit of weight, and the sites' weights."""
    bits, cap = draw(st.sampled_from([16, 32])), draw(st.sampled_from([1, 4, 16]))
    largest = min(2 ** (bits - 3) // 4, 2**24) // cap
    length = draw(st.integers(1, 9))
    whole = st.lists(st.integers(-largest, largest), min_size=length, max_size=length)
    entries = [(draw(whole), draw(st.integers(1, cap))) for _ in range(4)]
    return {"bits": bits, "cap": cap, "entries": entries}


@MANY
@given(grids())
# A sum beyond 2^24 levels and a mean of -82860300 / 13: three roundings that add up to more than two.
@example({"bits": 32, "cap": 4, "entries": [([-4194304], 4), ([-984464], 4), ([0], 4), ([-3], 1)]})
# The largest sum that is a float32 itself, and the first beyond it.
@example({"bits": 32, "cap": 1, "entries": [([2**24], 1), ([0], 1), ([0], 1), ([0], 1)]})
@example({"bits": 32, "cap": 1, "entries": [([2**24], 1), ([1], 1), ([0], 1), ([0], 1)]})
def test_values_on_the_grid_are_summed_exactly_and_decoded_as_promised(
    drill: Any, contribution: Any, case: dict[str, Any]
) -> None:
    bits, cap = case["bits"], case["cap"]
    entries = {f"site{k:02d}": entry for k, entry in enumerate(case["entries"])}
    levels, length = 2 ** (bits - 3) // 4, len(case["entries"][0][0])
    # With a bound of as many levels as there are, a value v of weight w is exactly v * w / cap levels.
    session = drill(
        4,
        at={
            "contributions": {
                name: contribution(np.array(m, dtype=np.float32) * cap, w, (m[0] / 2**20, float(w)))
                for name, (m, w) in entries.items()
            }
        },
        bound=float(levels),
        weight_cap=cap,
        ring_bits=bits,
        length=length,
    )
    total = session.run()
    weight = sum(w for _, w in entries.values())
    r = Fraction(1, 2**24)
    for k in range(length):
        summed = sum(m[k] * w for m, w in entries.values())
        exact = Fraction(summed * cap, weight)
        roundings = 2 if abs(summed) <= 2**24 else 3
        assert abs(Fraction(float(total.mean[k])) - exact) <= roundings * r * (1 + 2 * r) * abs(exact)
    assert total.weight == weight == total.metrics[1]
    assert total.metrics[0] == sum(m[0] for m, _ in entries.values()) / 2**20


def test_a_known_sum_decodes_to_the_weighted_mean(drill: Any, contribution: Any) -> None:
    rng = np.random.default_rng(3)
    vectors = rng.normal(0, 0.2, (5, 400)).astype(np.float32).clip(-1, 1)
    weights = [3, 100, 57, 1, 99]
    session = drill(
        5,
        at={
            "contributions": {
                f"site{k:02d}": contribution(vectors[k], weights[k], (float(k), -2.5)) for k in range(5)
            }
        },
        length=400,
        weight_cap=100,
    )
    total = session.run()
    exact = np.average(vectors.astype(np.float64), axis=0, weights=weights)
    # Five roundings of under one level each, and float32's own error.
    level = 100 / (session.parameters.levels(5) * sum(weights))
    np.testing.assert_allclose(total.mean, exact, rtol=2e-7, atol=5 * level)
    assert total.mean.dtype == np.float32
    assert (total.weight, total.metrics) == (260, (10.0, -12.5))
