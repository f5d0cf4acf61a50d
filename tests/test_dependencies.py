"""A run-time dependency is imported by run-time code, or it is not one; what is imported is declared; pins agree."""

from __future__ import annotations

import ast
import functools
import sys
import tomllib
from collections.abc import Iterable, Iterator
from importlib.metadata import PackageNotFoundError, packages_distributions, requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

REPO = Path(__file__).parent.parent
PROJECT = tomllib.loads((REPO / "pyproject.toml").read_text(encoding="utf-8"))["project"]
ROOTS = {"fedgen": ".", "fedgen_privacy": "privacy", "fedgen_client": "client", "fedgen_server": "server"}

#: Declared and not imported by us: who needs it and does not require it.
NEEDED_BY = {"einops": "monai", "pyjpegls": "pydicom", "pylibjpeg": "pydicom"}
#: Imported by us and not declared under its own name: the requirement that brings it.
BROUGHT_BY = {
    "annotated-types": "pydantic",
    "click": "typer",
    "markupsafe": "Jinja2",
    "protobuf": "flwr",
    "pydantic-core": "pydantic",
    "ray": "flwr[simulation]",
    "sqlalchemy": "flwr",
}


def requirements(lines: Iterable[str]) -> dict[str, Requirement]:
    found = [Requirement(line) for line in lines]
    return {canonicalize_name(each.name): each for each in found}


RUN_TIME = requirements(PROJECT["dependencies"])
DEVELOPMENT = requirements(PROJECT["optional-dependencies"]["dev"])
#: What a person installs for a kind of file that not everybody has.
EXTRAS = requirements(
    line for name, lines in PROJECT["optional-dependencies"].items() if name != "dev" for line in lines
)


def pins() -> dict[str, str]:
    lines = (REPO / "constraints.txt").read_text(encoding="utf-8").split()
    return {canonicalize_name(name): version for name, _, version in (line.partition("==") for line in lines)}


def imported_modules() -> Iterator[str]:
    """Top-level names of everything that run-time code imports, at whatever depth."""
    for package, place in ROOTS.items():
        for file in (REPO / place / package).rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Import):
                    yield from (alias.name.partition(".")[0] for alias in node.names)
                elif isinstance(node, ast.ImportFrom):
                    yield (node.module or "").partition(".")[0]


@functools.cache
def imported() -> frozenset[str]:
    """Distributions, not of ours, that run-time code imports from."""
    modules = set(imported_modules()) - set(ROOTS) - sys.stdlib_module_names
    of = packages_distributions()
    # A namespace such as google's is of several: then one that is declared or brought is meant.
    known = {*RUN_TIME, *EXTRAS, *BROUGHT_BY}
    found = {
        module: {canonicalize_name(name) for name in of.get(module, [f"unknown {module}"])}
        for module in modules
    }
    return frozenset().union(*(names & known or names for names in found.values()))


def unused(declared: Iterable[str]) -> set[str]:
    return set(declared) - imported() - set(NEEDED_BY)


def test_every_run_time_dependency_is_imported() -> None:
    assert unused(RUN_TIME) == set()


def test_one_that_is_not_would_be_found() -> None:
    assert unused([*RUN_TIME, "dp-accounting", "hypothesis"]) == {"dp-accounting", "hypothesis"}


def test_everything_imported_is_declared() -> None:
    assert imported() - set(RUN_TIME) - set(EXTRAS) == set(BROUGHT_BY)
    for name, by in BROUGHT_BY.items():
        brings = Requirement(by)
        ours = RUN_TIME[canonicalize_name(brings.name)]
        assert brings.extras <= ours.extras
        assert name in closure({brings.name: brings}), name


def test_an_exception_is_one() -> None:
    for name, by in NEEDED_BY.items():
        assert name in RUN_TIME and name not in imported()
        offered = [Requirement(line) for line in requires(by) or ()]
        optional = [each for each in offered if canonicalize_name(each.name) == name]
        assert optional and all("extra" in str(each.marker) for each in optional), by


@pytest.mark.parametrize(
    "requirement", [*RUN_TIME.values(), *DEVELOPMENT.values()], ids=lambda requirement: requirement.name
)
def test_the_pinned_version_is_within_the_bounds(requirement: Requirement) -> None:
    assert requirement.specifier.contains(pins()[canonicalize_name(requirement.name)])


def closure(roots: dict[str, Requirement]) -> set[str]:
    """Names of all that the installed distributions behind `roots` require, with them."""
    found: set[tuple[str, str]] = set()
    waiting = list(roots.values())
    while waiting:
        requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        for extra in {"", *requirement.extras}:
            if (name, extra) in found:
                continue
            found.add((name, extra))
            try:
                lines = requires(name) or []
            except PackageNotFoundError:  # of another platform
                continue
            needed = [Requirement(line) for line in lines]
            waiting += [
                each for each in needed if each.marker is None or each.marker.evaluate({"extra": extra})
            ]
    return {name for name, _ in found}


def test_every_pin_is_of_something_that_is_needed() -> None:
    assert set(pins()) - closure(RUN_TIME | DEVELOPMENT | EXTRAS) == set()
