"""`--patients`: public numbers of training patients, by which a plan is made and `model.family: auto` is settled."""

from __future__ import annotations

from typing import Annotated

import typer

Patients = Annotated[
    list[int] | None,
    typer.Option(
        "--patients",
        min=1,
        metavar="N",
        help="Training patients of a site; once a site. A phantom study knows its own.",
    ),
]
