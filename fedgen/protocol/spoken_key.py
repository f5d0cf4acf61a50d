"""A public key as people compare it by telephone: 40 decimal digits in groups of five, the same in every language.

Decimal, because letters are misheard. 40 digits are 132 bits of a SHA-256: nobody finds another key with the same
ones, whatever they spend, so that a coordinator which passed the keys on cannot have passed on keys of its own.
"""

from __future__ import annotations

import hashlib
import re
from typing import Annotated

from pydantic import AfterValidator

_DIGITS, _GROUP = 40, 5
_DOMAIN = b"fedgen-spoken-key/1\n"


def spoken_key(key: bytes) -> str:
    """The fingerprint of an Ed25519 public key: `01234 56789 ...`, eight groups.

    >>> spoken_key(bytes(32))
    '39784 70432 31476 78477 03758 86256 55887 28694'
    """
    if len(key) != 32:
        raise ValueError(f"a public key has 32 bytes, not {len(key)}")
    number = int.from_bytes(hashlib.sha256(_DOMAIN + key).digest()) % 10**_DIGITS
    return _grouped(f"{number:0{_DIGITS}d}")


def _spoken(text: str) -> str:
    digits = re.sub(r"[\s-]", "", text)
    if not re.fullmatch(rf"[0-9]{{{_DIGITS}}}", digits):
        raise ValueError(
            f"must be {_DIGITS} digits, in groups or not, as `fedgen-client fingerprint` prints them at that site"
        )
    return _grouped(digits)


def _grouped(digits: str) -> str:
    return " ".join(digits[start : start + _GROUP] for start in range(0, _DIGITS, _GROUP))


#: A fingerprint as a person typed it, with or without blanks; kept as `spoken_key` writes it.
SpokenKey = Annotated[str, AfterValidator(_spoken)]
