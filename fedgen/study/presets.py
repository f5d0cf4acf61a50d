"""Studies that come with fedgen, by name, and templates of other files: `configs/`, `fedgen/presets/` in a wheel."""

from __future__ import annotations

from pathlib import Path

import fedgen
from fedgen.errors import StudyError

#: Files beside the presets that are no studies but templates, by name.
TEMPLATES = ("site",)


def folder() -> Path:
    """Where the presets lie.

    Raises:
        StudyError: this installation holds none.
    """
    package = Path(fedgen.__file__).parent
    for candidate in (package / "presets", package.parent / "configs"):
        if candidate.is_dir():
            return candidate
    raise StudyError(f"This installation of fedgen at {package} holds no presets: install it again.")


def names() -> list[str]:
    """Names of every preset, sorted."""
    return sorted(path.stem for path in folder().glob("*.yaml") if path.stem not in TEMPLATES)


def is_preset_name(name_or_path: str) -> bool:
    """Whether a preset is meant, rather than a file: no folder and no `.yaml` in it."""
    return not any(mark in name_or_path for mark in ("/", "\\")) and not name_or_path.endswith(
        (".yaml", ".yml")
    )


def path_of(name: str) -> Path:
    """The file of a preset.

    Raises:
        StudyError: no such preset; the sentence lists those that exist.
    """
    if name in names():
        return folder() / f"{name}.yaml"
    raise StudyError(
        f"There is no preset {name!r}: choose one of {', '.join(names())}, "
        "or give the path of a file that ends in .yaml."
    )


def template(name: str) -> Path:
    """The file of a template, one of `TEMPLATES`."""
    return folder() / f"{name}.yaml"
