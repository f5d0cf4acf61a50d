"""Look at the built site as a reader's browser would: nothing comes from outside, and every page is there.

python tools/site/check_site.py build/site
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import site_pages

ROOT = Path(__file__).resolve().parents[2]
#: What a browser fetches by itself, by tag; a link to follow (`a`) is a person's own step.
FETCHED = {
    "script": "src", "img": "src", "iframe": "src", "source": "src", "video": "src", "audio": "src", "link": "href"
}  # fmt: skip
#: Kinds of `link` that name a page and fetch nothing.
NAMES = {"canonical", "next", "prev", "alternate"}


class _Fetches(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "link" and given.get("rel") in NAMES:
            return
        wanted = given.get(FETCHED.get(tag, ""))
        if wanted:
            self.found.append(wanted)


def outside(html: str) -> list[str]:
    """Addresses outside the site that a page would fetch by itself.

    >>> outside('<script src="https://cdn.example/x.js"></script><a href="https://example.org">more</a>')
    ['https://cdn.example/x.js']
    """
    parser = _Fetches()
    parser.feed(html)
    return [each for each in parser.found if re.match(r"(https?:)?//", each)]


def outside_of_a_style(css: str) -> list[str]:
    """Addresses outside the site that a style sheet would fetch."""
    return re.findall(r"url\(\s*['\"]?((?:https?:)?//[^)'\"]+)", css) + re.findall(
        r"@import\s+['\"]?(https?:[^'\";]+)", css
    )


def problems(site: Path) -> Iterator[str]:
    """One sentence for each thing that is wrong with the site."""
    built = sorted(site.rglob("*.html"))
    for file in built:
        for address in outside(file.read_text(encoding="utf-8")):
            yield f"{file.relative_to(site)} fetches {address}: keep what it needs in the site."
    for file in sorted(site.rglob("*.css")):
        for address in outside_of_a_style(file.read_text(encoding="utf-8")):
            yield f"{file.relative_to(site)} fetches {address}: keep what it needs in the site."
    for page in site_pages.pages(ROOT):
        if not (site / site_pages.address(page)).is_file():
            yield f"{page} is not in the site: see tools/site/site_pages.py."


def main(site: Path) -> int:
    """Print what is wrong, and how many pages were looked at."""
    found = list(problems(site))
    for each in found:
        print(each)
    pages = len(list(site.rglob("*.html")))
    print(f"{pages} pages, nothing fetched from outside" if not found else f"{len(found)} problems")
    return 1 if found or not pages else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
