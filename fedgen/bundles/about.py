"""What a bundle says of itself: who made it of what, by which licence, and which network its configuration names.

A configuration of MONAI is a program too: a value that begins with `$` is Python, one with `@` refers to another. Here
none is evaluated and no class is made; what is written out is read, and the rest is said to be an expression.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

import yaml

from fedgen.bundles.bundle_files import BundleFiles
from fedgen.errors import DataError

METADATA = "configs/metadata.json"
#: In this order: the first that defines a network is believed.
CONFIGS = tuple(
    f"configs/{stem}{ending}" for stem in ("inference", "train") for ending in (".json", ".yaml", ".yml")
)
LICENCES = ("LICENSE", "LICENSE.txt", "LICENSE.md", "docs/license.txt", "docs/data_license.txt")
#: By what their text says, as SPDX names them.
KNOWN = {
    r"Apache License\W+Version 2\.0": "Apache-2.0",
    r"MIT License|Permission is hereby granted, free of charge": "MIT",
    r"Redistribution and use in source and binary forms": "BSD",
    r"Attribution-NonCommercial-ShareAlike 4\.0": "CC-BY-NC-SA-4.0",
    r"Attribution-NonCommercial 4\.0": "CC-BY-NC-4.0",
    r"Attribution-ShareAlike 4\.0": "CC-BY-SA-4.0",
    r"Attribution 4\.0": "CC-BY-4.0",
    r"CC0 1\.0": "CC0-1.0",
    r"NVIDIA.{0,80}non-?commercial": "NVIDIA non-commercial",
}
#: Characters of one of the bundle's texts that are repeated.
LONGEST = 300


@dataclass(frozen=True)
class BundleCard:
    """A bundle's own words, made safe for a line of a terminal and of a study.

    Attributes:
        title: name and version.
        made_of: what it was trained on and by whom; empty where it does not say.
        licence: of the weights, and of the data where that is a file of its own; empty where it does not say.
        networks: by key of its configuration the network in words, such as `network_def: UNet (spatial_dims 3)`.
    """

    title: str
    made_of: str
    licence: str
    networks: tuple[str, ...]


def about(files: BundleFiles) -> BundleCard:
    """What a bundle says of itself; a file of weights alone says its name.

    Raises:
        DataError: its metadata or the configuration of its network cannot be read.
    """
    if METADATA not in files.names:
        return BundleCard(f"the file {plain(PurePosixPath(files.names[0]).name)}", "", _licence(files), ())
    values = _mapping(files, METADATA)

    def said(key: str) -> str:
        value = values.get(key)
        return plain(value) if isinstance(value, str) else ""

    name = said("name") or "without a name"
    version = f" {said('version')}" if said("version") else ""
    parts = [said("description"), said("data_source"), said("authors"), said("copyright")]
    return BundleCard(
        f"the MONAI bundle {name}{version}",
        "; ".join(part.rstrip(".;") for part in parts if part),
        _licence(files),
        _networks(files),
    )


def plain(text: str, most: int = LONGEST) -> str:
    """A text of others' on one line, without what a terminal would act on."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line if len(line) <= most else f"{line[: most - 3]}..."


def _licence(files: BundleFiles) -> str:
    found = []
    for name in (name for name in LICENCES if name in files.names):
        text = files.read(name).decode(errors="replace")
        known = next((spdx for sign, spdx in KNOWN.items() if re.search(sign, text, re.I | re.S)), None)
        first = plain(next((line for line in text.splitlines() if line.strip()), ""), 100)
        found.append(f"data: {known or first}" if "data" in name else known or first)
    return ", ".join(dict.fromkeys(part for part in found if part))


def _networks(files: BundleFiles) -> tuple[str, ...]:
    for name in (name for name in CONFIGS if name in files.names):
        found = [
            f"{plain(key, 40)}: {_words(value)}"
            for key, value in _mapping(files, name).items()
            if isinstance(key, str)
            and isinstance(value, dict)
            and isinstance(value.get("_target_"), str)
            and ("network" in key or key.endswith("_def") or ".nets." in value["_target_"])
        ]
        if found:
            return tuple(found)
    return ()


def _words(definition: Mapping[str, Any]) -> str:
    options = [
        f"{plain(str(key), 40)} {_literal(value)}"
        for key, value in definition.items()
        if not str(key).startswith("_")
    ]
    kind = plain(definition["_target_"].rpartition(".")[2], 60)
    return f"{kind} ({', '.join(options)})" if options else kind


def _literal(value: Any) -> str:
    match value:
        case str() if value[:1] in ("$", "@", "%"):
            return "(an expression, not evaluated)"
        case bool() | int() | float() | str() | None:
            return plain(str(value), 60)
        case list() if all(isinstance(each, bool | int | float) for each in value):
            return plain(str(value), 100)
    return "(more than a number)"


def _mapping(files: BundleFiles, name: str) -> dict[Any, Any]:
    text = files.read(name).decode(errors="replace")
    try:
        values = json.loads(text) if name.endswith(".json") else _yaml(text)
    except (ValueError, yaml.YAMLError, RecursionError):
        raise DataError(
            f"{name} of {files.title} is damaged: it must be {'JSON' if name.endswith('.json') else 'YAML'} without "
            "aliases."
        ) from None
    if not isinstance(values, dict):
        raise DataError(f"{name} of {files.title} is damaged: it must be a mapping.")
    return values


def _yaml(text: str) -> Any:
    # A few aliases of aliases are a text without end.
    if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, Loader=yaml.SafeLoader)):
        raise yaml.YAMLError
    return yaml.safe_load(text)
