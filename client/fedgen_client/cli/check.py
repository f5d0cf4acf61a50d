"""`fedgen-client check`."""

from __future__ import annotations

import typer

from fedgen.cli.as_json import AsJson, print_told, tells
from fedgen.errors import ExitCode
from fedgen_client.checks.line import worst
from fedgen_client.checks.run import check as findings
from fedgen_client.cli.options import DEFAULT_FOLDER, Folder, say, site
from fedgen_client.cli.told_studies import ChecksTold, checks_told


@tells(ChecksTold)
def check(as_json: AsJson = False, folder: Folder = DEFAULT_FOLDER) -> None:
    """Check this site from its data to its coordinator: a line each, `ok` or what to mend."""
    lines = []
    for line in findings(site(folder)):
        lines.append(line)
        if not as_json:
            say(f"{'ok' if line.ok else 'mend':<5} {line.about}: {line.text}", None if line.ok else "red")
    code = worst(lines)
    if as_json:
        print_told(checks_told(lines))
        raise typer.Exit(int(code))
    wrong = sum(not line.ok for line in lines)
    if code is not ExitCode.DONE:
        say(f"{wrong} of {len(lines)} to mend; nothing was sent of the data, and nothing spent.")
        raise typer.Exit(int(code))
    say("All is well: approve a study with `fedgen-client approve STUDY`, then run `fedgen-client start`.")
