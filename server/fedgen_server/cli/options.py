"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

DEFAULT_FOLDER = Path("fedgen-federation")
ENVIRONMENT = "FEDGEN_FEDERATION"

Folder = Annotated[
    Path, typer.Option("--folder", envvar=ENVIRONMENT, metavar="DIR", help="The federation's folder.")
]
