"""What a run-time installation stands on: a CycloneDX bill of materials, and the licence of each library.

    python tools/packages/sbom.py --tools .venv-sbom/bin/python --out dist

Both are of this environment, which `make install` fills by constraints.txt, and of run-time libraries alone. The tools,
cyclonedx-bom and pip-licenses, have an environment of their own, and look at this one from there. A licence that cannot
be read, or that is of a kind that may not be passed on with an Apache-2.0 program, is an error.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
#: Words of licences that bind whoever passes the program on; LGPL and MPL bind only changes to the library itself.
BINDING = re.compile(r"(?<!lesser )(?<!l)\b(a?gpl|affero|(?<!lesser )general public license)", re.IGNORECASE)
#: Said nowhere in the metadata of the pinned version; read from the file that comes with it.
READ_BY_HAND: dict[str, str] = {}


def run_time() -> set[str]:
    """Names of everything that the run-time requirements bring in this environment, and of fedgen itself."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    waiting = [Requirement(line) for line in project["dependencies"]]
    seen: set[tuple[str, str]] = set()
    while waiting:
        requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        for extra in {"", *requirement.extras}:
            if (name, extra) in seen:
                continue
            try:
                lines = requires(name) or []
            except PackageNotFoundError:  # of another platform
                continue
            seen.add((name, extra))
            needed = [Requirement(line) for line in lines]
            waiting += [
                each for each in needed if each.marker is None or each.marker.evaluate({"extra": extra})
            ]
    return {name for name, _ in seen}


def bill(tools: Path) -> dict[str, Any]:
    """The bill of what runs, without a time or a serial number: equal environments give equal bills.

    Args:
        tools: the Python in whose environment cyclonedx-bom is.
    """
    made = subprocess.run(
        [str(tools), "-m", "cyclonedx_py", "environment", "--pyproject", str(ROOT / "pyproject.toml"),
         "--output-reproducible", "--of", "JSON", "--sv", "1.6", sys.prefix],
        check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    found = json.loads(made)
    kept = run_time()
    found["components"] = [each for each in found["components"] if canonicalize_name(each["name"]) in kept]
    known = {each["bom-ref"] for each in found["components"]} | {found["metadata"]["component"]["bom-ref"]}
    found["dependencies"] = [
        {**each, "dependsOn": [ref for ref in each.get("dependsOn", ()) if ref in known]}
        for each in found["dependencies"]
        if each["ref"] in known
    ]
    return found


def licences(tools: Path) -> list[dict[str, str]]:
    """Name, version and licence of every run-time library, by name.

    Args:
        tools: the Python in whose environment pip-licenses is.
    """
    made = subprocess.run(
        [str(tools), "-m", "piplicenses", f"--python={sys.executable}", "--from=mixed", "--format=json",
         "--with-urls", "--with-system"],
        check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    kept = run_time()
    found = [each for each in json.loads(made) if canonicalize_name(each["Name"]) in kept]
    for each in found:
        each["License"] = READ_BY_HAND.get(canonicalize_name(each["Name"]), each["License"])
    return sorted(found, key=lambda each: each["Name"].lower())


def short(licence: str) -> str:
    """A licence's name: some packages give its whole text."""
    line = licence.strip().splitlines()[0] if licence.strip() else "UNKNOWN"
    return line if len(line) <= 120 else f"{line[:117]}..."


def problems(found: list[dict[str, str]]) -> list[str]:
    """One sentence for each licence that has to be looked at."""
    told = []
    for each in found:
        licence = short(each["License"])
        if licence == "UNKNOWN":
            told.append(
                f"{each['Name']} {each['Version']} does not say its licence: read it, and add it to READ_BY_HAND."
            )
        elif BINDING.search(licence) and " or " not in licence.lower():
            told.append(
                f"{each['Name']} {each['Version']} is under {licence}, which binds whoever passes fedgen on."
            )
    return told


def table(found: list[dict[str, str]]) -> str:
    """The licences as a page."""
    rows = [
        f"| {each['Name']} | {each['Version']} | {short(each['License']).replace('|', '/')} |"
        for each in found
    ]
    return (
        "# Licences of the run-time libraries\n\n| library | version | licence |\n|---|---|---|\n"
        + "\n".join(rows)
        + "\n"
    )


def main(arguments: list[str]) -> int:
    """Write both files."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, default=ROOT / "dist")
    parser.add_argument("--tools", type=Path, required=True)
    asked = parser.parse_args(arguments)
    out = asked.out
    out.mkdir(parents=True, exist_ok=True)
    made, found = bill(asked.tools), licences(asked.tools)
    (out / "fedgen.cdx.json").write_text(json.dumps(made, indent=1) + "\n", encoding="utf-8")
    (out / "licences.md").write_text(table(found), encoding="utf-8")
    print(f"{len(made['components'])} components in fedgen.cdx.json, {len(found)} licences in licences.md")
    told = problems(found)
    for each in told:
        print(each, file=sys.stderr)
    return 1 if told else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
