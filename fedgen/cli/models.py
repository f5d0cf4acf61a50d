"""`fedgen models`: what each generative family can do."""

from __future__ import annotations

from dataclasses import asdict
from json import dumps
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from fedgen.families.contract import Capability


def models(
    json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """List the generative families: dimensions, conditioning, and whether they can be trained privately."""
    # Here, since it loads torch and MONAI, which takes seconds, and no other command of this kind needs them.
    from fedgen.families.registry import capabilities

    families = capabilities()
    if json:
        typer.echo(dumps([asdict(family) for family in families], indent=2))
        return
    table = Table("family", "what it is", "dimensions", "conditioning", "private")
    for family in families:
        table.add_row(
            family.name,
            family.summary,
            ", ".join(f"{d}D" for d in family.dimensions),
            ", ".join(family.conditioning),
            private(family),
        )
    Console().print(table)


def private(family: Capability) -> str:
    """Whether the family can be trained under DP, and if not, why."""
    return "yes" if family.private else f"no: {family.why_not_private}"
