"""The study and its overrides, as commands take them; light, unlike a study itself."""

from __future__ import annotations

from typing import Annotated

import typer

File = Annotated[str, typer.Argument(metavar="FILE", help="Study file, or the name of a preset.")]
Overrides = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="KEY=VALUE", help="Override a key, such as training.rounds=3; may be repeated."
    ),
]
