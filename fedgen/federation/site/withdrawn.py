"""How many training patients were taken out of a study while it ran, and after which round: numbers, and no name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from pydantic import TypeAdapter

from fedgen.errors import PrivacyRefusedError
from fedgen.protocol.receipt import Withdrawn
from fedgen.run.atomic import write_atomic

_FORM = TypeAdapter(tuple[Withdrawn, ...])
#: In a site's folder of a study.
_FILE = "withdrawn.json"


def withdrawn_so_far(folder: Path) -> tuple[Withdrawn, ...]:
    """What was noted, in the order of rounds.

    Raises:
        PrivacyRefusedError: the note is damaged.
    """
    path = folder / _FILE
    if not path.exists():
        return ()
    try:
        return _FORM.validate_json(path.read_bytes())
    except (OSError, ValueError) as error:
        raise PrivacyRefusedError(
            f"{path} is damaged ({type(error).__name__}), so that which rounds held whom is not known: restore it from "
            "its backup."
        ) from None


def note_withdrawn(folder: Path, patients: int, last_round: Callable[[], int]) -> None:
    """Note that so many are out by now, before any further round is trained without them.

    Args:
        folder: the site's, of the study.
        patients: training patients of the study who are out, in all.
        last_round: the last round that was charged, and so may have read those who were not noted yet.

    Raises:
        PrivacyRefusedError, DataError: an earlier note is damaged, or this one cannot be written.
    """
    before = withdrawn_so_far(folder)
    more = patients - sum(each.patients for each in before)
    if more > 0:
        noted = {each.after_round: each.patients for each in before}
        after = last_round()
        noted[after] = noted.get(after, 0) + more
        found = tuple(Withdrawn(after_round=round, patients=noted[round]) for round in sorted(noted))
        write_atomic(folder / _FILE, _FORM.dump_json(found))
