"""The reference of the site file, written from the pydantic models: `python -m fedgen_client.site_manual`."""

from __future__ import annotations

import sys
from collections.abc import Iterator

from fedgen.schema.manual import HEAD, row
from fedgen.schema.section import Section
from fedgen_client.site_file import CohortSection, PolicySection, RuntimeSection

_HEAD = """\
# The site file

<!-- Written by `make docs` from the models in client/fedgen_client/site_file.py; do not edit by hand. -->

`site.yaml` in a hospital's folder says where its images lie, what they may spend, and what a study may ask of this
site. `fedgen-client join` writes one with every default and a comment beside each key. It is read by the site's own
machine alone: it never leaves the site, and nothing that a coordinator sends can change it.

* Every key has a default except those marked **required**. An unknown key, a value of the wrong type or out of range
  is an error (exit 2) that names the line, the key, what was found and what is allowed.
* A change counts from the next task on, also in a study that is running: a policy made stricter ends an approval, a
  lower `maximum_epsilon` ends the spending. The site misses the round in which it is changed. Of `runtime` only
  `device` counts at once, the rest when `fedgen-client start` begins.
* `fedgen-client check` says whether the file is valid and what it means for the studies on offer.
* `null` means "not given".
"""

#: Name of each section as it stands in the file, with its model.
_SECTIONS: tuple[tuple[str, type[Section]], ...] = (
    ("cohorts.NAME", CohortSection),
    ("policy", PolicySection),
    ("runtime", RuntimeSection),
)

_ABOUT = {
    "cohorts.NAME": "At least one; NAME is the hospital's own (letters, digits, `_` and `-`, 63 at most). It names the "
    "ledger's file too, so a cohort that is renamed begins with an empty ledger: do not rename it.",
}


def reference() -> str:
    """The whole page, Markdown."""
    return "\n".join([_HEAD, *_sections()])


def main() -> None:
    """Write the page to standard output."""
    sys.stdout.write(reference())


def _sections() -> Iterator[str]:
    for name, section in _SECTIONS:
        yield f"\n## `{name}`\n"
        yield " ".join((section.__doc__ or "").split())
        if name in _ABOUT:
            yield f"\n{_ABOUT[name]}"
        yield HEAD
        for key, field in section.model_fields.items():
            yield row(key, field)
    yield ""


if __name__ == "__main__":
    main()
