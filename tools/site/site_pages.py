"""Which files of the repository are pages of the site, under which address, and what each is called."""

from __future__ import annotations

import json
import re
from pathlib import Path, PurePosixPath

#: Pages that do not lie in docs/: what a person meets in the repository belongs to the site too.
BESIDE = ("*.md", "client/README.md", "server/README.md", "benchmarks/README.md", "simulations/*/README.md")


def pages(root: Path) -> list[str]:
    """Every page, as a path within the repository: docs/ whole, with its notebooks, and the pages beside it."""
    docs = [
        path.relative_to(root).as_posix()
        for kind in ("*.md", "*.ipynb")
        for path in (root / "docs").rglob(kind)
        if not any(part.startswith(".") for part in path.relative_to(root).parts)
    ]
    beside = [path.relative_to(root).as_posix() for pattern in BESIDE for path in root.glob(pattern)]
    return sorted({*docs, *beside})


def address(page: str) -> str:
    """Where a page is in the site: docs/ is its root, a README the index of its folder, a notebook a page.

    >>> address("docs/how-to/compare-runs.md"), address("README.md"), address("docs/tutorials/api.ipynb")
    ('how-to/compare-runs/index.html', 'index.html', 'tutorials/api/index.html')
    """
    path = PurePosixPath(page.removeprefix("docs/").removesuffix(".md").removesuffix(".ipynb"))
    return str(path.parent / "index.html" if path.name in ("README", "index") else path / "index.html")


def text(root: Path, page: str) -> str:
    """The Markdown of a page; that of a notebook is its cells with what they printed."""
    raw = (root / page).read_text(encoding="utf-8")
    # A table right under a comment is one on GitHub, and text to mkdocs.
    return notebook(raw) if page.endswith(".ipynb") else re.sub(r"(-->\n)(?=\|)", r"\1\n", raw)


def notebook(raw: str) -> str:
    """A notebook's text as Markdown: cells of prose as they are, code and its printed output as blocks."""
    parts = []
    for cell in json.loads(raw)["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            parts.append(source)
        elif cell["cell_type"] == "code" and source.strip():
            parts.append(f"```python\n{source}\n```")
            printed = "".join("".join(out["text"]) for out in cell.get("outputs", ()) if "text" in out)
            if printed.strip():
                parts.append(f"```\n{printed.rstrip()}\n```")
    return "\n\n".join(parts) + "\n"


def title(markdown: str, page: str) -> str:
    """The first heading, without backticks; the file's name where there is none."""
    found = re.search(r"^# (.+)$", markdown, re.MULTILINE)
    return found[1].replace("`", "").strip() if found else PurePosixPath(page).stem


def first_sentence(markdown: str) -> str:
    """What a page says first: its first line of prose up to a full stop, without links; empty where it has none.

    Of a page on a failure it is the sentence by which a person knows it.
    """
    printed = re.search(r"^## What is printed\n+```text\n(.*)$", markdown, re.MULTILINE)
    if printed:
        return f"`{printed[1]}`"
    after = re.sub(r"```.*?```", "", markdown, flags=re.DOTALL).partition("\n")[2]
    for block in after.split("\n\n"):
        line = " ".join(block.split())
        if line and line[0] not in "#|!<*-`>[":
            plain = re.sub(r"\[([^\]]+)\]\([^)]*\)", r"\1", line)
            return re.split(r"(?<=[.:?]) ", plain)[0].rstrip(":") + ("" if plain else ".")
    return ""
