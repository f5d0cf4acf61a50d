"""The menu, made of what is there: a folder of docs/ is a section, its pages are the entries."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Any

import site_api

#: Folders of docs/ in the order in which a person needs them; others follow by name.
ORDER = ("tutorials", "how-to", "reference", "troubleshooting", "explanation", "decisions")
NAMES = {"how-to": "How to"}
#: Read one after the other, so by what a newcomer does first and not by name.
FIRST = ("docs/tutorials/quickstart.md", "docs/tutorials/first-federation.md", "docs/how-to/install.md")
PROJECT = ("client/README.md", "server/README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md")


def section_name(folder: str) -> str:
    """`How to` of `how-to`, `Exit codes` of `exit-codes`."""
    return NAMES.get(folder, folder.replace("-", " ").replace("_", " ").capitalize())


def folders(pages: list[str]) -> list[str]:
    """Folders directly within docs/, in the order of the menu."""
    found = {
        PurePosixPath(page).parts[1] for page in pages if page.startswith("docs/") and page.count("/") > 1
    }
    return [*(each for each in ORDER if each in found), *sorted(found - set(ORDER))]


def index_page(folder: str) -> str:
    """Source path of the generated list of a folder's pages."""
    return f"docs/{folder}/index.md"


def of_folder(folder: str, pages: list[str], titles: dict[str, str]) -> list[Any]:
    """Pages of a folder, each folder within it as a section after them."""
    inside = [page for page in pages if page.startswith(f"docs/{folder}/") and page != index_page(folder)]
    here = [page for page in inside if page.count("/") == folder.count("/") + 2]
    by_title = folder != "decisions"
    here.sort(key=lambda page: (page not in FIRST, FIRST.index(page) if page in FIRST else 0,
                                titles[page].lower() if by_title else page))  # fmt: skip
    deeper = sorted(
        {PurePosixPath(page).parts[folder.count("/") + 2] for page in inside}
        - {PurePosixPath(p).name for p in here}
    )
    entries: list[Any] = [{titles[page]: page} for page in here]
    entries += [{section_name(each): of_folder(f"{folder}/{each}", pages, titles)} for each in deeper]
    return entries


def index_text(folder: str, pages: list[str], titles: dict[str, str], said: dict[str, str]) -> str:
    """The generated list of a folder's pages, each with what it says first."""
    lines = [f"# {section_name(folder)}", ""]

    def add(entries: list[Any], depth: int) -> None:
        for entry in entries:
            ((name, where),) = entry.items()
            if isinstance(where, str):
                about = f": {said[where]}" if said[where] else ""
                lines.append(f"{'    ' * depth}* [{name}]({where.removeprefix(f'docs/{folder}/')}){about}")
            else:
                lines.append(f"{'    ' * depth}* {name}")
                add(where, depth + 1)

    add(of_folder(folder, pages, titles), 0)
    return "\n".join(lines) + "\n"


def menu(pages: list[str], titles: dict[str, str], doors: list[str]) -> list[Any]:
    """The whole menu: home, docs/ by folder, results, the code, the project."""
    entries: list[Any] = [{"Home": "README.md"}]
    for folder in folders(pages):
        entries.append({section_name(folder): [index_page(folder), *of_folder(folder, pages, titles)]})
    results = [page for page in pages if page.startswith(("simulations/", "benchmarks/"))]
    entries.append({"Results": [{titles[page]: page} for page in results]})
    entries.append({"Code": ["api/index.md", *code(doors)]})
    rest = {page for page in pages if not page.startswith(("docs/", "simulations/", "benchmarks/"))}
    known = [page for page in PROJECT if page in rest]
    others = sorted(rest - set(PROJECT) - {"README.md"})
    loose = [page for page in pages if page.startswith("docs/") and page.count("/") == 1]
    entries.append({"Project": [{titles[page]: page} for page in (*known, *others, *loose)]})
    return entries


def code(doors: list[str]) -> list[Any]:
    """The front door, then a section for each room."""
    entries: list[Any] = [{"import fedgen": site_api.page(site_api.FRONT)}]
    rooms = list(dict.fromkeys(site_api.room(name) for name in doors if name != site_api.FRONT))
    for room in rooms:
        inside = [name for name in doors if name != site_api.FRONT and site_api.room(name) == room]
        entries.append({room: [{name.removeprefix(f"{room}."): site_api.page(name)} for name in inside]})
    return entries
