"""What a person is asked before epsilon is spent on a study of which the plan expects nothing useful."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from fedgen.errors import PrivacyRefusedError, StudyError

if TYPE_CHECKING:
    from rich.console import Console

    from fedgen.study.study import Study

Yes = Annotated[
    bool, typer.Option("--yes", help="Run it although the plan expects nothing useful, without being asked.")
]


def known_patients(study: Study, given: Sequence[int] | None, *, phantom: bool = True) -> Sequence[int]:
    """Training patients of each site as far as they are known before any data is opened; empty where they are not."""
    from fedgen.planning.patients import training_patients

    try:
        return training_patients(study, given or (), phantom=phantom)
    except StudyError:
        return ()


def advice(file: str, overrides: Sequence[str], study: Study, patients: Sequence[int]) -> list[str]:
    """What would do better than a study's steps for so few patients, if anything, to be said at its start."""
    from fedgen.planning.compared import better_sum
    from fedgen.study.load import load_variants

    if not patients or not study.steps or not study.privacy.private:
        return []
    why = better_sum(load_variants(file, overrides), patients, study)
    return [] if why is None else [f"NOTE: {why}."]


def agreed(console: Console, study: Study, patients: Sequence[int], yes: bool) -> bool:
    """Whether somebody wants a study although nothing useful is to be expected of it.

    Args:
        console: where a warning goes.
        study: as it would run.
        patients: of each site; empty where nobody knows yet, and nobody is asked.
        yes: whether that was said on the command line.

    Raises:
        PrivacyRefusedError: nothing useful is to be expected, and nobody wants it, or nobody is there to ask.
        DataError: a site would refuse the study.
    """
    from fedgen.planning.useless import refuse_useless, useless

    if not patients:
        return yes
    why = useless(study, patients)
    if why is None:
        return yes
    console.print(f"WARNING: {why}.", style="bold yellow", markup=False, highlight=False, soft_wrap=True)
    if yes or study.privacy.accept_useless:
        return True
    if not (sys.stdin.isatty() and console.is_terminal):
        refuse_useless(study, patients, accepted=False)
    if not typer.confirm("Spend the epsilon all the same?", default=False):
        raise PrivacyRefusedError(f"{study.study.name} was not started, and nothing was spent.")
    return True
