"""A study's weights from published ones: a parameter is filled, or named as one that may stay as it is drawn.

Nothing is left out in silence. A parameter without a tensor of its name and shape is refused unless a pattern allows
it, and a pattern that allows nothing is refused too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

import torch
from torch import Tensor

from fedgen.bundles.about import plain
from fedgen.bundles.placement import Placement, place
from fedgen.errors import DataError, StudyError

#: Names that a sentence lists.
LISTED = 4


@dataclass(frozen=True)
class Wishes:
    """What a person allows beyond names and shapes that agree.

    Attributes:
        into: of each file, in their order, the path in the study's networks; empty where each is to be found.
        missing: patterns of parameters that may stay as the study's seed draws them.
        widen: patterns of parameters that may have more input channels than their tensors: the further ones get zeros,
            so that they change nothing at first.
    """

    into: Sequence[str] = ()
    missing: Sequence[str] = ()
    widen: Sequence[str] = ()


@dataclass(frozen=True)
class Filled:
    """A study's weights, and where they are from.

    Attributes:
        weights: all of the study's parameters, float32.
        placements: by file.
        widened, missing: parameters by what was allowed.
    """

    weights: Mapping[str, Tensor]
    placements: Mapping[str, Placement]
    widened: tuple[str, ...] = field(default=())
    missing: tuple[str, ...] = field(default=())


def fill(drawn: Mapping[str, Tensor], files: Mapping[str, Mapping[str, Tensor]], wishes: Wishes) -> Filled:
    """Put the files' tensors where they belong.

    Args:
        drawn: all of the study's parameters as its seed draws them.
        files: tensors by name, by file.
        wishes: what may be otherwise.

    Raises:
        StudyError: a wish has no effect, two files are for one parameter, or a place is not clear.
        DataError: a parameter would be left without weights, or a tensor is not finite.
    """
    if wishes.into and len(wishes.into) != len(files):
        raise StudyError(
            f"--into is given {len(wishes.into)} times for {len(files)} files: once for each, or never."
        )
    shapes = {name: tuple(tensor.shape) for name, tensor in drawn.items()}
    placements: dict[str, Placement] = {}
    weights: dict[str, Tensor] = {}
    widened: list[str] = []
    for number, (file, tensors) in enumerate(files.items()):
        theirs = {name: tuple(t.shape) for name, t in tensors.items() if t.is_floating_point()}
        found = place(shapes, theirs, file, wishes.into[number] if wishes.into else None)
        for name, theirs_name in {**found.same, **found.other}.items():
            tensor = tensors[theirs_name]
            if name in found.other:
                if not (_allowed(name, wishes.widen) and _wider(shapes[name], tuple(tensor.shape))):
                    continue
                widened.append(name)
            if name in weights:
                raise StudyError(f"Two files have weights for {name}: say with --into where each belongs.")
            weights[name] = _values(tensor, drawn[name], f"{plain(theirs_name)} of {file}")
        placements[file] = found
    missing = [name for name in drawn if name not in weights]
    _refuse_missing(
        [name for name in missing if not _allowed(name, wishes.missing)], placements, shapes, files
    )
    _refuse_idle("--allow-missing", wishes.missing, missing, "is without weights")
    _refuse_idle("--widen", wishes.widen, widened, "has more input channels than its tensor")
    filled = {name: weights.get(name, tensor.float()) for name, tensor in drawn.items()}
    return Filled(filled, placements, tuple(widened), tuple(missing))


def _values(tensor: Tensor, drawn: Tensor, what: str) -> Tensor:
    """The tensor in the parameter's shape, with zeros for input channels that it does not have."""
    values = torch.zeros(drawn.shape)
    values[tuple(slice(side) for side in tensor.shape)] = tensor.float()
    if not bool(torch.isfinite(values).all()):
        raise DataError(f"{what} has values that are not finite: get the file again.")
    return values


def _wider(ours: tuple[int, ...], theirs: tuple[int, ...]) -> bool:
    return (
        len(ours) == len(theirs) >= 2
        and ours[1] > theirs[1]
        and (*ours[:1], *ours[2:]) == (*theirs[:1], *theirs[2:])
    )


def _allowed(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def _refuse_missing(
    names: list[str],
    placements: Mapping[str, Placement],
    shapes: Mapping[str, tuple[int, ...]],
    files: Mapping[str, Mapping[str, Tensor]],
) -> None:
    if not names:
        return
    shaped = {
        name: tuple(files[file][tensor].shape)
        for file, found in placements.items()
        for name, tensor in found.other.items()
    }
    told = [f"{n} has {list(shapes[n])}, not {list(shaped[n])}" if n in shaped else n for n in names[:LISTED]]
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    places = ", ".join(sorted({found.place or "all networks" for found in placements.values()}))
    raise DataError(
        f"{len(names)} of the study's {len(shapes)} parameters would have no weights ({', '.join(told)}{more}) though "
        f"the file's place is {places}: give the study the published network's options, or name them with "
        "--allow-missing to let them start as the study's seed draws them (--widen where only input channels differ)."
    )


def _refuse_idle(option: str, patterns: Sequence[str], names: Sequence[str], what: str) -> None:
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in names):
            raise StudyError(f"{option} {pattern} names no parameter that {what}: leave it out.")
