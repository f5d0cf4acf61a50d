"""`fedgen models`: what each generative family can do."""

from __future__ import annotations

from json import dumps
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from fedgen.families.registry import specs
from fedgen.families.spec import FamilySpec
from fedgen.task.image_spec import ImageSpec
from fedgen.task.task import Task, image_of_class


def models(
    json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """List the generative families: dimensions, conditioning, and whether they can be trained privately."""
    families = specs().values()
    if json:
        typer.echo(dumps([listed(family) for family in families], indent=2))
        return
    table = Table("family", "what it is", "dimensions", "conditioning", "private")
    for family in families:
        table.add_row(
            family.name,
            family.summary,
            ", ".join(f"{d}D" for d in dimensions(family)),
            ", ".join(conditioning(family)),
            "yes" if family.private else f"no: {family.why_not}",
        )
    Console().print(table)


def listed(family: FamilySpec) -> dict[str, object]:
    """One entry of `--json`."""
    return {
        "name": family.name,
        "summary": family.summary,
        "dimensions": dimensions(family),
        "conditioning": conditioning(family),
        "private": family.private,
        "why_not_private": family.why_not or None,
    }


def dimensions(family: FamilySpec) -> list[int]:
    """Axes of the grids that the family makes images on, with or without a class."""
    return [axes for axes in (2, 3) if any(family.supports(task) is None for task in _tasks(axes).values())]


def conditioning(family: FamilySpec) -> list[str]:
    """What the family's images can be asked for by: their class, or none."""
    found = [name for axes in (2, 3) for name, task in _tasks(axes).items() if family.supports(task) is None]
    return list(dict.fromkeys(found))


def _tasks(axes: int) -> dict[str, Task]:
    of_class = image_of_class(ImageSpec(channels=1, size=(64,) * axes), ("none", "lesion"))
    return {"class": of_class, "none": Task(of_class.makes)}
