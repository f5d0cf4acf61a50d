"""The name of a privacy mode is said by its mechanism, by the study, and in words a person reads; nowhere else."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from fedgen.errors import StudyError
from fedgen.mechanisms.registry import mechanism_class
from fedgen.study.modes import is_private, modes

REPO = Path(__file__).parents[3]
PACKAGES = ("fedgen", "privacy/fedgen_privacy", "client/fedgen_client", "server/fedgen_server")
SAID_IN = (
    "fedgen/mechanisms/",
    "fedgen/study/",
    "fedgen/planning/words.py",
    "fedgen/planning/dpia/",
    "client/fedgen_client/words.py",
)


def named(source: str) -> Iterator[tuple[int, str]]:
    """Line and name, wherever code decides by the name of a mode.

    `none` is also a class of images and a way to reduce a tensor, so it counts only where a mode is compared with it.
    """
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and node.value in ("local", "distributed"):
            yield node.lineno, node.value
        compared = node if isinstance(node, ast.Compare | ast.Match) else None
        if compared is not None and "mode" in ast.unparse(compared):
            found = (each for each in ast.walk(compared) if isinstance(each, ast.Constant))
            yield from ((each.lineno, "none") for each in found if each.value == "none")


def offences(root: Path) -> list[str]:
    found = []
    for package in PACKAGES:
        for file in sorted((root / package).rglob("*.py")):
            path = file.relative_to(root).as_posix()
            if not path.startswith(SAID_IN):
                found += [f"{path}:{line}: {name}" for line, name in named(file.read_text(encoding="utf-8"))]
    return found


def test_modes_are_named_where_they_may_be() -> None:
    assert offences(REPO) == []


@pytest.mark.parametrize(
    "fault",
    [
        'if study.privacy.mode == "distributed":\n    pass',
        'private = privacy.mode != "none"',
        'WORDS = {"local": "everybody"}',
        'none = report["mode"] in ("none",)',
        'match study.privacy.mode:\n    case "none":\n        pass',
    ],
)
def test_a_planted_name_is_found(tmp_path: Path, fault: str) -> None:
    for package in PACKAGES:
        (tmp_path / package).mkdir(parents=True)
    allowed, other = tmp_path / "fedgen/mechanisms/planted.py", tmp_path / "fedgen/federation/planted.py"
    for file in (allowed, other):
        file.parent.mkdir(exist_ok=True)
    allowed.write_text(fault)
    assert offences(tmp_path) == []
    other.write_text(fault)
    assert len(offences(tmp_path)) == 1


def test_a_class_of_images_is_no_mode() -> None:
    assert list(named('CLASSES = ("none", "lesion")\nloss = f(reduction="none")')) == []


def test_every_mode_has_its_mechanism_which_promises_what_the_study_says() -> None:
    assert set(modes()) == {"distributed", "local", "none"}
    for name in modes():
        assert mechanism_class(name).name == name
        assert mechanism_class(name).private == is_private(name)


def test_a_mode_that_is_not_installed_is_refused_with_those_that_are() -> None:
    with pytest.raises(StudyError, match="distributed, local, none"):
        mechanism_class("louder")
