"""What sections `task` and `data` together mean: the fields of a record that are made, and those that are given."""

from __future__ import annotations

from fedgen.study.data import DataSection
from fedgen.study.task import TaskSection
from fedgen.task.image_spec import ImageSpec
from fedgen.task.task import Field, Task, image_of, pairs_of, translation

#: The source of super-resolution: the target itself, coarser.
COARSE = "coarse"


def compiled_task(task: TaskSection, data: DataSection) -> Task:
    """The task of a study whose sections fit (see `why_impossible`)."""
    read = ImageSpec(channels=data.stacked_channels, size=data.image_size)
    if task.kind == "translate":
        assert task.target is not None
        made = ImageSpec(channels=data.channels, size=data.image_size)
        sources = {name: read for name in data.contrasts if name != task.target}
        if task.downsample is not None:
            sources[COARSE] = read
        return translation(sources, (task.target, made), paired=data.paired, downsample=task.downsample or 1)
    given = tuple(_condition(name, data) for name in task.conditions)
    return pairs_of(read, data.mask_classes, *given) if "mask" in task.makes else image_of(read, *given)


def _condition(name: str, data: DataSection) -> Field:
    if name == "class":
        return Field("class", "class", classes=data.labels)
    if name == "covariates":
        return Field(name, "covariates", parts=tuple(each.numbers for each in data.covariates.values()))
    return Field("embedding", "embedding", parts=(data.embedding_size or 0,))


def why_impossible(task: TaskSection, data: DataSection) -> str | None:
    """Why no task can be made of the two sections, in a sentence without full stop; None where one can."""
    if task.kind == "translate":
        return _translation(task, data)
    if data.slices.neighbours:
        return "data.slices.neighbours is for the sources of a translation, but task.kind is create: leave it out"
    if "class" not in task.given and len(data.labels) > 1:
        return (
            f"data.labels lists {len(data.labels)} classes, but task.given does not name class, so that nothing tells "
            "them apart: name it, or leave data.labels out"
        )
    if "class" in task.given and not data.labels:
        return (
            "task.given names class, as it does where it is left out, but data.labels lists none: list them, or set "
            "task.given to []"
        )
    if data.contrasts:
        return "data.contrasts names the images of a translation, but task.kind is create: use data.modality"
    if "mask" in task.makes and data.unmasked != "exclude":
        return (
            "task.makes names mask, so that images without one are of no use: name them with data.columns.mask and set "
            "data.unmasked to exclude"
        )
    if "covariates" in task.given and not data.covariates:
        return "task.given names covariates, but data.covariates lists none: list them"
    if "embedding" in task.given and data.embedding_size is None:
        return (
            "task.given names embedding, but data.columns.embedding does not say where it is: name the column"
        )
    return None


def _translation(task: TaskSection, data: DataSection) -> str | None:
    if task.target not in data.contrasts:
        return (
            f"task.target is {task.target}, which data.contrasts ({', '.join(data.contrasts)}) does not list"
        )
    if COARSE in data.contrasts:
        return (
            f"data.contrasts names {COARSE}, which is what the source of task.downsample is called: rename it"
        )
    if len(data.contrasts) < 2 and task.downsample is None:
        return f"nothing is given to make {task.target} from: list sources in data.contrasts, or set task.downsample"
    if data.paired and task.target not in data.needed:
        return f"data.required must name task.target ({task.target}), or there is nothing to learn from"
    if not data.paired and task.downsample is not None:
        return "task.downsample makes a source of the target itself, so that data.paired must be true"
    if not data.paired and data.required is not None:
        return "data.required is of contrasts that belong together, but data.paired is false: leave one of them out"
    return None
