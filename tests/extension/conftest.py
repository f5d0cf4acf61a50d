"""fedgen with files added in a temporary folder, where it finds them: nothing is registered anywhere.

What is read when Python starts, or first asked for, is added to a fresh process; the rest to this one, which is faster.
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from fedgen.data.decoders.registry import by_ending
from fedgen.data.layouts.registry import by_precedence
from fedgen.data.site_data import LabelledImages

REPO = Path(__file__).parents[2]
#: Run by Python itself at its start: every package that has a folder of the same name in the addition goes on there.
SITECUSTOMIZE = """
import importlib, pathlib
addition = pathlib.Path(__file__).parent
for folder in sorted(path for path in addition.rglob("*") if path.is_dir()):
    # A folder with an __init__.py is a package that is added, one without is where it is added.
    if folder.name != "__pycache__" and not (folder / "__init__.py").exists():
        importlib.import_module(".".join(folder.relative_to(addition).parts)).__path__.append(str(folder))
"""

#: A family whose one contribution is a statistic of one number.
BRIGHTNESS = {
    "__init__": "",
    "options": """
from fedgen.families.parts.supported import image_of_class_in
from fedgen.families.spec import FamilySpec
from fedgen.schema.section import Section

class BrightnessOptions(Section):
    pass

SPEC = FamilySpec(
    "brightness", "images as bright as patients are", BrightnessOptions, BrightnessOptions(),
    image_of_class_in(2), private=True, sums=1,
)
""",
    "statistic": """
import torch
from fedgen.families.contract import Statistic

class MeanBrightness(Statistic):
    name = "brightness"
    length = 1

    def draw(self, B, M, K, rng):
        return {}

    def vectors(self, networks, records, draws):
        means = records.fields["image"].flatten(2).mean(dim=2)
        return (means * records.weights["patient"]).sum(dim=1, keepdim=True)

    def advance(self, networks, means, noise):
        with torch.no_grad():
            networks["lamp"].weight.copy_(means)
        return dict(networks)
""",
    "family": """
from torch import nn
from fedgen.families.contract import Family
from fedgen.families.brightness.statistic import MeanBrightness

class BrightnessFamily(Family):
    def __init__(self, task, options):
        self.shape = task.image.shape

    def networks(self):
        return {"lamp": nn.Linear(1, 1, bias=False)}

    def contributions(self):
        return (MeanBrightness(),)

    def sample(self, networks, given, n, rng):
        return networks["lamp"].weight.detach().reshape(1, 1, 1, 1).expand(n, *self.shape).float()

    def score(self, networks, records, rng):
        return -MeanBrightness().vectors(networks, records, {}).sub(networks["lamp"].weight[0]).abs().sum(dim=1)
""",
}
#: A mode that differs from `local` in its name and in what it says.
LOUDER = """
from fedgen.mechanisms.modes.local import LocalNoise

class Louder(LocalNoise):
    name = "louder"

    def _holds_against(self):
        return "everybody who listens"
"""

#: Runs `python ARGUMENTS` in the repository with the addition.
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def extended(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Mapping[str, str]], Run]:
    """`run = extended({"fedgen/families/mine/options.py": text, ...}); run("-m", "fedgen.cli", "models")`."""

    def add(files: Mapping[str, str]) -> Run:
        addition = tmp_path_factory.mktemp("addition")
        for name, text in {"sitecustomize.py": SITECUSTOMIZE, **files}.items():
            path = addition / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        # The repository is found as this process finds it.
        path = os.pathsep.join([str(addition), *(entry for entry in sys.path if entry)])

        def run(*arguments: str) -> subprocess.CompletedProcess[str]:
            return subprocess.run(
                [sys.executable, *arguments],
                cwd=REPO,
                env={**os.environ, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1", "COLUMNS": "200"},
                capture_output=True,
                text=True,
                timeout=300,
                check=False,
            )

        return run

    return add


@pytest.fixture(scope="session")
def exchanged(
    extended: Callable[[Mapping[str, str]], Run], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, dict[str, Any]]:
    """By mode, what came of one exchange of the family `brightness`; see `one_exchange.py`."""
    family = {f"fedgen/families/brightness/{name}.py": text for name, text in BRIGHTNESS.items()}
    run = extended({**family, "fedgen/mechanisms/modes/louder.py": LOUDER})
    modes = ("none", "no", "local", "no", "distributed", "yes", "louder", "no")
    done = run(str(Path(__file__).parent / "one_exchange.py"), str(tmp_path_factory.mktemp("runs")), *modes)
    assert done.returncode == 0, done.stderr
    found: dict[str, dict[str, Any]] = json.loads(done.stdout)
    return found


@pytest.fixture
def add(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str, str, str], None]]:
    """`add("fedgen.data.decoders", "mine", source)`: one more module in that folder, until the test ends."""
    before = {*sys.modules}

    def clear() -> None:
        by_ending.cache_clear()
        by_precedence.cache_clear()

    def put(folder: str, name: str, source: str) -> None:
        package, added = importlib.import_module(folder), tmp_path / "addition" / folder
        added.mkdir(parents=True, exist_ok=True)
        (added / f"{name}.py").write_text(source, encoding="utf-8")
        monkeypatch.setattr(package, "__path__", [*package.__path__, str(added)])
        clear()

    yield put
    monkeypatch.undo()
    for name in {*sys.modules} - before:
        if str(tmp_path) in str(getattr(sys.modules[name], "__file__", "")):
            package, _, module = name.rpartition(".")
            delattr(sys.modules[package], module)
            del sys.modules[name]
    clear()


@pytest.fixture
def made() -> LabelledImages:
    """Twenty synthetic images of two classes, as large as those of `tiny_site`."""
    rng = torch.Generator().manual_seed(1)
    return LabelledImages(torch.rand(20, 1, 16, 16, generator=rng) * 2 - 1, torch.arange(20) % 2)
