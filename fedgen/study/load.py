"""Study file -> Study: YAML, then `--set` overrides, then validation; every problem is a sentence.

`model.family: auto` is settled here, before anybody sees a study: a `Study` always names its family, so that no signed
or stored one can leave it open.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from fedgen.errors import StudyError
from fedgen.families.registry import specs
from fedgen.schema.document import Document, given_document, read_document
from fedgen.schema.form import Form
from fedgen.schema.overrides import Overrides, apply_overrides, is_override
from fedgen.schema.read import read_text, validated
from fedgen.study import presets
from fedgen.study.model import ModelSection
from fedgen.study.study import Study
from fedgen.study.variants import AUTO, family_asked, in_family

STUDY_FILE = Form(Study, "a section study with a name", "study: and training:")

#: From the study in each family that it can be of to the family that it is, and the reason in a sentence.
Choose = Callable[[Mapping[str, Study]], tuple[str, str]]


def load_study(
    source: str | Mapping[str, Any], overrides: Overrides = (), choose: Choose | None = None
) -> Study:
    """Read, override and validate a study.

    Args:
        source: a preset's name such as `demo`, the path of a YAML file, or the sections as a file would hold them.
        overrides: `KEY=VALUE` with a dotted key and a YAML value, later ones win; or values by dotted key.
        choose: settles `model.family: auto`; without it such a study is refused.

    Raises:
        StudyError: everything that is wrong, one sentence a line, each with its place, the key, what was
            found and what is allowed.
    """
    return _validated(_document(source, overrides), choose)


def parse_study(text: str, source: str, overrides: Overrides = (), choose: Choose | None = None) -> Study:
    """As `load_study`, from text; `source` names it in errors."""
    return _validated(apply_overrides(read_document(text, source, STUDY_FILE), overrides, Study), choose)


def _validated(document: Document, choose: Choose | None) -> Study:
    if family_asked(document) == AUTO:
        # Whatever is set of any family may matter to the choice.
        return validated(_settled(document, choose), STUDY_FILE)
    vain = tuple(overrides_in_vain(document))
    return validated(replace(document, problems=(*document.problems, *vain)), STUDY_FILE)


def load_variants(source: str | Mapping[str, Any], overrides: Overrides = ()) -> dict[str, Study]:
    """The study in each family that it can be of, by name: what a comparison of families reads.

    Raises:
        StudyError: the file cannot be read, or it can be of no family.
    """
    return _variants(_document(source, overrides))


def parse_variants(text: str, source: str, overrides: Overrides = ()) -> dict[str, Study]:
    """As `load_variants`, from text."""
    return _variants(apply_overrides(read_document(text, source, STUDY_FILE), overrides, Study))


def _document(source: str | Mapping[str, Any], overrides: Overrides) -> Document:
    if isinstance(source, str):
        text, name = _text_of(source)
        found = read_document(text, name, STUDY_FILE)
    else:
        found = given_document(source, "the study")
    return apply_overrides(found, overrides, Study)


def _text_of(name_or_path: str) -> tuple[str, str]:
    if presets.is_preset_name(name_or_path):
        path, source = presets.path_of(name_or_path), f"preset {name_or_path}"
    else:
        path, source = Path(name_or_path), name_or_path
    hint = f"check the path, or name a preset ({', '.join(presets.names())})"
    return read_text(path, source, hint), source


def _settled(document: Document, choose: Choose | None) -> Document:
    """The document with a family in the place of `auto`, and the reason beside it."""
    where = document.origins.get(("model", "family"), document.source)
    if choose is None:
        raise StudyError(
            f"{where}: model.family is auto, which the plan settles before a study is run or signed: a study that is "
            "shared names its family, as `fedgen study show` prints it."
        )
    for key in ("pretrained", "adapters", "chosen"):
        if document.values["model"].get(key) is not None:
            raise StudyError(
                f"{where}: model.family is auto, but model.{key} is of one family: name that family, or leave "
                f"model.{key} out."
            )
    family, reason = choose(_variants(document))
    settled = in_family(document, family)
    return replace(settled, values={**settled.values, "model": {**settled.values["model"], "chosen": reason}})


def _variants(document: Document) -> dict[str, Study]:
    found, problems = {}, {}
    for name in specs():
        try:
            found[name] = validated(in_family(document, name), STUDY_FILE)
        except StudyError as error:
            problems[name] = error
    if not found:
        default = ModelSection.model_fields["family"].default
        raise problems.get(default) or next(iter(problems.values()))
    return found


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
        if path[0] != "model" or not is_override(origin):
            continue
        # A whole section, `model={...}`, has one origin for all that later overrides left of it.
        for name in sorted(path[1:2] if len(path) > 1 else model.keys() - placed):
            if name != family and name in specs():
                yield (
                    f"{origin}: model.family is {family}, so that model.{name} would change nothing: leave it out, or "
                    f"set model.family to {name}."
                )
