"""dicom-validator on the tables of DICOM PS3.3 that highdicom carries: no download, so every test run can ask it.

The tables say which attributes a module has and of which type, not under which condition (1C, 2C): of those the
validator is told nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from dicom_validator.validator.dicom_file_validator import DicomFileValidator
from dicom_validator.validator.dicom_info import DicomInfo
from dicom_validator.validator.error_handler import NullValidationResultHandler
from highdicom import _standard_utils as standard
from pydicom import config
from pydicom.datadict import dictionary_description, dictionary_VR, tag_for_keyword
from pydicom.tag import Tag

GROUPS = ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence")


@cache
def _info() -> DicomInfo:
    modules = {
        name: _attributes(attributes) for name, attributes in standard.get_module_attribute_map().items()
    }
    iods = {}
    of_iod = standard.get_iod_module_map()
    for sop_class, iod in standard.get_sop_class_iod_map().items():
        used = {module["key"]: {"ref": module["key"], "use": module["usage"]} for module in of_iod[iod]}
        iods[sop_class] = {"title": iod, "modules": used, "group_macros": {}}
    names = {
        _number(tag): {"name": dictionary_description(tag), "vr": dictionary_VR(tag)}
        for attributes in standard.get_module_attribute_map().values()
        for attribute in attributes
        if (tag := tag_for_keyword(attribute["keyword"])) is not None
    }
    return DicomInfo(names, iods, modules)


def _attributes(listed: list[dict[str, Any]]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for attribute in sorted(listed, key=lambda attribute: len(attribute["path"])):
        tag = tag_for_keyword(attribute["keyword"])
        if tag is None:
            continue
        place: Any = tree
        for keyword in attribute["path"]:
            parent = tag_for_keyword(keyword)
            assert parent is not None
            place = place.setdefault(_number(parent), {"type": "3"}).setdefault("items", {})
        # Each group of a frame stands in one of two sequences, so neither must have it.
        grouped = len(attribute["path"]) == 1 and attribute["path"][0] in GROUPS
        place.setdefault(_number(tag), {})["type"] = "3" if grouped else attribute["type"]
    return tree


def _number(tag: int) -> str:
    return f"({Tag(tag).group:04X},{Tag(tag).element:04X})"


@pytest.fixture(scope="session")
def dicom_problems() -> Callable[[Path], list[str]]:
    """dicom_problems(path): what dicom-validator finds wrong with a file, a line each."""
    return _problems


def _problems(path: Path) -> list[str]:
    before = config.settings.reading_validation_mode
    try:
        result = DicomFileValidator(_info(), error_handler=NullValidationResultHandler()).validate(path)[
            str(path)
        ]
    finally:
        # The validator leaves it off for everybody.
        config.settings.reading_validation_mode = before
    found = [
        f"{module}: {Tag(tag.tag)} {error.code.name} {error.context or ''}"
        for module, errors in (result.module_errors or {}).items()
        for tag, error in errors.items()
    ]
    return found or ([] if not result.errors else [f"{result.status}"])
