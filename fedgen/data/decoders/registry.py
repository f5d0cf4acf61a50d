"""Which decoder reads a file; a format is one module of this folder, found by walking it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache, lru_cache
from pathlib import Path, PurePath

from fedgen.data import decoders
from fedgen.data.decoders.decoder import Decoder, UnreadableError
from fedgen.data.decoders.guard import is_file
from fedgen.data.offered import offered
from fedgen.errors import DataError


@cache
def by_ending() -> Mapping[str, Decoder]:
    """Every file ending that can be decoded, and its decoder.

    Raises:
        DataError: two decoders claim one ending.
    """
    claims: dict[str, Decoder] = {}
    for decoder in offered(decoders, "DECODER", Decoder):  # type: ignore[type-abstract]
        for ending in decoder.supported_file_endings:
            other = claims.setdefault(ending, decoder)
            if other is not decoder:
                raise DataError(
                    f"{type(other).__name__} and {type(decoder).__name__} both claim the ending {ending}: "
                    "take it out of the supported_file_endings of one of them."
                )
    return claims


def decoder_for(path: Path) -> Decoder:
    """The decoder of a file, by its longest known ending, or by its first bytes where its name has no known one.

    Raises:
        UnreadableError: no decoder knows the ending, or the content.
    """
    claims, name = by_ending(), path.name.lower()
    endings = [ending for ending in claims if name.endswith(ending)]
    if endings:
        return claims[max(endings, key=len)]
    named = not nameless(path)
    if not named or is_file(path):
        found = _by_content(path, path.stat().st_mtime_ns) if is_file(path) else _recognising(path)
        if found is not None:
            return found
    if named:
        raise UnreadableError(f"has an ending no reader knows (known: {', '.join(claims)}), nor its content")
    raise UnreadableError("has no ending, and no reader knows its content")


@lru_cache(maxsize=256)
def _by_content(path: Path, changed: int) -> Decoder | None:
    # Of a file that holds many images it is asked for each of them.
    return _recognising(path)


def _recognising(path: Path) -> Decoder | None:
    return next((each for each in dict.fromkeys(by_ending().values()) if each.recognises(path)), None)


def nameless(path: PurePath) -> bool:
    """Whether a file's name has no ending.

    PACS exports name files by UID, whose last component looks like an ending: digits, never letters.
    """
    return not path.suffix or path.suffix[1:].isdigit()
