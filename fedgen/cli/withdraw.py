"""`fedgen withdraw`: a patient of a simulation revokes consent."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fedgen.cli.hints import EXPORT
from fedgen.cli.runs import RunFolder
from fedgen.errors import DataError, StudyError
from fedgen.run.hints import speak_as

Patients = Annotated[
    list[str] | None, typer.Argument(metavar="PATIENT...", help="Identities, as they stand in the data.")
]
ListFile = Annotated[
    Path | None, typer.Option("--list", metavar="FILE", help="A file with one identity a line.")
]


def withdraw(run: RunFolder, patients: Patients = None, listed: ListFile = None) -> None:
    """Take patients out of a simulation: no later step and no later audit reads them; what was spent stays spent."""
    asked = identities(patients, listed)
    from fedgen.data.pseudonyms import own_pseudonyms
    from fedgen.data.withdrawals import WITHDRAWN, Withdrawals
    from fedgen.pipeline.simulation import Simulation

    speak_as(EXPORT)
    here = Simulation.open(run)
    known = here.count_patients(asked)
    new = Withdrawals(here.work.run.data / WITHDRAWN, own_pseudonyms()).add(asked)
    typer.echo(
        f"{new} patient{'s' * (new != 1)} put on the list of {run}; {known} of {len(asked)} are in its data."
    )
    typer.echo(
        "Go on with `fedgen simulate STUDY --resume`, or assess again with `fedgen audit`. What was learned of them "
        "before stays in the model; decoded images of theirs go with `fedgen data cache --clear`."
    )
    if known < len(asked):
        raise DataError(
            f"{len(asked) - known} of the identities are of nobody in the data: they are on the list, but see that "
            "they are spelled as in the data."
        )


def identities(patients: list[str] | None, listed: Path | None) -> list[str]:
    """Those that were named, each once.

    Raises:
        StudyError: there is none, or the file cannot be read.
    """
    found = [patient.strip() for patient in patients or ()]
    if listed is not None:
        try:
            found += [line.strip() for line in listed.read_text(encoding="utf-8").splitlines()]
        except (OSError, UnicodeDecodeError) as error:
            raise StudyError(f"--list {listed} cannot be read ({error}): name a text file.") from None
    named = list(dict.fromkeys(patient for patient in found if patient))
    if not named:
        raise StudyError("Nobody is named: give identities, or a file of them with --list.")
    return named
