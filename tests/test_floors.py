"""The house stands: imports go down only, no circles, one room knows Flower's insides; and each rule can fail."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

REPO = Path(__file__).parent.parent
ROOTS = {"fedgen": ".", "fedgen_privacy": "privacy", "fedgen_client": "client", "fedgen_server": "server"}

#: The one room that may import Flower's non-public packages.
ADAPTER = "fedgen.flower"
#: What Flower documents for applications; every other package of flwr changes without notice.
PUBLIC_FLOWER = ("flwr.app", "flwr.clientapp", "flwr.serverapp", "flwr.simulation")


def lint(*import_folders: Path) -> subprocess.CompletedProcess[str]:
    """Check the contracts of pyproject.toml on the packages found in `import_folders`."""
    return subprocess.run(
        [
            sys.executable,
            "-c",
            "from importlinter.cli import lint_imports_command as run; run()",
            "--no-cache",
            "--no-logo",
            "--config",
            str(REPO / "pyproject.toml"),
        ],
        cwd=import_folders[0],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, import_folders)), "COLUMNS": "400"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_the_house_keeps_every_contract() -> None:
    outcome = lint(*(REPO / folder for folder in ROOTS.values()))
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr


def rooms() -> Iterator[str]:
    """Dotted name of every room that a contract of layers inside a package names."""
    contracts = tomllib.loads((REPO / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    for contract in contracts:
        for container in contract.get("containers", []):
            for layer in contract["layers"]:
                yield from (f"{container}.{room.strip(' ()')}" for room in layer.split("|"))


@pytest.fixture
def house(tmp_path: Path) -> Path:
    """Empty packages of every name the contracts know, and the adapter."""
    for package in [*ROOTS, *rooms()]:
        folder = tmp_path / package.replace(".", "/")
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "__init__.py").touch()
    (tmp_path / "fedgen/federation/exchange/flower.py").write_text("import flwr\n")
    for module in ("durable", "lock"):
        (tmp_path / f"fedgen_privacy/{module}.py").touch()
    for module in (
        "registry",
        "spec",
        "contract",
        "parts/folding",
        "one/options",
        "one/family",
        "other/family",
    ):
        file = tmp_path / "fedgen/families" / f"{module}.py"
        file.parent.mkdir(exist_ok=True)
        (file.parent / "__init__.py").touch()
        file.touch()
    for module in ("registry", "contract", "network_weights"):
        (tmp_path / f"fedgen/extractors/{module}.py").touch()
    (tmp_path / "fedgen/task/task.py").touch()
    return tmp_path


def test_an_empty_house_keeps_every_contract(house: Path) -> None:
    outcome = lint(house)
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr


@pytest.mark.parametrize(
    ("contract", "planted"),
    [
        ("The floors", {"fedgen_privacy/planted.py": "import fedgen.errors"}),
        ("The floors", {"fedgen/cli/planted.py": "from fedgen_server import __doc__"}),
        ("The floors", {"fedgen_client/planted.py": "import fedgen_server"}),
        ("The rooms", {"fedgen/evidence/planted.py": "def late():\n    import fedgen.report"}),
        ("The rooms", {"fedgen/run_view.py": "import fedgen.report.page"}),
        ("The rooms", {"fedgen/study/planted.py": "from fedgen.data import __doc__"}),
        ("The rooms", {"fedgen/attic/__init__.py": ""}),
        ("The rooms", {"fedgen/schema/planted.py": "import fedgen.study"}),
        ("The rooms", {"fedgen/families/planted.py": "import fedgen.study"}),
        ("The wing", {"fedgen/federation/site/planted.py": "import fedgen.federation.coordinator"}),
        ("The wing", {"fedgen/federation/exchange/planted.py": "import fedgen.federation.site"}),
        ("The wing", {"fedgen/federation/attic/__init__.py": ""}),
        ("The folders", {"fedgen/families/one/planted.py": "import fedgen.families.other"}),
        ("The folders", {"fedgen/families/one/planted.py": "import fedgen.families.registry"}),
        ("The folders", {"fedgen/families/parts/planted.py": "import fedgen.families.one"}),
        ("The folders", {"fedgen/families/spec.py": "import fedgen.families.other.family"}),
        ("What a family says", {"fedgen/families/one/options.py": "def late():\n    import torch"}),
        (
            "What a family says",
            {
                "fedgen/families/one/options.py": "import fedgen.families.parts.heavy",
                "fedgen/families/parts/heavy.py": "from monai.networks import nets",
            },
        ),
        ("What a family says", {"fedgen/families/registry.py": "import fedgen.families.one.family, torch"}),
        ("What a family says", {"fedgen/study/planted.py": "import torch"}),
        ("What a family says", {"fedgen/extractors/network_weights.py": "import torch"}),
        (
            "No circles",
            {"fedgen/data/a.py": "import fedgen.data.b", "fedgen/data/b.py": "import fedgen.data.a"},
        ),
        (
            "No circles",
            {
                "fedgen_privacy/a.py": "import fedgen_privacy.b",
                "fedgen_privacy/b.py": "import fedgen_privacy.a",
            },
        ),
        ("The vault", {"fedgen_privacy/planted.py": "from monai.networks import nets"}),
        ("The vault", {"fedgen_privacy/planted.py": "import PIL.Image"}),
        ("One writer", {"fedgen_server/planted.py": "from fedgen_privacy.durable import append_line"}),
        ("One writer", {"fedgen/run/planted.py": "import fedgen_privacy.lock"}),
        ("Two modules", {"fedgen/training/planted.py": "from flwr.app import Message"}),
    ],
)
def test_a_planted_fault_breaks_its_contract(house: Path, contract: str, planted: dict[str, str]) -> None:
    for path, text in planted.items():
        (house / path).parent.mkdir(exist_ok=True)
        (house / path).write_text(f"{text}\n")
    outcome = lint(house)
    assert outcome.returncode == 1, outcome.stdout + outcome.stderr
    broken = [line for line in outcome.stdout.splitlines() if "BROKEN" in line]
    assert any(line.startswith(contract) for line in broken), outcome.stdout


def private_flower_imports(import_folder: Path, package: str) -> Iterator[str]:
    """`module imports name` for each use of Flower's non-public packages outside the adapter."""
    for file in sorted((import_folder / package).rglob("*.py")):
        module = ".".join(file.relative_to(import_folder).with_suffix("").parts).removesuffix(".__init__")
        if f"{module}.".startswith(f"{ADAPTER}."):
            continue
        for name in imported_names(ast.parse(file.read_text(encoding="utf-8"))):
            inside = name.startswith("flwr.")
            if inside and not any(
                name == public or name.startswith(f"{public}.") for public in PUBLIC_FLOWER
            ):
                yield f"{module} imports {name}"


