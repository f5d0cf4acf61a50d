"""docs/reference/json.md, written from the models beside each command: `python tools/json_reference.py`."""

from __future__ import annotations

import sys

from fedgen.cli.json_manual import HEAD, part
from fedgen.cli.main import PLACES as WORKSHOP
from fedgen_client.cli.main import PLACES as HOSPITAL
from fedgen_server.cli.main import PLACES as COORDINATOR

PROGRAMS = {"fedgen": WORKSHOP, "fedgen-client": HOSPITAL, "fedgen-server": COORDINATOR}


def page() -> str:
    """The whole page, Markdown."""
    return HEAD + "".join(part(program, places) for program, places in PROGRAMS.items())


if __name__ == "__main__":
    sys.stdout.write(page())
