"""How a number is printed: sensible digits, real minus signs, an em dash where there is none."""

from __future__ import annotations

import math
from typing import Any

from jinja2 import Undefined

DASH = "\u2014"
MINUS = "\u2212"
#: Narrow space between groups of three digits and between a number and its unit; never broken over lines.
THIN = "\u202f"
_SUPERSCRIPT = str.maketrans(
    "-0123456789", "\u207b\u2070\u00b9\u00b2\u00b3\u2074\u2075\u2076\u2077\u2078\u2079"
)


def absent(value: object) -> bool:
    """Whether there is nothing to print: None, a missing key, an empty text, NaN or infinity."""
    if value is None or value == "" or isinstance(value, Undefined):
        return True
    return isinstance(value, float) and not math.isfinite(value)


def printable(value: Any) -> Any:
    """What a template prints without a filter: the value (an empty text included), or a dash."""
    return DASH if value != "" and absent(value) else value


def _signed(text: str) -> str:
    return text.replace("-", MINUS)


def number(value: Any) -> str:
    """About three significant digits; whole numbers in full, very small ones as a power of ten.

    >>> number(0.51234), number(12.3456), number(48210), number(None)
    ('0.512', '12.35', '48\u202f210', '\u2014')
    """
    if absent(value):
        return DASH
    if isinstance(value, bool | str):
        return str(value)
    if isinstance(value, int):
        return count(value)
    size = abs(value)
    if size == 0:
        return "0"
    if size < 0.001:
        return scientific(value)
    if size >= 10_000:
        return count(round(value))
    digits = 5 if size < 0.01 else 4 if size < 0.1 else 3 if size < 10 else 2 if size < 100 else 1
    return _signed(f"{value:.{digits}f}")


def scientific(value: Any) -> str:
    """A number as digits times a power of ten.

    >>> scientific(1e-5)
    '1\u202f\u00d7\u202f10\u207b\u2075'
    """
    if absent(value):
        return DASH
    mantissa, exponent = f"{value:.1e}".split("e")
    power = str(int(exponent)).translate(_SUPERSCRIPT)
    return _signed(f"{mantissa.removesuffix('.0')}{THIN}\u00d7{THIN}10{power}")


def count(value: Any) -> str:
    """A whole number; from five digits on in groups of three."""
    if absent(value):
        return DASH
    whole = round(value)
    return _signed(f"{whole:,}".replace(",", THIN) if abs(whole) >= 10_000 else str(whole))


def epsilon(value: Any) -> str:
    """An epsilon with two decimals, rounded UP: a printed privacy loss is never smaller than the true one.

    >>> epsilon(7.9912), epsilon(8.0)
    ('8.00', '8.00')
    """
    if absent(value):
        return DASH
    return f"{math.ceil(round(value * 100, 6)) / 100:.2f}"


def percent(value: Any) -> str:
    """A share as a percentage."""
    return DASH if absent(value) else _signed(f"{100 * value:.3g}{THIN}%")


def interval(low: Any, high: Any) -> str:
    """Two bounds, or the only one there is."""
    if absent(low) and absent(high):
        return DASH
    if absent(high):
        return f"\u2265{THIN}{number(low)}"
    if absent(low):
        return f"\u2264{THIN}{number(high)}"
    return f"{number(low)} to {number(high)}"


def seconds(value: Any) -> str:
    """A duration in the unit a person would use.

    >>> seconds(3.21), seconds(252), seconds(3900)
    ('3.2\u202fs', '4\u202fmin 12\u202fs', '1\u202fh 05\u202fmin')
    """
    if absent(value):
        return DASH
    if value < 10:
        return f"{value:.1f}{THIN}s"
    whole = round(value)
    if whole < 60:
        return f"{whole}{THIN}s"
    if whole < 3600:
        return f"{whole // 60}{THIN}min {whole % 60:02d}{THIN}s"
    minutes = round(value / 60)
    return f"{minutes // 60}{THIN}h {minutes % 60:02d}{THIN}min"
