"""croissant.json: the release for catalogues that read ML Commons' Croissant 1.0 (JSON-LD).

http://mlcommons.org/croissant/1.0; the table of images is a record set, and so are the files of
each format that Croissant's reader opens, joined with their lines of the table.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fedgen.release.release_manifest import IMAGES, FileEntry, ReleaseManifest
from fedgen.synthesis.sample_files import ENDINGS
from fedgen.synthesis.samples import INDEX

_CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "equivalentProperty": "cr:equivalentProperty",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileProperty": "cr:fileProperty",
    "fileObject": "cr:fileObject",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "parentField": "cr:parentField",
    "path": "cr:path",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "samplingRate": "cr:samplingRate",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}
_KINDS = {
    ".csv": "text/csv",
    ".json": "application/json",
    ".md": "text/markdown",
    ".html": "text/html",
    ".yaml": "application/yaml",
    ".png": "image/png",
    ".gz": "application/gzip",
    ".dcm": "application/dicom",
}
_TABLE = f"{IMAGES}/{INDEX}"
#: Formats that Croissant's own reader opens; it reads each file of a record set and fails on others.
_OPENED = ("png", "dicom")
_OTHER = "application/octet-stream"


def croissant(manifest: ReleaseManifest, files: Mapping[str, FileEntry]) -> dict[str, Any]:
    """The description.

    Args:
        manifest: of the release; its own list of files is not looked at, for it lists this description too.
        files: of the release, without this description and the manifest.
    """
    told: dict[str, Any] = {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "name": manifest.title,
        "description": f"Synthetic; for research only. {manifest.privacy.statement}",
        "creator": {"@type": "sc:Organization", "name": manifest.signer.name},
        "version": "1.0.0",
        "isLiveDataset": False,
        "rai:dataLimitations": list(manifest.privacy.limits),
        "rai:personalSensitiveInformation": [f"Audit: {manifest.gate.verdict}", *manifest.gate.reasons],
    }
    if manifest.licence is not None:
        told["license"] = manifest.licence
    images = [name for name in files if name.startswith(f"{IMAGES}/") and _form(name) is not None]
    single = [name for name in files if name not in images]
    told["distribution"] = [_object(name, files[name]) for name in sorted(single)]
    if manifest.kind == "images":
        forms = sorted({form for name in images if (form := _form(name)) is not None})
        told["distribution"] += [_set(form) for form in forms]
        told["recordSet"] = [_table(), *(_images(form) for form in forms if form in _OPENED)]
    return told


def _form(name: str) -> str | None:
    return next((form for form, ending in ENDINGS.items() if name.endswith(ending)), None)


def _object(name: str, entry: FileEntry) -> dict[str, Any]:
    ending = "." + name.rpartition(".")[2]
    return {
        "@type": "cr:FileObject",
        "@id": name,
        "name": name,
        "contentUrl": name,
        "contentSize": f"{entry.bytes} B",
        "encodingFormat": _KINDS.get(ending, _OTHER),
        "sha256": entry.sha256,
    }


def _set(form: str) -> dict[str, Any]:
    ending = ENDINGS[form]
    return {
        "@type": "cr:FileSet",
        "@id": f"{IMAGES}-{form}",
        "name": f"{IMAGES}-{form}",
        "encodingFormat": _KINDS["." + ending.rpartition(".")[2]],
        "includes": f"{IMAGES}/*{ending}",
    }


def _table() -> dict[str, Any]:
    """The record set of the table's own lines."""
    return _record_set("table", [_column("table", "image"), _column("table", "label")])


def _images(form: str) -> dict[str, Any]:
    """The record set of a format's files, of which each finds its line of the table by its name."""
    name = f"records-{form}"

    def of_files(what: str) -> dict[str, Any]:
        return {"fileSet": {"@id": f"{IMAGES}-{form}"}, "extract": {"fileProperty": what}}

    to_table = {"fileObject": {"@id": _TABLE}, "extract": {"column": "image"}}
    return _record_set(
        name,
        [
            _field(name, "image", "sc:Text", of_files("filename")) | {"references": to_table},
            _column(name, "label"),
            _field(name, "content", "sc:ImageObject", of_files("content")),
        ],
    )


def _record_set(name: str, fields: list[dict[str, Any]]) -> dict[str, Any]:
    return {"@type": "cr:RecordSet", "@id": name, "name": name, "field": fields}


def _column(of: str, what: str) -> dict[str, Any]:
    return _field(of, what, "sc:Text", {"fileObject": {"@id": _TABLE}, "extract": {"column": what}})


def _field(of: str, what: str, kind: str, source: dict[str, Any]) -> dict[str, Any]:
    return {"@type": "cr:Field", "@id": f"{of}/{what}", "name": what, "dataType": kind, "source": source}
