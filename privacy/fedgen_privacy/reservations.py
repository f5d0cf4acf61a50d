"""What studies that were admitted may still spend: kept free for them, so that none that began is ended by another.

A file beside the ledger, replaced whole, so that after kill -9 it holds the reservations of before or of after. It is
no record of what was spent: that is the ledger's rows alone, and a reservation that is lost, old or removed by hand can
only make room for a charge that the ledger still judges. So it is not chained, and needs no head. Knows nothing of
accountants and so loads without torch: whoever ends a study can release it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fedgen_privacy.durable import replace_file
from fedgen_privacy.errors import PrivacyRefusedError
from fedgen_privacy.lock import exclusive

#: Steps of a study's whole plan: a row for each mechanism, as the ledger writes a spend; None is work without privacy.
PlanRows = Sequence[Mapping[str, Any] | None]


def lock_of(ledger: Path) -> Path:
    """The file that is held by whoever changes the ledger or its reservations."""
    return ledger.with_name(f"{ledger.name}.lock")


def reservations_of(ledger: Path) -> dict[str, PlanRows]:
    """The whole plan of each study that was admitted and not released, by the study's hash.

    Raises:
        PrivacyRefusedError: the file is damaged.
        OSError: it is there and cannot be read.
    """
    path = _file(ledger)
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return {}
    try:
        found = json.loads(content)["plans"]
        return {
            str(study): [None if row is None else dict(row) for row in plan] for study, plan in found.items()
        }
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise damaged(ledger) from error


def keep(ledger: Path, plans: Mapping[str, PlanRows]) -> None:
    """Put these plans in the place of all there are; the caller holds the lock.

    Raises:
        OSError: it could not be written.
    """
    replace_file(
        _file(ledger), json.dumps({"plans": plans}, allow_nan=False, sort_keys=True).encode() + b"\n"
    )


def release(ledger: Path, study: str) -> bool:
    """Let others have what is kept free for a study; what it has spent stays spent. False where nothing was.

    Raises:
        PrivacyRefusedError, LockedError, OSError: as `reservations_of` and `exclusive`.
    """
    if not _file(ledger).exists():
        return False
    with exclusive(lock_of(ledger)):
        plans = reservations_of(ledger)
        if plans.pop(study, None) is None:
            return False
        keep(ledger, plans)
        return True


def damaged(ledger: Path) -> PrivacyRefusedError:
    """What to say of a file that cannot be understood."""
    return PrivacyRefusedError(
        f"{_file(ledger)} is damaged, so what is kept free for admitted studies is unknown: remove it; what was spent "
        "is in the ledger and stays, and studies that go on are admitted anew."
    )


def _file(ledger: Path) -> Path:
    return ledger.with_name(f"{ledger.name}.reserved")
