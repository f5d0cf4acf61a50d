"""The reference of the study file, written from the pydantic models: `python -m fedgen.study.study_manual`."""

from __future__ import annotations

import sys
from collections.abc import Iterator

from pydantic import ValidationError

from fedgen.schema.keys import dotted, keys, section_of
from fedgen.schema.manual import HEAD, row
from fedgen.schema.section import Section
from fedgen.study.study import Study

_HEAD = """\
# The study file

<!-- Written by `make docs` from the models in fedgen/study/; do not edit by hand. -->

A study is one YAML file. Every key has a default except those marked **required**; `fedgen study show FILE`
prints all of them with the values that will be used; `fedgen study check FILE` validates without running.
An unknown key, a value of the wrong type or an impossible combination is an error (exit 2) that names the
line, the key, what was found and what is allowed.

* `--set training.rounds=3` replaces any key from the command line; the value is YAML, it may be repeated, and
  of two for the same key the later wins.
* Words that YAML reads as something else need quotes: `labels: ["No", "Yes"]`, `labels: ["0", "1"]`.
* A key given twice is an error, and so is an alias (`*name`).
* `null` means "not given".
* A file may hold a section for every family under `model`; all are checked, and the study keeps that of `model.family`,
  its defaults where there is none. `--set` on an option of another family is an error, since it would change nothing.
"""


def reference() -> str:
    """The whole page, Markdown."""
    return "\n".join([_HEAD, *_sections()])


def main() -> None:
    """Write the page to standard output."""
    sys.stdout.write(reference())


def _sections() -> Iterator[str]:
    for key in keys(Study):
        section = section_of(key.field)
        if section is None:
            continue
        yield f"\n## `{dotted(key.path)}`\n"
        yield " ".join((section.__doc__ or "").split())
        if not key.field.is_required() and key.field.get_default(call_default_factory=True) is None:
            needed = [name for name, inner in section.model_fields.items() if inner.is_required()]
            opened = ""
            if needed:
                opened = f" Given, it needs {' and '.join(f'`{name}`' for name in needed)}."
            elif _has_defaults(section):
                opened = f" `{key.path[-1]}: {{}}` takes the defaults."
            yield f"\nAbsent unless given: {key.field.description}.{opened}"
        elif key.field.description is not None:
            yield f"\n{key.field.description}"
        yield HEAD
        for inner in keys(section, key.path):
            if len(inner.path) == len(key.path) + 1 and section_of(inner.field) is None:
                yield row(inner.path[-1], inner.field)
    yield ""


def _has_defaults(section: type[Section]) -> bool:
    """Whether it may be given with nothing in it."""
    try:
        section()
    except ValidationError:
        return False
    return True


if __name__ == "__main__":
    main()
