"""A site's decision about one manifest: `approval.json` in the study's folder."""

from __future__ import annotations

import getpass
import socket
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from fedgen.errors import DataError
from fedgen.protocol.fields import Hex32, UtcTime
from fedgen.run.atomic import unreadable, write_atomic
from fedgen.schema.section import Section

Decision = Literal["approved", "denied"]
FILE = "approval.json"


class Approval(Section):
    """What was decided, of what, by whom.

    Attributes:
        manifest_sha256: the one manifest it is about; another manifest needs another decision.
        study_sha256: of the study in it.
        cohort: whose patients take part and whose budget pays; None where denied.
        decision: approved or denied.
        reason: why, where somebody said so.
        time: when, UTC.
        by: `user@host`, or `policy` where the site file approves always.
    """

    manifest_sha256: Hex32
    study_sha256: Hex32
    cohort: str | None
    decision: Decision
    reason: str | None
    time: UtcTime
    by: str


def this_person() -> str:
    """`user@host` of whoever runs this process."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        # A container's user may have no name.
        user = "unknown"
    return f"{user}@{socket.gethostname()}"


def now() -> datetime:
    """The time of a decision."""
    return datetime.now(UTC)


def read_approval(folder: Path) -> Approval | None:
    """The decision in a study's folder, or None.

    Raises:
        DataError: it is damaged or unreadable.
    """
    path = folder / FILE
    try:
        return Approval.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except OSError as error:
        raise unreadable(path, error) from error
    except ValidationError:
        raise DataError(f"{path} is damaged: remove it and decide again.") from None


def write_approval(folder: Path, approval: Approval) -> None:
    """Put a decision into a study's folder.

    Raises:
        DataError: it cannot be written.
    """
    write_atomic(folder / FILE, (approval.model_dump_json(indent=2) + "\n").encode())
