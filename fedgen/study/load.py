"""Study file -> Study: YAML, then `--set` overrides, then validation; every problem is a sentence."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from fedgen.schema.document import read_document
from fedgen.schema.form import Form
from fedgen.schema.overrides import apply_overrides
from fedgen.schema.read import read_text, validated
from fedgen.study import presets
from fedgen.study.study import Study

STUDY_FILE = Form(Study, "a section study with a name", "study: and training:")


def load_study(name_or_path: str, overrides: Sequence[str] = ()) -> Study:
    """Read, override and validate a study.

    Args:
        name_or_path: a preset's name such as `demo`, or the path of a YAML file.
        overrides: `KEY=VALUE` with a dotted key and a YAML value, later ones win.

    Raises:
        StudyError: everything that is wrong, one sentence a line, each with its place, the key, what was
            found and what is allowed.
    """
    if presets.is_preset_name(name_or_path):
        path, source = presets.path_of(name_or_path), f"preset {name_or_path}"
    else:
        path, source = Path(name_or_path), name_or_path
    hint = f"check the path, or name a preset ({', '.join(presets.names())})"
    return parse_study(read_text(path, source, hint), source, overrides)


def parse_study(text: str, source: str, overrides: Sequence[str] = ()) -> Study:
    """As `load_study`, from text; `source` names it in errors."""
    return validated(apply_overrides(read_document(text, source, STUDY_FILE), overrides, Study), STUDY_FILE)
