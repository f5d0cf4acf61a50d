"""`--patients`: public numbers of training patients, by which a plan is made and `model.family: auto` is settled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated

import typer

from fedgen.study.load import Choose
from fedgen.study.study import Study

Patients = Annotated[
    list[int] | None,
    typer.Option(
        "--patients",
        min=1,
        metavar="N",
        help="Training patients of a site; once a site. A phantom study knows its own.",
    ),
]


def settle(given: Sequence[int] | None, *, phantom: bool = True) -> Choose:
    """What settles `model.family: auto`, for `load_study`; planning is loaded only where it is asked."""

    def choose(variants: Mapping[str, Study]) -> tuple[str, str]:
        from fedgen.planning.choose import chooser

        return chooser(given or (), phantom=phantom)(variants)

    return choose