def imported_names(tree: ast.AST) -> Iterator[str]:
    """Dotted names of every import, at any depth of the code."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("package", ROOTS)
def test_private_flower_stays_in_the_adapter(package: str) -> None:
    assert list(private_flower_imports(REPO / ROOTS[package], package)) == []


@pytest.mark.parametrize(
    "text",
    [
        "import flwr.supercore.constant",
        "from flwr.supernode import start",
        "from flwr import common",
        "def late():\n    from flwr.server.superlink import linkstate",
        "from flwr.proto.node_pb2 import Node",
    ],
)
def test_a_planted_private_flower_import_is_seen(house: Path, text: str) -> None:
    (house / "fedgen_client/planted.py").write_text("from flwr.app import Message\nimport flwr.clientapp\n")
    assert list(private_flower_imports(house, "fedgen_client")) == []
    (house / "fedgen_client/planted.py").write_text(f"{text}\n")
    assert len(list(private_flower_imports(house, "fedgen_client"))) == 1


def test_the_adapter_may_import_private_flower(house: Path) -> None:
    (house / "fedgen/flower/fleet.py").write_text("import flwr.supercore.constant\n")
    assert list(private_flower_imports(house, "fedgen")) == []
    shutil.move(house / "fedgen/flower/fleet.py", house / "fedgen/federation/exchange/flower.py")
    assert list(private_flower_imports(house, "fedgen")) != []
