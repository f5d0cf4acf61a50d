import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fedgen.report import numbers


@given(st.floats(0.01, 1000))
def test_a_printed_epsilon_is_never_below_the_true_one_and_close_to_it(value: float) -> None:
    printed = float(numbers.epsilon(value))
    assert value - 1e-6 <= printed < value + 0.01 + 1e-6


@pytest.mark.parametrize(
    "form",
    [
        numbers.number,
        numbers.scientific,
        numbers.count,
        numbers.epsilon,
        numbers.percent,
        numbers.seconds,
        numbers.printable,
    ],
)
@pytest.mark.parametrize("value", [None, math.nan, math.inf])
def test_what_is_absent_is_a_dash(form, value) -> None:  # type: ignore[no-untyped-def]
    assert form(value) == "\u2014"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.5, "0.500"),
        (0.0, "0"),
        (-0.0871, "\u22120.0871"),
        (41.2871, "41.29"),
        (123.456, "123.5"),
        (0.00018, "1.8\u202f\u00d7\u202f10\u207b\u2074"),
        (1234567, "1\u202f234\u202f567"),
        (9999, "9999"),
        (True, "True"),
        ("n/a", "n/a"),
    ],
)
def test_numbers_have_sensible_digits(value: object, text: str) -> None:
    assert numbers.number(value) == text


@given(st.floats(-1e9, 1e9, allow_nan=False))
@example(0.0625)
@example(0.00123)
def test_a_number_reads_back_within_its_digits(value: float) -> None:
    text = numbers.number(value).replace("\u202f", "").replace("\u2212", "-")
    for plain, raised in zip(
        "0123456789", "\u2070\u00b9\u00b2\u00b3\u2074\u2075\u2076\u2077\u2078\u2079", strict=True
    ):
        text = text.replace(raised, plain)
    text = text.replace("\u00d710\u207b", "e-")
    assert float(text) == pytest.approx(value, rel=0.06 if abs(value) < 0.001 else 5e-3)


def test_intervals_may_have_one_bound() -> None:
    assert numbers.interval(0.1, 0.2) == "0.100 to 0.200"
    assert numbers.interval(0.1, None) == "\u2265\u202f0.100"
    assert numbers.interval(None, 0.2) == "\u2264\u202f0.200"
    assert numbers.interval(None, None) == "\u2014"


def test_durations_use_the_unit_of_their_size() -> None:
    assert [numbers.seconds(value) for value in (3.21, 59.4, 252, 3599.6, 7260)] == [
        "3.2\u202fs",
        "59\u202fs",
        "4\u202fmin 12\u202fs",
        "1\u202fh 00\u202fmin",
        "2\u202fh 01\u202fmin",
    ]
