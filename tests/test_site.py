"""The site has every page of the repository because it is there: pages, menu, code and links are found by walking."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

REPO = Path(__file__).parent.parent
TOOLS = REPO / "tools" / "site"


@pytest.fixture(scope="module", autouse=True)
def _tools() -> Iterator[None]:
    sys.path.insert(0, str(TOOLS))
    yield
    sys.path.remove(str(TOOLS))


def entries(menu: Any) -> Iterator[str]:
    if isinstance(menu, str):
        yield menu
    elif isinstance(menu, dict):
        for each in menu.values():
            yield from entries(each)
    else:
        for each in menu:
            yield from entries(each)


def made(root: Path) -> list[Any]:
    import site_menu
    import site_pages

    pages = site_pages.pages(root)
    titles = {page: site_pages.title(site_pages.text(root, page), page) for page in pages}
    return site_menu.menu(pages, titles, ["fedgen"])


def test_every_page_that_git_has_is_in_the_menu_once() -> None:
    import site_pages

    tracked = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=REPO,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.splitlines()
    pages = [path for path in tracked if path.endswith((".md", ".ipynb")) and (REPO / path).exists()]
    pages = [path for path in pages if not path.startswith(("tests/", "tools/"))]
    assert len(pages) > 80
    assert sorted(pages) == site_pages.pages(REPO)
    listed = [entry for entry in entries(made(REPO)) if not entry.startswith("api/")]
    assert sorted(each for each in listed if not each.endswith("index.md")) == sorted(pages)


def test_a_page_or_a_folder_that_is_added_is_in_the_menu(tmp_path: Path) -> None:
    for name in ("docs/how-to/b.md", "docs/how-to/deep/c.md", "docs/new-kind/d.md", "README.md"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"# Title of {path.stem}\n\nText.\n", encoding="utf-8")
    menu = made(tmp_path)
    assert {
        "How to": [
            "docs/how-to/index.md",
            {"Title of b": "docs/how-to/b.md"},
            {"Deep": [{"Title of c": "docs/how-to/deep/c.md"}]},
        ]
    } in menu
    assert {"New kind": ["docs/new-kind/index.md", {"Title of d": "docs/new-kind/d.md"}]} in menu


def test_no_two_pages_have_one_address() -> None:
    import site_pages

    addresses = [site_pages.address(page) for page in site_pages.pages(REPO)]
    assert len(addresses) == len(set(addresses))


@pytest.mark.slow
def test_the_code_reference_is_of_what_several_rooms_import() -> None:
    import site_api

    doors = site_api.doors(REPO)
    assert doors[0] == "fedgen"
    for contract in (
        "fedgen.families.contract",
        "fedgen.mechanisms.contract",
        "fedgen.run.row",
        "fedgen_privacy.ledger",
    ):
        assert contract in doors
    assert not [name for name in doors if name.startswith(("fedgen_client", "fedgen_server"))]
    assert set(doors) <= set(site_api.modules(REPO))


def test_a_link_to_what_is_no_page_leads_to_what_shows_it() -> None:
    import site_links

    page = "docs/explanation/x.md"
    text = "See [a](../../fedgen/a.py) and `](../../fedgen/a.py)`.\n\n```\n[b](../../fedgen/a.py)\n```\n"
    found = site_links.rewritten(page, text, {"fedgen/a.py": "source/fedgen/a.py.md"})
    assert "[a](../../source/fedgen/a.py.md)" in found
    assert "[b](../../fedgen/a.py)" in found


def test_a_notebook_reads_as_a_page() -> None:
    import site_pages

    cells = [
        {"cell_type": "markdown", "source": ["# A notebook\n", "\n", "Prose."]},
        {"cell_type": "code", "source": ["print(1)"], "outputs": [{"text": ["1\n"]}, {"data": {}}]},
    ]
    text = site_pages.notebook(json.dumps({"cells": cells}))
    assert text == "# A notebook\n\nProse.\n\n```python\nprint(1)\n```\n\n```\n1\n```\n"
    assert site_pages.title(text, "docs/x.ipynb") == "A notebook"


@pytest.mark.parametrize(
    ("html", "count"),
    [
        ('<script src="https://cdn.example/x.js"></script>', 1),
        ('<link rel="stylesheet" href="//fonts.example/css">', 1),
        ('<img src="https://badge.example/x.svg">', 1),
        ('<a href="https://example.org">x</a><link rel="canonical" href="https://example.org/">', 0),
        ('<script src="../assets/x.js"></script><img src="data:image/png;base64,AA==">', 0),
    ],
)
def test_what_a_browser_would_fetch_from_outside_is_found(html: str, count: int) -> None:
    import check_site

    assert len(check_site.outside(html)) == count


def test_so_is_what_a_style_would_fetch() -> None:
    import check_site

    assert check_site.outside_of_a_style(
        "@import 'https://x.example/a.css'; p{background:url(//x.example/b.png)}"
    )
    assert not check_site.outside_of_a_style(
        "p{background:url(../b.png);mask:url('data:image/svg+xml;utf8,<svg/>')}"
    )


def test_a_failure_is_listed_by_the_sentence_that_is_printed() -> None:
    import site_pages

    text = "# A failure\n\n## What is printed\n\n```text\nIt failed: do this.\n```\n\nThe command ends.\n"
    assert site_pages.first_sentence(text) == "`It failed: do this.`"
    assert site_pages.first_sentence("# A page\n\nIt says [this](x.md). And more.\n") == "It says this."
