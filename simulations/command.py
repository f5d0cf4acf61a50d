"""The command line that the tables share: make, judge and print, each going on where it was stopped."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from judging import JUDGES
from rows import Row
from table_of import Table, judge_all, make_all

#: Beside the judges: distances, diversity and audits.
MEASURES = "measures"


def parser(doc: str | None, *, rows: Iterable[str], out: str, readme: Path) -> argparse.ArgumentParser:
    """Of a table whose rows are of these kinds, the first of which is taken where none is asked for."""
    kinds = list(rows)
    made = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("do", choices=("make", "judge", "print"))
    made.add_argument("folder", type=Path)
    made.add_argument("--prior", type=Path, help="public prior; rows that stand on it are left out without")
    made.add_argument("--rows", choices=kinds, default=kinds[0])
    made.add_argument("--seeds", type=int, default=5, help="draws of noise a row")
    every = [*JUDGES, MEASURES]
    made.add_argument("--judges", choices=every, nargs="+", default=every, help="by default all")
    made.add_argument("--minutes", type=float, default=600.0, help="after which no further cell is begun")
    made.add_argument("--out", type=Path, default=Path(out))
    made.add_argument("--readme", type=Path, default=readme)
    return made


def run(
    arguments: argparse.Namespace,
    table: Table,
    rows: Mapping[str, Callable[[], Iterable[Row]]],
    write: Callable[[], None],
    *,
    unmeasured: Iterable[str] = (),
) -> None:
    """Do what was asked for; rows of the kinds `unmeasured` are judged alone."""
    if arguments.do == "print":
        write()
        return
    asked = list(rows[arguments.rows]())
    if arguments.do == "make":
        make_all(table, asked, arguments.seeds, arguments.minutes)
    else:
        measures = MEASURES in arguments.judges and arguments.rows not in set(unmeasured)
        judges = [judge for judge in arguments.judges if judge != MEASURES]
        judge_all(table, asked, judges, arguments.seeds, arguments.minutes, measures=measures)
