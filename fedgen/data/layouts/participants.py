"""The people of a BIDS folder: participants.tsv, or the folder's own subjects where there is none."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from fedgen.data.findings import DataFinding, plural
from fedgen.data.identity import is_missing
from fedgen.data.layouts.layout import Request
from fedgen.data.layouts.table import required_cell
from fedgen.data.table import Table, TableRow
from fedgen.errors import DataError

PARTICIPANTS = "participants.tsv"
#: A subject, and a session or empty, each as file names have them.
Session = tuple[str, str]


class Person(NamedTuple):
    """Whom the volumes of a session are of."""

    patient: str
    site: str
    cells: Mapping[str, str] | None


class Participants:
    """Who each session is of.

    Args:
        request: with participants.tsv as its table, or none.
        site: the one site of all of them, or None where each row tells.

    Raises:
        DataError: a column is missing, or a subject is listed twice.
    """

    def __init__(self, request: Request, site: str | None) -> None:
        self._table, self._site, self._data = request.table, site, request.data
        self._rows: dict[Session, TableRow] = {}
        self._used: set[Session] = set()
        self._without_person: set[Session] = set()
        if self._table is not None:
            self._read(self._table)

    def _read(self, table: Table) -> None:
        table.require("participant_id", "BIDS, which prescribes it")
        if self._site is None:
            table.require(self._data.columns.site, "data.columns.site")
        column = next((name for name in ("session", "session_id") if name in table.columns), None)
        for row in table.rows:
            subject = _prefixed("sub-", required_cell(table, row, "participant_id"))
            session = row.cells[column] if column else ""
            key = (subject, "" if is_missing(session) else _prefixed("ses-", session))
            if key in self._rows:
                raise DataError(
                    f"{table.path.name} lists one participant twice (rows {self._rows[key].number} and {row.number}): "
                    "remove one of them, or tell them apart by a column session."
                )
            self._rows[key] = row

    def person(self, session: Session) -> Person | None:
        """The person of a session, or None where participants.tsv does not list the subject."""
        self.used(session)
        if self._table is None:
            return Person(session[0], self._site or "", None)
        row = self._rows.get(session) or self._rows.get((session[0], ""))
        if row is None:
            return None
        site = self._site or required_cell(self._table, row, self._data.columns.site)
        return Person(self._patient(self._table, row, session), site, row.cells)

    def _patient(self, table: Table, row: TableRow, session: Session) -> str:
        named = self._data.columns.patient
        column = "person_id" if "person_id" in table.columns else named
        if column not in table.columns:
            return required_cell(table, row, "participant_id")
        if not is_missing(row.cells[column]):
            return row.cells[column]
        # Two subjects may be one person, but nothing says so; at least they are not one with all others unknown.
        self._without_person.add(session)
        return required_cell(table, row, "participant_id")

    def used(self, session: Session) -> None:
        """Note that the folder holds an image of the session."""
        self._used |= {session, (session[0], "")}

    def findings(self) -> Iterator[DataFinding]:
        """Rows without images, and people who are not known."""
        empty = len(set(self._rows) - self._used)
        if empty:
            have = "has" if empty == 1 else "have"
            sentence = f"{plural(empty, 'row')} of {PARTICIPANTS} {have} no image in the folder."
            yield DataFinding("participants_without_images", sentence, empty)
        unknown = len({subject for subject, _ in self._without_person})
        if unknown:
            sentence = (
                f"{plural(unknown, 'participant has', 'participants have')} no person in {PARTICIPANTS}, or a word "
                "that means none: each counts as a patient of their own."
            )
            yield DataFinding("unknown_persons", sentence, unknown)


def _prefixed(prefix: str, value: str) -> str:
    return value if value.startswith(prefix) else prefix + value
