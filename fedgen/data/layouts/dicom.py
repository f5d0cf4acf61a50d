"""Layout `dicom`: a folder of DICOM files, as a PACS exports them, with an optional table of labels.

Patient, study, series and spacing come from the tags. Labels (and masks) come from a CSV beside the files,
because images carry none: its key is the column SOPInstanceUID, SeriesInstanceUID, StudyInstanceUID or
PatientID, the most specific one present.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar

from fedgen.data.covariates import cells_of_tags, covariates_of
from fedgen.data.decoders.decoder import UnreadableError
from fedgen.data.decoders.dicom import DECODER
from fedgen.data.decoders.dicom.codecs import PIXELS, require_decodable
from fedgen.data.decoders.dicom.kinds import DICOMDIR, burned_in, computed, modality_of, set_aside
from fedgen.data.decoders.dicom.native import SeveralDirectionsError, header_of, native_of
from fedgen.data.decoders.dicom.tags import read_tags, text
from fedgen.data.decoders.guard import guard
from fedgen.data.decoders.registry import by_ending, nameless
from fedgen.data.findings import DataFinding, plural
from fedgen.data.identity import composed, is_missing
from fedgen.data.index import IndexEntry
from fedgen.data.layouts.dicom_masks import MaskObjects
from fedgen.data.layouts.dicom_series import Picture, cut_across, series_keys, series_notes, stacks, volumes
from fedgen.data.layouts.label_rows import LabelRows
from fedgen.data.layouts.layout import (
    FolderLayout,
    Problem,
    Request,
    Scan,
    chosen_volume,
    cut_axis,
    label_of,
    taken,
)
from fedgen.data.layouts.named_masks import Named, is_mask_rule, named_masks, take_named
from fedgen.errors import DataError
from fedgen.study.data import Slices

#: Letters of a name that tell somebody.
_TELLING = 3
#: Completes "FILE ...".
NO_PATIENT = (
    "has no PatientID, or one that means none, so its privacy unit is unknown: give each file a pseudonym"
)


class DicomLayout(FolderLayout):
    """An entry a volume, or an image that stands alone.

    The site is InstitutionName, else the first folder level, else the folder's own name. Files that lie side by side in
    one series are a volume, of which `data.slices` chooses as of any other; a table with a label for single images
    (SOPInstanceUID) chooses them itself.
    """

    name: ClassVar[str] = "dicom"
    precedence: ClassVar[int] = 30
    unused: ClassVar[str] = "image that is not DICOM"

    def matches(self, request: Request) -> bool:
        """At least one DICOM file, by ending or by its first bytes."""
        return next(_dicom_files(request), None) is not None

    def scan(self, request: Request) -> Scan:
        """Read every file's tags, and put those of a volume together.

        Raises:
            DataError: a label table without a usable key, or masks of single slices in a study of volumes.
        """
        result = Scan(self.name)
        labels = LabelRows(request)
        masks = MaskObjects(request.data.columns.mask)
        pictures = list(_pictures(request, labels, masks, result))
        if masks.kind:
            pictures = [replace(picture, mask=masks.of(picture.series_uid)) for picture in pictures]
            for path in masks.unmatched():
                result.leave_out(path, f"{masks.kind} of no series of the folder")
            result.problems += masks.problems()
        result.instances = {picture.instance for picture in pictures if picture.instance}
        by_name = is_mask_rule(request.data.columns.mask)
        if by_name:
            pictures = _with_named_masks(pictures, request, result)
        one_by_one = (labels.of_single_images or by_name) and len(request.data.image_size) == 2
        for stack in [[each] for each in pictures] if one_by_one else stacks(pictures):
            try:
                entry = _entry(stack, request, result)
                result.entries.append(replace(entry, structure=masks.structure))
            except UnreadableError as error:
                result.problems.append(Problem(stack[0].path, _of_series(stack, error)))
                result.seen.update(each.path for each in stack)
        result.notes += series_notes(pictures, one_by_one, request.data.slices != Slices())
        result.findings.extend(labels.findings())
        return result


LAYOUT = DicomLayout()


def _pictures(request: Request, labels: LabelRows, masks: MaskObjects, result: Scan) -> Iterator[Picture]:
    """Every picture that the study asks for; what else there is goes into `result`."""
    without_institution = 0
    instances: dict[tuple[str, str], tuple[str, Hashable]] = {}
    for path in request.watched(_dicom_files(request)):
        # Elements are read when they are asked for, and a damaged one raises whatever it does then.
        try:
            with guard("cannot be read as DICOM"):
                tags = read_tags(request.folder / path, stop_before_pixels=True)
                if masks.take(path, tags):
                    continue
                modality, series = composed(modality_of(tags)), _text(tags, "SeriesDescription")
                row = labels.row(tags)
                aside = set_aside(tags, request.data.modality)
                if aside == DICOMDIR:
                    result.leave_out(path, aside)
                    continue
                if not request.wants(modality, series):
                    named = _nameless_series(series, tags) or modality or "none given"
                    result.leave_out(path, f"other modality ({named})")
                    continue
                if aside is not None:
                    result.leave_out(path, aside)
                    continue
                patient, institution = _text(tags, "PatientID"), _text(tags, "InstitutionName")
                instance = _text(tags, "SOPInstanceUID")
                native, notes = native_of(tags), (*burned_in(tags), *computed(tags))
                require_decodable(tags)
                if is_missing(patient):
                    raise UnreadableError(NO_PATIENT)
                known = {**cells_of_tags(tags), **({} if row is None else row.cells)}
                keys, rank = series_keys(tags)
                itself = (native.size, native.plane.position, keys, rank)
                # Under another patient it stays: it ties the two together, who may be one.
                if instance and (instance, patient) in instances:
                    first, other = instances[instance, patient]
                    if other == itself and _same_pixels(request.folder / first, request.folder / path):
                        result.leave_out(path, "the same DICOM instance again")
                    else:
                        reason = "an image with the SOPInstanceUID of another, which only one image can have"
                        result.leave_out(path, reason, asked=False)
                    continue
                instances[instance, patient] = path, itself
                without_institution += not institution and request.site is None
                yield Picture(
                    path=path,
                    patient=patient,
                    site=request.site or institution or _folder_site(request.folder, path),
                    label=label_of(None if row is None else row.cells, request.data),
                    mask=labels.mask(row),
                    covariates=covariates_of(known, request.data),
                    embedding=labels.embedding(row),
                    modality=modality,
                    series=series,
                    study=_text(tags, "StudyInstanceUID"),
                    series_uid=_text(tags, "SeriesInstanceUID"),
                    instance=instance,
                    native=native,
                    keys=keys,
                    rank=rank,
                    notes=(*native.plane.notes, *notes),
                )
        except SeveralDirectionsError:
            result.leave_out(path, "localizer, or slices of several directions in one file")
        except UnreadableError as error:
            result.problems.append(Problem(path, str(error)))
    if without_institution:
        what = plural(without_institution, "file has", "files have")
        sentence = f"{what} no InstitutionName, so the name of the folder is taken as the site."
        result.findings.append(DataFinding("site_from_folder", sentence, without_institution))


def _same_pixels(one: Path, other: Path) -> bool:
    """Whether two objects hold the same pixels: some exports give all of a patient's images one SOPInstanceUID."""
    first, second = (read_tags(path, stop_before_pixels=False) for path in (one, other))
    if first.file_meta.get("TransferSyntaxUID") != second.file_meta.get("TransferSyntaxUID"):
        # The same instance in another coding: nothing but decoding would tell.
        return True
    return all(first.get(keyword) == second.get(keyword) for keyword in PIXELS)


