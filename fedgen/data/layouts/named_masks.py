"""Masks that belong to their images by name: a rule such as `masks/{name}` or `{uid}_mask` in `data.columns.mask`."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath

from fedgen.data.decoders.registry import by_ending, nameless
from fedgen.data.identity import composed
from fedgen.data.layouts.layout import Problem, Request, Scan

#: Names of folders of masks, in lower case.
_FOLDERS = (
    "mask masks label labels seg segmentation segmentations annotations labelstr groundtruth ground_truth".split()  # noqa: SIM905
)
_ENDING = re.compile(
    r"(?P<base>.+?)(?P<word>[_\-. ](?:masks?|seg|segmentation|label|labelmap|gt|roi)(?:[_\-. ]?\d+)?)",
    re.IGNORECASE,
)
_PLACE = re.compile(r"\{(name|uid)\}")


def is_mask_folder(path: str) -> bool:
    """Whether a file lies in a folder that is called after masks."""
    return _mask_folder(path) is not None


def is_mask_rule(mask: str | None) -> bool:
    """Whether `data.columns.mask` is a rule on names, rather than a column or a kind of object."""
    return mask is not None and _PLACE.search(mask) is not None


@dataclass(frozen=True)
class Named:
    """One image that may have a mask.

    Attributes:
        path: its file.
        uid: SOPInstanceUID, or empty.
    """

    path: str
    uid: str = ""


@dataclass(frozen=True)
class NamedMasks:
    """Which mask is of which image.

    Attributes:
        of: mask by the image's file.
        lost: files that the rule takes for masks, but of no image.
        problems: masks that could be of several images, and images that could have several.
    """

    of: Mapping[str, str] = field(default_factory=dict)
    lost: tuple[str, ...] = ()
    problems: tuple[Problem, ...] = ()


def files_by_rule(rule: str, files: Iterable[str]) -> dict[str, str]:
    """The files that a rule takes for masks, and what each has in the place of the image's name or identity.

    Args:
        rule: the path of a mask from some folder on, without an ending; further folders may lie between its parts.
        files: of the folder; DICOM files are images, never masks.
    """
    parts = _PLACE.split(rule, maxsplit=1)
    before, after = (re.escape(part).replace("/", "/(?:.*/)?") for part in (parts[0], parts[2]))
    pattern = re.compile(rf"(?:.*/)?{before}(?P<place>[^/]+){after}")
    found = {}
    for path in files:
        if path.lower().endswith(tuple(by_ending())) and not _is_dicom(path):
            match = pattern.fullmatch(composed(without_ending(path)))
            if match is not None:
                found[path] = match["place"]
    return found


def named_masks(rule: str, files: Iterable[str], images: Sequence[Named]) -> NamedMasks:
    """Each image's mask by a rule; where names repeat, folders of one name tell which belong together.

    Args:
        rule: see `files_by_rule`.
        files: those that may be masks.
        images: all of the folder.
    """
    by_uid = "{uid}" in rule
    masks: dict[str, list[str]] = {}
    for path, place in files_by_rule(rule, files).items():
        masks.setdefault(place, []).append(path)
    wanted: dict[str, list[str]] = {}
    for image in images:
        for place in {image.uid} if by_uid else names_of(image.path):
            if place in masks:
                wanted.setdefault(place, []).append(image.path)
    of: dict[str, str] = {}
    problems: list[Problem] = []
    told: set[str] = set()
    for place, paths in wanted.items():
        for path in paths:
            best = _nearest(path, masks[place])
            if len(best) > 1:
                reason = f"is named as the mask of {path}, and so is {best[0]}: keep one of them"
                problems += [Problem(other, reason) for other in best[1:]]
                told |= set(best)
                continue
            # An image without a mask must not take that of another of its name.
            owners = _nearest(best[0], paths)
            if path not in owners:
                continue
            if len(owners) > 1:
                if path != owners[0]:
                    reason = (
                        f"is named as the mask of {owners[0]} and of {path}: name masks after the SOPInstanceUID (rule "
                        "{uid}), lay them in folders of the images' names, or list them in a table"
                    )
                    problems.append(Problem(best[0], reason))
                told.add(best[0])
                continue
            of[path] = best[0]
    told |= set(of.values())
    lost = sorted(path for paths in masks.values() for path in paths if path not in told)
    return NamedMasks(of, tuple(lost), tuple(problems))


def take_named(found: NamedMasks, result: Scan) -> None:
    """Account for the files that the rule takes for masks, but of no image, or of several."""
    result.problems += found.problems
    for path in found.lost:
        result.leave_out(path, "mask of no image of the folder")


def set_named_masks(request: Request, result: Scan) -> None:
    """Give each image of a scan the mask that the study's rule on names finds."""
    images = {entry.path for entry in result.entries}
    files = [path for path in request.files if path not in images]
    found = named_masks(
        request.data.columns.mask or "", files, [Named(entry.path) for entry in result.entries]
    )
    take_named(found, result)
    result.entries = [replace(entry, mask=found.of.get(entry.path)) for entry in result.entries]


def rule_for(path: str, names: Collection[str], uids: Collection[str] = ()) -> str | None:
    """The rule by which a file would be the mask of an image; None where its name says nothing of the kind.

    Args:
        path: of a file that is no image of the study.
        names: of all images, see `names_of`.
        uids: SOPInstanceUID of all images.
    """
    stem = composed(PurePosixPath(without_ending(path)).name)
    folder = _mask_folder(path)
    word = _ENDING.fullmatch(stem)
    for base, ending in ((stem, ""), (word["base"], word["word"]) if word else ("", "")):
        kind = "{uid}" if base in uids else "{name}" if base in names else ""
        if kind and (folder or ending):
            return (f"{folder}/" if folder else "") + kind + ending
    return None


def names_of(path: str) -> set[str]:
    """What stands for an image in the name of its mask: its file's name, with and without the ending."""
    return {composed(PurePosixPath(path).name), composed(PurePosixPath(without_ending(path)).name)}


def _mask_folder(path: str) -> str | None:
    parts = PurePosixPath(path).parts[:-1]
    return next((part for part in reversed(parts) if part.lower() in _FOLDERS), None)


def _nearest(path: str, others: Sequence[str]) -> list[str]:
    """Those of `others` that have the most folder names in common with `path`."""
    own = set(PurePosixPath(path).parts[:-1])
    shared = [len(own & set(PurePosixPath(other).parts[:-1])) for other in others]
    return [other for other, count in zip(others, shared, strict=True) if count == max(shared)]


def without_ending(path: str) -> str:
    lower = path.lower()
    ending = max((each for each in by_ending() if lower.endswith(each)), key=len, default="")
    if not ending and not nameless(PurePosixPath(path)):
        ending = PurePosixPath(path).suffix
    return path[: len(path) - len(ending)]


def _is_dicom(path: str) -> bool:
    # Here, because a site's command line asks this room and must not load what decodes images.
    from fedgen.data.decoders.dicom import DECODER as DICOM

    return path.lower().endswith(DICOM.supported_file_endings)
