"""Layout `dicom`: a folder of DICOM files, as a PACS exports them, with an optional table of labels.

Patient, study, series and spacing come from the tags. Labels (and masks) come from a CSV beside the files,
because images carry none: its key is the column SOPInstanceUID, SeriesInstanceUID, StudyInstanceUID or
PatientID, the most specific one present.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar

from pydicom.uid import MediaStorageDirectoryStorage

from fedgen.data.decoders.decoder import UnreadableError
from fedgen.data.decoders.dicom import DECODER, dicom_header, read_tags
from fedgen.data.decoders.guard import guarded
from fedgen.data.decoders.registry import nameless
from fedgen.data.findings import DataFinding, plural
from fedgen.data.identity import composed, is_missing
from fedgen.data.index import IndexEntry
from fedgen.data.layouts.label_rows import LabelRows
from fedgen.data.layouts.layout import FolderLayout, Problem, Request, Scan, label_of, taken

#: Completes "FILE ...".
NO_PATIENT = (
    "has no PatientID, or one that means none, so its privacy unit is unknown: give each file a pseudonym"
)


class DicomLayout(FolderLayout):
    """One entry a file; site is InstitutionName, else the first folder level, else the folder's own name."""

    name: ClassVar[str] = "dicom"
    precedence: ClassVar[int] = 30
    unused: ClassVar[str] = "image that is not DICOM"

    def matches(self, request: Request) -> bool:
        """At least one DICOM file, by ending or, where there is none, by its first bytes."""
        return next(_dicom_files(request), None) is not None

    def scan(self, request: Request) -> Scan:
        """Read every file's tags.

        Raises:
            DataError: a label table without a usable key.
        """
        result = Scan(self.name)
        labels = LabelRows(request)
        without_institution = 0
        instances: set[str] = set()
        for path in _dicom_files(request):
            try:
                tags = read_tags(request.folder / path, stop_before_pixels=True)
                modality, series = _text(tags, "Modality"), _text(tags, "SeriesDescription")
                patient, institution = _text(tags, "PatientID"), _text(tags, "InstitutionName")
                study, row = _text(tags, "StudyInstanceUID"), labels.row(tags)
                instance = _text(tags, "SOPInstanceUID")
            except UnreadableError as error:
                result.problems.append(Problem(path, str(error)))
                continue
            if tags.file_meta.get("MediaStorageSOPClassUID") == MediaStorageDirectoryStorage:
                result.leave_out(path, "DICOMDIR")
                continue
            if not request.wants(modality, series):
                result.leave_out(path, f"other modality ({series or modality or 'none given'})")
                continue
            try:
                header = dicom_header(tags)
                of_study = taken(header, request.data)
            except UnreadableError as error:
                result.problems.append(Problem(path, str(error)))
                continue
            if is_missing(patient):
                result.problems.append(Problem(path, NO_PATIENT))
                continue
            if instance and instance in instances:
                result.leave_out(path, "the same DICOM instance again")
                continue
            instances.add(instance)
            without_institution += not institution and request.site is None
            result.entries.append(
                IndexEntry(
                    files=(path,),
                    patient=patient,
                    site=request.site or institution or _folder_site(request.folder, path),
                    label=label_of(None if row is None else row.cells, request.data),
                    mask=labels.mask(row),
                    modality=modality,
                    series=series,
                    study=study,
                    **of_study._asdict(),
                )
            )
            result.note(path, header.notes)
        if without_institution:
            what = plural(without_institution, "file has", "files have")
            sentence = f"{what} no InstitutionName, so the name of the folder is taken as the site."
            result.findings.append(DataFinding("site_from_folder", sentence, without_institution))
        result.findings.extend(labels.findings())
        return result


LAYOUT = DicomLayout()


def _dicom_files(request: Request) -> Iterator[str]:
    for path in request.files:
        name = PurePosixPath(path)
        known = name.name.lower().endswith(DECODER.supported_file_endings)
        # Only where the name says nothing are the first bytes worth a look.
        if known or (nameless(name) and _recognised(request.folder / path)):
            yield path


def _recognised(path: Path) -> bool:
    try:
        return DECODER.recognises(path)
    except UnreadableError:
        # It may be an image, so the scan shall say that it cannot be read.
        return True


def _folder_site(folder: Path, path: str) -> str:
    parts = PurePosixPath(path).parts
    return parts[0] if len(parts) > 1 else folder.resolve().name


@guarded
def _text(tags: Any, keyword: str) -> str:
    value = tags.get(keyword)
    return "" if value is None else composed(str(value).strip())
