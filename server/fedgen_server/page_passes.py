"""Who may see this federation's page: `page.json`, which holds no token, only what tells a true one."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

from pydantic import Field

from fedgen.dashboard.access import Hex, Keyring, May, Pass, issue
from fedgen.errors import StudyError
from fedgen.run.lock import held
from fedgen.schema.section import Section
from fedgen_server.storage import read_model, write_model

MAX_DAYS = 366


class _File(Section):
    key: Hex = Field(repr=False)
    passes: Annotated[tuple[Pass, ...], Field(max_length=1024)] = ()


class PagePasses:
    """The passes of a federation; read afresh each time, because a command beside the server writes them.

    Args:
        path, lock: of the file, and of the lock that guards it.
    """

    def __init__(self, path: Path, lock: Path) -> None:
        self._path, self._lock = path, lock
        self._read: tuple[tuple[int, int], Keyring] | None = None

    def keyring(self) -> Keyring:
        """Those there are now; none, under a key of the moment, where none was ever issued.

        Raises:
            DataError: the file is damaged.
        """
        try:
            found = self._path.stat()
        except FileNotFoundError:
            return Keyring(secrets.token_bytes(32), {})
        changed = (found.st_mtime_ns, found.st_ino)
        if self._read is None or self._read[0] != changed:
            known = self._file()
            self._read = changed, Keyring(bytes.fromhex(known.key), {each.id: each for each in known.passes})
        return self._read[1]

    def issue(self, may: May, days: float, now: datetime | None = None) -> tuple[str, Pass]:
        """A new token, told this once, and what is kept of it; those that are over are forgotten.

        Raises:
            StudyError: the days are not between 0 and 366.
        """
        now = now or datetime.now(UTC)
        if not 0 < days <= MAX_DAYS:
            raise StudyError(f"--days must be above 0 and at most {MAX_DAYS}, but is {days:g}.")
        token, kept = issue(may, now, timedelta(days=days))
        with held(self._lock):
            known = self._file()
            good = tuple(each for each in known.passes if each.expires > now)
            write_model(self._path, known.model_copy(update={"passes": (*good, kept)}))
        return token, kept

    def void(self, id: str | None) -> int:
        """Make one pass void, or all of them; returns how many. Whoever came with it is out within a second.

        Raises:
            StudyError: there is none of that id.
        """
        with held(self._lock):
            known = self._file()
            left = () if id is None else tuple(each for each in known.passes if each.id != id)
            gone = len(known.passes) - len(left)
            if id is not None and gone == 0:
                listed = ", ".join(each.id for each in known.passes) or "none"
                raise StudyError(f"There is no token {id!r} for the page (there are: {listed}).")
            write_model(self._path, known.model_copy(update={"passes": left}))
        return gone

    def all(self) -> tuple[Pass, ...]:
        """Those there are, oldest first."""
        return self._file().passes

    def _file(self) -> _File:
        return read_model(self._path, _File, None) or _File(key=secrets.token_hex(32))
