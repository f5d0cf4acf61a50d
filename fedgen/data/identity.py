"""Identities as people and programs write them: words that mean "missing", and spellings that differ in form alone."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from decimal import Decimal

#: What pandas, R, spreadsheets and people write where nothing is known; compared without case and brackets.
_MISSING = frozenset(
    {
        "",
        "n/a",
        "na",
        "n.a.",
        "n.a",
        "nan",
        "nat",
        "none",
        "null",
        "nil",
        "unknown",
        "unk",
        "unbekannt",
        "inconnu",
    }
    | {"desconocido", "missing", "undefined", "not available", "not known", "not applicable"}
)
#: What programs write over an identity that they remove: the same word for everybody.
_PLACEHOLDERS = frozenset(
    {"anonymous", "anonymized", "anonymised", "anonym", "anon", "deidentified", "de-identified", "removed"}
    | {
        "redacted",
        "hidden",
        "patient",
        "noname",
        "no name",
        "no id",
        "noid",
        "test",
        "dummy",
        "anonymous patient",
    }
)
#: As spreadsheets and pandas write large numbers; `1E5` without a sign may be an identity.
_SCIENTIFIC = re.compile(r"\d+(\.\d+)?e\+\d{1,3}")
_WHOLE = re.compile(r"(\d+)\.0+")
_LEADING_ZEROS = re.compile(r"(?<![\d.])0+(?=\d)")
_MONTH = r"(jan|feb|m[aä]r|mrz|apr|may|mai|jun|jul|aug|sep|oct|okt|nov|dec|dez)[a-z]*\.?"
_DATE = re.compile(
    rf"\d{{1,2}}[-. ]{{1,2}}{_MONTH}([-. ]\d{{2,4}})?|{_MONTH}[-. ]\d{{2,4}}|\d{{4}}-\d\d-\d\d[ t]00:00:00"
)


def composed(text: str) -> str:
    """The text in Unicode's composed form (NFC): one letter is one character, whichever system wrote it."""
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def is_missing(text: str) -> bool:
    """Whether a cell or tag says nothing: empty, dashes, question marks, or a word such as `n/a`, `NA` or `None`.

    >>> [is_missing(word) for word in ("n/a", "<NA>", "--", "P1", "Nancy")]
    [True, True, True, False, False]
    """
    word = text.strip().strip("<>[](){}#").strip().casefold()
    return word in _MISSING or not word.strip("-_?.*/ ")


def is_unlabelled(label: str) -> bool:
    """Whether a cell of classes says nothing; `none` and `unknown` may be classes."""
    return is_missing(label) and label.strip().casefold() not in ("none", "unknown", "unk", "nil", "missing")


def is_placeholder(text: str) -> bool:
    """Whether an identity is a word or a run of zeros or x that a program writes over everybody's."""
    word = " ".join(text.replace("_", " ").replace("^", " ").split()).casefold()
    return word in _PLACEHOLDERS or not word.strip("0") or not word.strip("x")


def form(identity: str) -> str:
    """What two identities share where they differ in form alone.

    Alike are: compositions of Unicode, full and half width, invisible characters, case, spaces, leading zeros of a
    number, `7` and `7.0`, a number and its scientific notation.

    >>> form("007") == form("7.0") == form("7"), form("1.20E+05") == form("120000"), form("P 01") == form("p1")
    (True, True, True)
    """
    text = identity if identity.isascii() else unicodedata.normalize("NFKC", identity)
    if not text.isprintable():
        # Zero-width spaces, byte-order marks and padding come along with copied cells and tags.
        text = "".join(letter for letter in text if unicodedata.category(letter) not in ("Cc", "Cf"))
    text = "".join(text.casefold().split())
    if _SCIENTIFIC.fullmatch(text):
        text = format(Decimal(text), "f")
    whole = _WHOLE.fullmatch(text)
    return _LEADING_ZEROS.sub("", whole[1] if whole else text)


def groups_of_one_form(identities: Iterable[str]) -> tuple[tuple[str, ...], ...]:
    """Groups of two or more identities that differ in form alone, each sorted, in alphabetical order."""
    groups: dict[str, set[str]] = {}
    for identity in identities:
        groups.setdefault(form(identity), set()).add(identity)
    return tuple(sorted(tuple(sorted(group)) for group in groups.values() if len(group) > 1))


def difference(one: str, other: str) -> str:
    """In what two identities of one form differ, in words; both may differ in more than that."""
    if composed(one) == composed(other):
        return "the composition of letters"
    if one.casefold() == other.casefold():
        return "upper and lower case"
    if "".join(one.split()) == "".join(other.split()):
        return "spaces"
    if not (one.isprintable() and other.isprintable()):
        return "invisible characters"
    if any(_SCIENTIFIC.fullmatch(text.casefold()) for text in (one, other)):
        return "scientific notation"
    if any(_WHOLE.fullmatch(text) for text in (one, other)):
        return "a decimal point"
    return "leading zeros"


def spreadsheet_damage(identity: str) -> str:
    """What a spreadsheet has made of an identity, `scientific notation` or `a date`; empty where it looks whole."""
    text = identity.strip().casefold()
    if _SCIENTIFIC.fullmatch(text):
        return "scientific notation"
    return "a date" if _DATE.fullmatch(text) else ""
