"""Where a file's tensors belong in a study's networks: the one place in them where most names and shapes agree.

A name is a path of parts, and a published network stands in a study's as a whole: below one path of the study's names
(`unet/unet`) and below one path of its own (none, or `module`), the rest of the names is the same. Among all pairs of
such paths the one is taken by which most tensors have the name and the shape of a parameter. Where two do so equally
well nobody guesses. A name may also be the one that MONAI Generative, before MONAI 1.4, gave the same layer.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from fedgen.errors import DataError, StudyError

Name = tuple[str, ...]
Shapes = Mapping[str, tuple[int, ...]]

#: Pairs of paths that are looked at whole, most promising first.
TRIED = 64


@dataclass(frozen=True)
class Placement:
    """A file's tensors beside the parameters that they are for.

    Attributes:
        place: path in the study's networks below which they are, such as `unet/unet`.
        below: path in the file below which they are; mostly empty.
        same: tensors by parameter, of the same shape.
        other: tensors by parameter, of another shape.
        unplaced: tensors that are for no parameter there.
    """

    place: str
    below: str
    same: Mapping[str, str]
    other: Mapping[str, str]
    unplaced: tuple[str, ...]


def place(study: Shapes, file: Shapes, what: str, into: str | None = None) -> Placement:
    """Find where a file's tensors belong.

    Args:
        study: shapes of the study's parameters, by `network/parameter`.
        file: shapes of the file's tensors, by name.
        what: the file, as a sentence names it.
        into: a path in the study's networks below which they are, where it is known.

    Raises:
        StudyError: `into` is no path of the study's, or two places fit equally well.
        DataError: no tensor has the name and shape of a parameter.
    """
    theirs = {parts(name): name for name in file}
    ours = {parts(name): name for name in study}
    wanted = None if into is None else parts(into)
    if wanted is not None and not any(name[: len(wanted)] == wanted for name in ours):
        networks = ", ".join(sorted({name[0] for name in ours}))
        raise StudyError(
            f"--into {into} is no part of the study's networks: name one of them ({networks}), or a path in one."
        )
    votes = _votes(
        {n: study[full] for n, full in ours.items()}, {n: file[full] for n, full in theirs.items()}
    )
    if wanted is not None:
        votes = Counter({at: n for at, n in votes.items() if at[0][: len(wanted)] == wanted})
    tried = [_at(study, file, ours, theirs, place, below) for (place, below), _ in votes.most_common(TRIED)]
    tried = sorted((each for each in tried if each.same), key=lambda p: (-len(p.same), len(p.other)))
    if not tried:
        raise DataError(
            f"No tensor of {what} has the name and the shape of one of the study's"
            f"{'' if into is None else f' below {into}'}: choose the family and the options whose network it is."
        )
    best = tried[0]
    rivals = [each for each in tried[1:] if len(each.same) == len(best.same) and each.same != best.same]
    if rivals:
        raise StudyError(
            f"{what} fits {best.place or 'the networks'} and {rivals[0].place or 'the networks'} equally well: say "
            "with --into which is meant."
        )
    return best


def parts(name: str) -> Name:
    """`unet/conv_in.conv.weight` as a path.

    >>> parts("unet/conv_in.conv.weight")
    ('unet', 'conv_in', 'conv', 'weight')
    """
    return tuple(name.replace("/", ".").split("."))


def older(name: Name) -> Name:
    """The name that MONAI Generative gave a parameter of MONAI's networks, as their `load_old_state_dict` says.

    >>> older(("attn", "to_q", "weight")), older(("postconv", "conv", "weight"))
    (('to_q', 'weight'), ('conv', 'conv', 'weight'))
    """
    text = ".".join(("", *name))
    if "transformer_blocks" in text:
        text = text.replace(".out_proj.", ".to_out.0.")
    else:
        text = text.replace(".attn.out_proj.", ".proj_attn.").replace(".attn.to_", ".to_")
    return tuple(text.replace(".postconv.", ".conv.").split(".")[1:])


def _votes(
    study: Mapping[Name, tuple[int, ...]], file: Mapping[Name, tuple[int, ...]]
) -> Counter[tuple[Name, Name]]:
    """How many parameters are for each pair of paths: what is left of two names whose ends agree longest."""
    ends: dict[Name, list[Name]] = defaultdict(list)
    for theirs in file:
        for start in range(len(theirs)):
            ends[theirs[start:]].append(theirs)
    votes: Counter[tuple[Name, Name]] = Counter()
    for name, shape in study.items():
        for start in range(len(name)):
            agreeing = [theirs for theirs in ends.get(name[start:], ()) if file[theirs] == shape]
            if agreeing:
                votes.update((name[:start], theirs[: len(theirs) - len(name) + start]) for theirs in agreeing)
                break
    return votes


def _at(
    study: Shapes,
    file: Shapes,
    ours: Mapping[Name, str],
    theirs: Mapping[Name, str],
    place: Name,
    below: Name,
) -> Placement:
    same: dict[str, str] = {}
    other: dict[str, str] = {}
    for name, full in ours.items():
        if name[: len(place)] != place:
            continue
        tail = name[len(place) :]
        found = theirs.get((*below, *tail), theirs.get((*below, *older(tail))))
        if found is not None:
            (same if file[found] == study[full] else other)[full] = found
    used = {*same.values(), *other.values()}
    network, *path = place or ("",)
    return Placement(
        f"{network}/{'.'.join(path)}" if path else network,
        ".".join(below),
        same,
        other,
        tuple(sorted(set(file) - used)),
    )
