"""Layout `folders`: images in a folder for each class (ImageFolder of torchvision), or without any order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import ClassVar

from fedgen.data.decoders.decoder import UnreadableError
from fedgen.data.decoders.registry import by_ending, decoder_for
from fedgen.data.findings import DataFinding, listing
from fedgen.data.index import IndexEntry
from fedgen.data.layouts.layout import (
    FolderLayout,
    Problem,
    Request,
    Scan,
    cut_axis,
    files_of,
    one_site,
    taken,
)
from fedgen.data.layouts.named_masks import (
    files_by_rule,
    is_mask_folder,
    is_mask_rule,
    names_of,
    rule_for,
    set_named_masks,
)
from fedgen.data.layouts.patient_rule import by_rule, patient_by
from fedgen.errors import DataError

#: Names of parts of a data set, which are neither classes nor sites: the study makes its own split.
_PARTS = {"train", "training", "val", "valid", "validation", "test", "testing", "images", "image", "data"}
#: More folders at one level than these are patients, not classes.
_MOST_CLASSES = 50


class FoldersLayout(FolderLayout):
    """One entry a file. A level of folders that `data.labels` names, or that has few, is the class; the one above it,
    unless it names parts such as `train`, is the site. `data.patient_rule` says who the patient is.
    """

    name: ClassVar[str] = "folders"
    # Whatever says more of its images is asked before.
    precedence: ClassVar[int] = 90

    def matches(self, request: Request) -> bool:
        """An image, and no table that describes the folder."""
        return request.table is None and any(_is_image(path) for path in request.files)

    def scan(self, request: Request) -> Scan:
        """Find the images; a level of folders names their classes."""
        result = Scan(self.name)
        images = []
        for path in _without_masks(request, result):
            if not request.wants("", ""):
                result.leave_out(path, "other modality (none given)")
            else:
                images.append(path)
        level = class_level(images, request.data.labels)
        site_level = _site_level(images, level)
        fallback = request.site or (None if site_level is not None else one_site(request, result))
        companions: set[str] = set()
        for path in request.watched(images):
            if path in companions:
                continue
            folders = PurePosixPath(path).parts[:-1]
            label = folders[level] if level is not None else None
            site = fallback or (
                folders[site_level] if site_level is not None else request.folder.resolve().name
            )
            patient = patient_by(request.data.patient_rule, path)
            if patient is None:
                result.problems.append(Problem(path, "has no patient by data.patient_rule: correct the rule"))
                continue
            file = request.folder / path
            try:
                header = decoder_for(file).header(file, cut_axis(request.data))
                of_study = taken(header, request.data)
            except UnreadableError as error:
                result.problems.append(Problem(path, str(error)))
                continue
            entry = IndexEntry(
                files=files_of(path, header),
                patient=patient,
                site=site,
                label=label,
                mask=None,
                modality="",
                series="",
                study="",
                **of_study._asdict(),
            )
            companions.update(entry.files)
            result.entries.append(entry)
            result.note(path, header.notes)
        if is_mask_rule(request.data.columns.mask):
            set_named_masks(request, result)
        if level is not None:
            names = listing(sorted({PurePosixPath(path).parts[level] for path in images}))
            sentence = f"Classes are the names of folders at level {level + 1}: {names}."
            result.findings.append(DataFinding("label_from_folder", sentence, len(result.entries)))
        by_rule(result, request.data.patient_rule)
        return result


LAYOUT = FoldersLayout()


def _without_masks(request: Request, result: Scan) -> list[str]:
    """The images of a folder, once files are taken out that are masks by their names.

    Raises:
        DataError: the study's rule on names tells no mask from an image.
    """
    rule = request.data.columns.mask if is_mask_rule(request.data.columns.mask) else None
    images = [path for path in request.files if _is_image(path)]
    if rule is not None:
        if rule in ("{name}", "{uid}"):
            raise DataError(
                f"data.columns.mask {rule} tells no mask from an image: name the folder of the masks, such as "
                "masks/{name}, or what their names end in, such as {name}_mask."
            )
        used = files_by_rule(rule, images)
        images = [path for path in images if path not in used]
    names = {name for path in images if not is_mask_folder(path) for name in names_of(path)}
    kept = []
    for path in images:
        offer = rule_for(path, names)
        if offer is not None:
            result.offer_mask(path, offer)
        elif is_mask_folder(path):
            result.leave_out(path, "in a folder of masks")
        else:
            kept.append(path)
    return kept


def class_level(paths: Sequence[str], labels: Sequence[str]) -> int | None:
    """The level of folders that is the class, 0 at the top; None where no level can be.

    Args:
        paths: of all images.
        labels: the study's classes; a level that has some of them is the one.
    """
    folders = [PurePosixPath(path).parts[:-1] for path in paths]
    depth = min((len(each) for each in folders), default=0)
    names = [Counter(each[level] for each in folders) for level in range(depth)]
    for level in range(depth):
        if set(names[level]) & set(labels):
            return level
    for level in reversed(range(depth)):
        if 2 <= len(names[level]) <= _MOST_CLASSES and not _are_parts(names[level]):
            return level
    return None


def _site_level(paths: Sequence[str], level: int | None) -> int | None:
    """The lowest level above the classes that tells several sites apart."""
    if level is None:
        return None
    for above in reversed(range(level)):
        names = {PurePosixPath(path).parts[above] for path in paths}
        if len(names) > 1 and not _are_parts(names):
            return above
    return None


def _are_parts(names: Sequence[str] | set[str] | Counter[str]) -> bool:
    return {name.lower() for name in names} <= _PARTS


def _is_image(path: str) -> bool:
    return PurePosixPath(path).name.lower().endswith(tuple(by_ending()))
