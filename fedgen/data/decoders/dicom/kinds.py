"""Which DICOM objects are no picture of a patient's body that a study could learn from, and why."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from pydicom.uid import MediaStorageDirectoryStorage

from fedgen.data.decoders.dicom.tags import text, words
from fedgen.data.findings import Note

#: The directory of a medium, which lists images and is none.
DICOMDIR = "DICOMDIR"
#: Beginnings of SOP classes (PS3.4, B.5) without a picture of their own, and what they are.
_CLASSES = {
    str(MediaStorageDirectoryStorage): DICOMDIR,
    "1.2.840.10008.5.1.4.1.1.9.": "waveform",
    "1.2.840.10008.5.1.4.1.1.11.": "presentation state",
    "1.2.840.10008.5.1.4.1.1.66": "segmentation, registration or raw data",
    "1.2.840.10008.5.1.4.1.1.66.4": "segmentation",
    "1.2.840.10008.5.1.4.1.1.66.7": "segmentation",
    "1.2.840.10008.5.1.4.1.1.67": "real world value mapping",
    "1.2.840.10008.5.1.4.1.1.68.": "surface scan",
    "1.2.840.10008.5.1.4.1.1.77.1.6": "whole-slide image of tiles",
    "1.2.840.10008.5.1.4.1.1.78.": "measurements of an eye",
    "1.2.840.10008.5.1.4.1.1.79.1": "measurements of an eye",
    "1.2.840.10008.5.1.4.1.1.80.1": "measurements of an eye",
    "1.2.840.10008.5.1.4.1.1.88.": "structured report",
    "1.2.840.10008.5.1.4.1.1.88.59": "key object selection",
    "1.2.840.10008.5.1.4.1.1.104.": "document",
    "1.2.840.10008.5.1.4.1.1.481.2": "radiotherapy dose",
    "1.2.840.10008.5.1.4.1.1.481.3": "radiotherapy structures",
    "1.2.840.10008.5.1.4.1.1.481.4": "radiotherapy record",
    "1.2.840.10008.5.1.4.1.1.481.5": "radiotherapy plan",
    "1.2.840.10008.5.1.4.1.1.481.8": "radiotherapy plan",
    "1.2.840.10008.5.1.4.34.": "radiotherapy plan",
}
#: The same by Modality, for objects whose class does not tell.
_MODALITIES = {
    "SEG": "segmentation",
    "SR": "structured report",
    "PR": "presentation state",
    "KO": "key object selection",
    "REG": "registration",
    "RWV": "real world value mapping",
    "FID": "fiducials",
    "DOC": "document",
    "AU": "audio",
    "ECG": "waveform",
    "RTDOSE": "radiotherapy dose",
    "RTSTRUCT": "radiotherapy structures",
    "RTPLAN": "radiotherapy plan",
    "RTRECORD": "radiotherapy record",
    "PLAN": "radiotherapy plan",
    "M3D": "model for manufacturing",
}
#: Beginnings of classes of pictures whose Modality nobody wrote, and what it is (PS3.3, C.7.3.1.1.1).
_PICTURES = {
    "1.2.840.10008.5.1.4.1.1.1": "CR",
    "1.2.840.10008.5.1.4.1.1.1.1": "DX",
    "1.2.840.10008.5.1.4.1.1.1.2": "MG",
    "1.2.840.10008.5.1.4.1.1.1.3": "IO",
    "1.2.840.10008.5.1.4.1.1.2": "CT",
    "1.2.840.10008.5.1.4.1.1.3": "US",
    "1.2.840.10008.5.1.4.1.1.4": "MR",
    "1.2.840.10008.5.1.4.1.1.6": "US",
    "1.2.840.10008.5.1.4.1.1.12.1": "XA",
    "1.2.840.10008.5.1.4.1.1.12.2": "RF",
    "1.2.840.10008.5.1.4.1.1.20": "NM",
    "1.2.840.10008.5.1.4.1.1.128": "PT",
}
#: Those of them that can be masks (`data.columns.mask`), by Modality.
MASK_OBJECTS = {kind: _MODALITIES[kind] for kind in ("SEG", "RTSTRUCT")}
#: Words of ImageType (PS3.3, C.7.6.1.1.2, and what makers add).
_TYPES = {
    "LOCALIZER": "localizer",
    "SCOUT": "localizer",
    "TOPOGRAM": "localizer",
    "MOSAIC": "mosaic of slices, which dcm2niix takes apart",
    "SCREEN": "picture of a screen",
    "SCREENSHOT": "picture of a screen",
    "SCREENSAVE": "picture of a screen",
    "DOSE": "picture of a screen",
    "PROT": "picture of a screen",
}

#: Words of ImageType from the third on.
_PARTS = {"P", "R", "I", "PHASE", "PHASE MAP", "P FFE", "P SE", "REAL", "IMAGINARY"}
_PROJECTIONS = {"PROJECTION IMAGE", "MIP", "MINIP", "MIP SUM"}
PART = Note(
    "computed_pictures",
    "ImageType says that it shows the phase, or the real or imaginary part, of the signal and not its magnitude: name "
    "one series with data.modality if both are here.",
)
PROJECTION = Note(
    "computed_pictures",
    "ImageType says that it is a projection of many slices onto one: name another series with data.modality if it "
    "is not meant.",
)
BURNED_IN = Note(
    "burned_in",
    "BurnedInAnnotation says that text which may identify the patient is part of the picture: look at them, and remove "
    "it before training.",
)


def modality_of(tags: Any) -> str:
    """Modality, or, where it is absent or empty, what the class of the object says; empty where neither does.

    Raises:
        UnreadableError: an element that would tell is damaged.
    """
    return text(tags, "Modality") or _by_class(_PICTURES, _class_of(tags)) or ""


def computed(tags: Any) -> tuple[Note, ...]:
    """A word where a picture shows no magnitude of a signal, or no slice of the body but a projection of many."""
    said = {word.upper().replace("_", " ") for word in words(tags, "ImageType")[2:]}
    component = text(tags, "ComplexImageComponent").upper()
    mr = modality_of(tags) == "MR"
    if (mr and said & _PARTS) or component in ("PHASE", "REAL", "IMAGINARY"):
        return (PART,)
    return (PROJECTION,) if said & _PROJECTIONS else ()


def set_aside(tags: Any, asked: str | None) -> str | None:
    """Why an object is no picture of the asked kind; None where it is one.

    Args:
        tags: the dataset.
        asked: `data.modality`; what is asked for by its own name is never set aside, if it is a picture at all.

    Raises:
        UnreadableError: an element that would tell is damaged.
    """
    modality = text(tags, "Modality")
    by_class = _by_class(_CLASSES, _class_of(tags))
    reason = by_class or _MODALITIES.get(modality)
    picture = "Rows" in tags
    if reason is not None:
        return None if picture and asked is not None and asked == modality else reason
    if asked is not None and asked == text(tags, "SeriesDescription"):
        return None
    for word in words(tags, "ImageType"):
        for part in re.split(r"[^A-Z]+", word.upper()):
            if part in _TYPES:
                return _TYPES[part]
    return None


def _class_of(tags: Any) -> str:
    return text(tags, "SOPClassUID") or str(tags.file_meta.get("MediaStorageSOPClassUID", ""))


def _by_class(meanings: Mapping[str, str], uid: str) -> str | None:
    # The longest beginning says most.
    known = [each for each in meanings if uid == each or uid.startswith(each.rstrip(".") + ".")]
    return meanings[max(known, key=len)] if known else None


def burned_in(tags: Any) -> tuple[Note, ...]:
    """A word where the object says that text is part of its picture."""
    return (BURNED_IN,) if text(tags, "BurnedInAnnotation").upper() == "YES" else ()
