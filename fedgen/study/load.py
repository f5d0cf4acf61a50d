"""Study file -> Study: YAML, then `--set` overrides, then validation; every problem is a sentence.

`read_text` and `validated` serve the other forms of file alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pydantic import ValidationError

from fedgen.errors import StudyError
from fedgen.study import presets
from fedgen.study.document import Document, read_document
from fedgen.study.form import STUDY_FILE, Form, S
from fedgen.study.overrides import apply_overrides
from fedgen.study.problems import sentences
from fedgen.study.study import Study


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
    return validated(apply_overrides(read_document(text, source), overrides), STUDY_FILE)


def validated(document: Document, form: Form[S]) -> S:
    """The values of a document, checked against its form.

    Raises:
        StudyError: everything that is wrong, one sentence a line.
    """
    problems = list(document.problems)
    try:
        values = form.root.model_validate(document.values)
    except ValidationError as error:
        problems += sentences(error, document, form.root)
    if problems:
        raise StudyError("\n".join(problems))
    return values


def read_text(path: Path, source: str, hint: str) -> str:
    """The text of a file; `source` names it in errors, and `hint` says what to do where it does not exist.

    Raises:
        StudyError: it is absent, unreadable, or not UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise StudyError(f"{source} does not exist: {hint}.") from None
    except UnicodeDecodeError:
        raise StudyError(f"{source} is not text in UTF-8: save it as such.") from None
    except OSError as error:
        raise StudyError(
            f"{source} cannot be read ({error.strerror}): check the path and its permissions."
        ) from None
