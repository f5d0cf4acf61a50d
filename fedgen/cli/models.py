"""`fedgen models`: what each generative family can do."""

from __future__ import annotations

from pydantic import Field
from rich.console import Console
from rich.table import Table

from fedgen.cli.as_json import AsJson, print_told, tells
from fedgen.families.registry import specs
from fedgen.families.spec import FamilySpec
from fedgen.schema.section import Section
from fedgen.selftest.tasks import IMAGES, tasks

#: What a study may ask for, as columns.
TASKS = tuple(tasks(2))


class ModelTold(Section):
    """A generative family."""

    name: str = Field(description="as a study names it")
    summary: str = Field(description="in a few words")
    systems: tuple[str, ...] = Field(
        description="published systems that it can be set up as, each a row of the table"
    )
    dimensions: tuple[int, ...] = Field(description="axes of the images that it makes")
    conditioning: tuple[str, ...] = Field(description="tasks that it does")
    tasks: dict[str, dict[str, str | None]] = Field(
        description="task to dimension (`2D`, `3D`) to why it does not do it; null where it does"
    )
    private: bool = Field(description="whether it can be trained privately")
    why_not_private: str | None = Field(description="null where it can")


class ModelsTold(Section):
    """The generative families that are installed."""

    families: tuple[ModelTold, ...] = Field(description="in the order of their names")


@tells(ModelsTold)
def models(
    as_json: AsJson = False,
) -> None:
    """List the generative families: which tasks, in which dimensions, and whether they can be trained privately."""
    families = list(specs().values())
    if as_json:
        print_told(ModelsTold(families=tuple(listed(family) for family in families)))
        return
    console = Console()
    table = Table(box=None, padding=(0, 1, 0, 0))
    table.add_column("family", no_wrap=True)
    for task in TASKS:
        table.add_column(task, min_width=len("2D 3D"), overflow="fold")
    table.add_column("private")
    for family in families:
        cells = [" ".join(f"{axes}D" for axes in dimensions(family, task)) or "-" for task in TASKS]
        for row in family.rows:
            table.add_row(row, *cells, "yes" if family.private else "no")
    console.print(table)
    console.print()
    for family in families:
        console.print(f"{family.name}: {family.summary}.")
    console.print()
    for family in families:
        if not family.private:
            console.print(f"{family.name} is not private: {family.why_not}.")
        for reason, where in reasons(family).items():
            console.print(f"{family.name}, not {', '.join(where)}: {reason}.")


def listed(family: FamilySpec) -> ModelTold:
    """One entry of `--json`; of each task the dimensions in which the family does it, and else why not."""
    return ModelTold(
        name=family.name,
        summary=family.summary,
        systems=tuple(family.systems),
        dimensions=tuple(axes for axes in IMAGES if any(axes in dimensions(family, task) for task in TASKS)),
        conditioning=tuple(task for task in TASKS if dimensions(family, task)),
        tasks={task: {f"{axes}D": why_not(family, task, axes) for axes in IMAGES} for task in TASKS},
        private=family.private,
        why_not_private=family.why_not or None,
    )


def why_not(family: FamilySpec, task: str, axes: int) -> str | None:
    """Why the family does not do the task with images of so many axes; None where it does."""
    return family.supports(tasks(axes)[task])


def dimensions(family: FamilySpec, task: str) -> list[int]:
    """Axes of the images with which the family does the task."""
    return [axes for axes in IMAGES if why_not(family, task, axes) is None]


def reasons(family: FamilySpec) -> dict[str, list[str]]:
    """What the family does not do, by the reason: tasks, with their dimensions where it does them in others."""
    found: dict[str, list[str]] = {}
    for task in TASKS:
        missing = {axes: why for axes in IMAGES if (why := why_not(family, task, axes)) is not None}
        for axes, why in missing.items():
            what = task if len(missing) == len(IMAGES) else f"{task} in {axes}D"
            if what not in found.setdefault(why, []):
                found[why].append(what)
    return found
