"""Tables of this folder's README, each between markers of its own, with the commit that it was measured at."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

# The modules beside this folder, whatever it was started from.
sys.path.insert(0, str(Path(__file__).parent.parent))
from readme import table, write_between

__all__ = ["publish", "table"]


def commit() -> str:
    """Of the code that runs."""
    asked = ["git", "-C", str(Path(__file__).parent), "rev-parse", "--short", "HEAD"]
    return subprocess.run(asked, check=True, capture_output=True, text=True).stdout.strip()


def publish(name: str, table: str, readme: Path | None) -> None:
    """Print a table, and put it between its markers of a README."""
    print(f"\n{table}\n", flush=True)
    if readme is not None:
        write_between(readme, name, f"Measured at commit `{commit()}` on a CPU.\n\n{table}")
