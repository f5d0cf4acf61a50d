"""The architecture page tells of the house as it stands: its rooms, its modules, its decisions."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

REPO = Path(__file__).parent.parent
PAGE = REPO / "docs/explanation/architecture.md"
PACKAGES = {
    "fedgen": REPO / "fedgen",
    "fedgen_privacy": REPO / "privacy/fedgen_privacy",
    "fedgen_client": REPO / "client/fedgen_client",
    "fedgen_server": REPO / "server/fedgen_server",
}


def section(heading: str) -> str:
    text = PAGE.read_text(encoding="utf-8")
    assert f"## {heading}\n" in text, heading
    return text.partition(f"## {heading}\n")[2].partition("\n## ")[0]


def rows(text: str) -> list[list[str]]:
    """Cells of the table's rows, without its head."""
    text = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    found = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:1] == "|"
    ]
    return found[2:]


def there(place: Path) -> bool:
    return place.is_dir() or place.with_suffix(".py").exists()


def rooms() -> list[str]:
    """The rooms of fedgen from the ground up, as far as they are built."""
    contracts = tomllib.loads((REPO / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    (layers,) = (each["layers"] for each in contracts if each.get("containers") == ["fedgen"])
    named = [room.strip(" ()") for layer in reversed(layers) for room in layer.split("|")]
    return [room for room in named if there(PACKAGES["fedgen"] / room)]


def test_the_rooms_are_told_in_the_order_of_the_contracts() -> None:
    assert [cells[0].strip("`") for cells in rows(section("The rooms of `fedgen`"))] == rooms()


def test_contributing_names_the_same_rooms() -> None:
    text = (REPO / "CONTRIBUTING.md").read_text(encoding="utf-8")
    table = text.partition("## The rooms\n")[2].partition("\n## ")[0]
    assert [room for cells in rows(table) for room in re.findall(r"`(\w+)`", cells[0])] == rooms()


@pytest.mark.parametrize("package", PACKAGES)
def test_every_room_says_what_it_is(package: str) -> None:
    for file in sorted(PACKAGES[package].rglob("__init__.py")):
        assert ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))), file


def modules(text: str) -> Iterator[str]:
    """Every `room.module` and `room/folder` of fedgen, and every `fedgen_x.module`, in backticks."""
    known = "|".join([*rooms(), *PACKAGES])
    yield from re.findall(rf"`((?:{known})(?:[./][a-z_]+)+)`", text)


def place_of(name: str) -> Path:
    package, _, inside = name.replace("/", ".").partition(".")
    if package in PACKAGES:
        return PACKAGES[package] / inside.replace(".", "/")
    return PACKAGES["fedgen"] / name.replace(".", "/")


def test_every_module_that_is_named_exists() -> None:
    text = PAGE.read_text(encoding="utf-8").partition("## Where to add something")[0]
    found = [name for name in modules(text) if not name.startswith("fedgen/")]
    assert len(found) > 30
    assert [name for name in found if not there(place_of(name))] == []


@pytest.mark.parametrize("package", ["fedgen_client", "fedgen_server"])
def test_the_table_of_processes_names_every_module(package: str) -> None:
    told: list[str] = []
    current = ""
    for owner, names, _ in rows(section("The processes of a federation")):
        current = owner.strip("`") or current
        if current == package:
            told += re.findall(r"`([a-z_]+)`", names)
    built = {path.stem for path in PACKAGES[package].iterdir() if path.name.rstrip("_") == path.name}
    assert sorted(told) == sorted(built - {"__init__", "__pycache__", "py"})


def test_every_decision_is_listed_once_under_a_number_of_its_own() -> None:
    files = sorted((REPO / "docs/decisions").glob("*.md"))
    numbers = [path.name[:3] for path in files]
    assert numbers == [f"{number:03d}" for number in range(1, len(files) + 1)]
    listed = re.findall(r"^\* \[(\d+) (.*)\]\(\.\./decisions/(.*)\)$", section("Decisions"), re.MULTILINE)
    headings = [path.read_text(encoding="utf-8").splitlines()[0] for path in files]
    assert [(f"# {number}: {title}", file) for number, title, file in listed] == [
        (heading, path.name) for heading, path in zip(headings, files, strict=True)
    ]
    assert [number for number, _, _ in listed] == numbers
