"""Tables in a README, between markers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def write_between(readme: Path, name: str, content: str) -> None:
    """Replace what stands between the markers of this name."""
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    text = readme.read_text(encoding="utf-8")
    before, rest = text.split(begin)
    _, after = rest.split(end)
    readme.write_text(f"{before}{begin}\n{content}\n{end}{after}", encoding="utf-8")
