"""Study file -> Study: YAML, then `--set` overrides, then validation; every problem is a sentence."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from fedgen.families.registry import specs
from fedgen.schema.document import Document, read_document
from fedgen.schema.form import Form
from fedgen.schema.overrides import ORIGIN, apply_overrides
from fedgen.schema.read import read_text, validated
from fedgen.study import presets
from fedgen.study.model import ModelSection
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
    document = apply_overrides(read_document(text, source, STUDY_FILE), overrides, Study)
    vain = tuple(overrides_in_vain(document))
    return validated(replace(document, problems=(*document.problems, *vain)), STUDY_FILE)


def overrides_in_vain(document: Document) -> Iterator[str]:
    """What to say of `--set` on the options of a family that is not trained; a file may hold them, for another day."""
    model = document.values.get("model")
    if not isinstance(model, dict):
        return
    family = model.get("family", ModelSection.model_fields["family"].default)
    if family not in list(specs()):
        return
    placed = {path[1] for path in document.origins if path[0] == "model" and len(path) > 1}
    for path, origin in document.origins.items():
        if path[0] != "model" or not origin.startswith(ORIGIN):
            continue
        # A whole section, `model={...}`, has one origin for all that later overrides left of it.
        for name in sorted(path[1:2] if len(path) > 1 else model.keys() - placed):
            if name != family and name in specs():
                yield (
                    f"{origin}: model.family is {family}, so that model.{name} would change nothing: leave it out, or "
                    f"set model.family to {name}."
                )
