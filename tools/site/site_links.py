"""Links of a page, in the words of the site: a folder is its index, a module its page, another file its text."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

#: `](target)` or `](target#anchor)` of a place in the repository.
LINK = re.compile(r"\]\((?!https?:|mailto:|#)([^)\s#]+)(#[^)\s]*)?\)")
LANGUAGES = {
    ".py": "python",
    ".yaml": "yaml",
    ".yml": "yaml",
    ".service": "ini",
    ".json": "json",
    ".toml": "toml",
}
IMAGES = (".png", ".jpg", ".svg")


def resolved(page: str, target: str) -> str:
    """A link of a page as a path within the repository.

    >>> resolved("docs/explanation/audits.md", "../../privacy/fedgen_privacy/secagg/")
    'privacy/fedgen_privacy/secagg'
    """
    return posixpath.normpath(posixpath.join(posixpath.dirname(page), target))


def targets(page: str, text: str) -> Iterator[str]:
    """Paths within the repository that a page links to."""
    for found in LINK.finditer(prose(text)):
        yield resolved(page, found[1])


def prose(text: str) -> str:
    """A page without its blocks of code."""
    return re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)


def source_page(path: str) -> str:
    """The page that shows a file of the repository which is no page itself."""
    return f"source/{path}.md"


def source_text(root: Path, path: str) -> str:
    """Such a page."""
    raw = (root / path).read_text(encoding="utf-8")
    fence = "````" if "```" in raw else "```"
    language = LANGUAGES.get(PurePosixPath(path).suffix, "")
    return f"---\nsearch:\n  exclude: true\n---\n# {path}\n\n{fence}{language}\n{raw.rstrip()}\n{fence}\n"


def rewritten(page: str, text: str, instead: dict[str, str]) -> str:
    """A page's Markdown with its links to what `instead` names replaced; blocks of code stay as they are."""

    def replace(found: re.Match[str]) -> str:
        path = resolved(page, found[1])
        if path not in instead:
            return found[0]
        target = posixpath.relpath(instead[path], posixpath.dirname(page) or ".")
        return f"]({target}{found[2] or ''})"

    pieces = re.split(r"(^```.*?^```)", text, flags=re.DOTALL | re.MULTILINE)
    return "".join(piece if piece.startswith("```") else LINK.sub(replace, piece) for piece in pieces)
