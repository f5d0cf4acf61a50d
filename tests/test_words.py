"""A word means one thing: no two classes, and no two modules, share a name for different things."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

REPO = Path(__file__).parent.parent
PACKAGES = ("fedgen", "privacy/fedgen_privacy", "client/fedgen_client", "server/fedgen_server")

#: The same thing in its place: a room's contract, its registry, its errors; a program's start and its words.
IN_EVERY_ROOM = {"__init__", "__main__", "contract", "registry", "errors", "hints", "main", "options"}
#: What each family folder has.
IN_EVERY_FAMILY = {"family", "options", "networks", "network", "objective", "objectives"}
#: A module by this name at each of the two ends, or on each of two floors of one thing.
AT_BOTH_ENDS = {
    "distributed": "the mode, its mathematics in the vault, and its check",
    "enrol": "joining, at the hospital and at the coordinator",
    "folder": "the folder of a hospital and of a coordinator",
    "lock": "the vault's lock, and the sentence around it",
    "messages": "of the federation, and of secure aggregation inside them",
    "release": "drawn by a stage, and what a message may carry of it",
    "rounds": "of the coordinator, and of a site",
    "studies": "as offered, and as a hospital keeps them",
    "words": "what a study means, to its author and to a hospital",
}
#: One subject with several aspects, each in a room of its own.
SUBJECTS = {
    "dicom": "as a format, as a layout, and as what the phantom and a release are written as",
    "guard": "of the port that the coordinator opens, and of the files that a site opens",
    "patients": "counted before a study, made up for a check, and resampled by the statistics",
    "sampling": "in a family's sampler, and of patients as it is checked",
    "table": "as a layout, and as it is read",
    "model": "as asked for, and as trained",
    "build": "of an index, and of a prior",
    "load": "of a study, and of images",
    "read": "of a YAML file, and of an image",
    "local": "the mode, and the steps that it leaves to a site",
    "membership": "in a federation, and in a training set",
    "keys": "of a study file, and of secure aggregation",
    "joint": "the vector of several objectives, in the vault, and the objectives that share it",
    "segmentation": "as what a release is worth, and as what it is written as",
    "task": "as asked for, and as it is compiled",
    "translate": "the command, its work on a folder, and how what it makes is put into the grid of the source",
    "features": "of images, by which copies are found and by which classes are judged",
}


def modules(root: Path) -> list[Path]:
    return [file for package in PACKAGES for file in sorted((root / package).rglob("*.py"))]


def classes_twice(root: Path) -> dict[str, list[str]]:
    """Public classes by name that are defined in several modules."""
    found: dict[str, list[str]] = {}
    for file in modules(root):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                found.setdefault(node.name, []).append(str(file.relative_to(root)))
    return {name: places for name, places in found.items() if len(places) > 1}


def modules_twice(root: Path) -> Mapping[str, int]:
    """Modules outside the thin commands that share a name; a command is called like what it starts."""
    count = Counter(
        file.stem for file in modules(root) if file.parent.name != "cli" and "checks" not in file.parts
    )
    return {name: times for name, times in count.items() if times > 1}


def test_no_two_classes_have_one_name() -> None:
    assert classes_twice(REPO) == {}


def test_modules_share_a_name_only_where_it_means_one_thing() -> None:
    allowed = {*IN_EVERY_ROOM, *IN_EVERY_FAMILY, *AT_BOTH_ENDS, *SUBJECTS}
    shared = {*modules_twice(REPO)}
    assert sorted(shared - allowed) == []
    assert sorted({*AT_BOTH_ENDS, *SUBJECTS} - shared) == [], "take it out of the list"


def test_a_planted_clash_is_found(tmp_path: Path) -> None:
    for place in ("fedgen/data/one.py", "fedgen/study/one.py", "fedgen/cli/one.py", "fedgen/data/other.py"):
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / place).write_text("class _Own:\n    pass\n")
    assert classes_twice(tmp_path) == {}
    assert modules_twice(tmp_path) == {"one": 2}
    for place in ("fedgen/data/one.py", "fedgen/data/other.py"):
        (tmp_path / place).write_text("class Same:\n    pass\n")
    assert classes_twice(tmp_path) == {"Same": ["fedgen/data/one.py", "fedgen/data/other.py"]}
