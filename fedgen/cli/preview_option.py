"""How much of the rounds' time pictures of the model in training may take, as commands take it; light."""

from __future__ import annotations

from typing import Annotated

import typer

Previews = Annotated[
    float | None,
    typer.Option(
        "--previews",
        metavar="PERCENT",
        min=0,
        max=100,
        help="Of the rounds' time that pictures of the model in training may take; 0 for none. 5, or as chosen before.",
    ),
]