def _with_named_masks(pictures: Sequence[Picture], request: Request, result: Scan) -> list[Picture]:
    """Pictures with the masks that the study's rule on names finds.

    Raises:
        DataError: the study is one of volumes.
    """
    rule = request.data.columns.mask or ""
    if len(request.data.image_size) != 2:
        raise DataError(
            f"data.columns.mask {rule} names pictures, which are masks of single slices, but data.image_size has three "
            "sides: give it two, or name masks of volumes in a table."
        )
    found = named_masks(rule, request.files, [Named(each.path, each.instance) for each in pictures])
    take_named(found, result)
    return [replace(picture, mask=found.of.get(picture.path)) for picture in pictures]


def _entry(stack: Sequence[Picture], request: Request, result: Scan) -> IndexEntry:
    """The entry of pictures that lie side by side, of the volume that the study chooses.

    Raises:
        UnreadableError: with the reason.
    """
    found = volumes(stack)
    number = chosen_volume(len(found), request.data)
    volume = found[number]
    first = volume.pictures[0]
    header = header_of(volume.native, cut_axis(request.data))
    of_study = taken(header, request.data)
    if len({picture.label for picture in volume.pictures}) > 1:
        raise UnreadableError("is a slice of a volume whose slices have different labels: give it one label")
    for each in found:
        for picture in each.pictures if each is not volume else ():
            result.leave_out(picture.path, f"another volume at the same place (data.volume is {number})")
    for picture in volume.pictures:
        result.note(picture.path, picture.notes)
    if volume.native.stack is not None:
        result.note(first.path, volume.native.stack.notes)
        if len(of_study.size) == 2 and header.axis != volume.native.axis:
            result.note(first.path, cut_across(header, volume.native.axis))
    masks = {picture.mask for picture in volume.pictures}
    return IndexEntry(
        files=tuple(picture.path for picture in volume.pictures),
        patient=first.patient,
        site=first.site,
        label=first.label,
        mask=masks.pop() if len(masks) == 1 else None,
        modality=first.modality,
        series=first.series,
        study=first.study,
        covariates=first.covariates,
        embedding=first.embedding,
        **of_study._asdict(),
    )


def _of_series(stack: Sequence[Picture], error: UnreadableError) -> str:
    """The reason why pictures that lie side by side cannot be used, as it completes "FIRST FILE ..."."""
    return str(error) if len(stack) == 1 else f"{error} (a series of {len(stack)} files)"


def _dicom_files(request: Request) -> Iterator[str]:
    claimed = tuple(by_ending())
    for path in request.files:
        name = PurePosixPath(path).name.lower()
        # Only where the name says nothing are the first bytes worth a look.
        if name.endswith(DECODER.supported_file_endings) or (
            not name.endswith(claimed) and _recognised(request.folder / path)
        ):
            yield path


def _recognised(path: Path) -> bool:
    try:
        return DECODER.recognises(path)
    except UnreadableError:
        # It may be an image, so the scan shall say that it cannot be read.
        return nameless(path)


def _nameless_series(series: str, tags: Any) -> str:
    """The series' name for a count that others may read; empty where a person typed the patient's own into it."""
    words = _text(tags, "PatientName").replace("^", " ").replace("=", " ").split()
    said = series.casefold()
    own = (word.casefold() for word in (*words, _text(tags, "PatientID")) if len(word) >= _TELLING)
    return "" if any(word in said for word in own) else series


def _folder_site(folder: Path, path: str) -> str:
    parts = PurePosixPath(path).parts
    return parts[0] if len(parts) > 1 else folder.resolve().name


def _text(tags: Any, keyword: str) -> str:
    return composed(text(tags, keyword))
