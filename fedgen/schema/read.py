"""A file's text, and its values checked against its form; every problem is a sentence."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from fedgen.errors import StudyError
from fedgen.schema.document import Document
from fedgen.schema.form import Form, S
from fedgen.schema.problems import sentences


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
