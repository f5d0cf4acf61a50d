"""The walk over the folders of families: what is found, and what is said of a folder that is not whole."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import MappingProxyType

import pytest

import fedgen.families
from fedgen.errors import StudyError
from fedgen.families.contract import Family
from fedgen.families.parts.supported import image_of_class_in
from fedgen.families.registry import family_class, specs
from fedgen.families.spec import FamilySpec
from fedgen.families.vae.options import VAEOptions
from fedgen.task.image_spec import ImageSpec
from fedgen.task.task import Field, Task, image_of_class

FOLDER = Path(fedgen.families.__file__).parent
SPEC = """
from fedgen.families.spec import FamilySpec
from fedgen.schema.section import Section
class Options(Section):
    pass
SPEC = FamilySpec("{name}", "", Options, Options(), lambda task: None, private=True)
"""
FAMILY = "from fedgen.families.contract import Family\nclass {name}(Family):\n    pass\n"

Plant = Callable[..., None]


@pytest.fixture
def plant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Plant]:
    """`plant("mine", options=..., family=...)`: a folder of that name beside fedgen's own, with these files."""
    monkeypatch.setattr(fedgen.families, "__path__", [*fedgen.families.__path__, str(tmp_path)])

    def write(folder: str, **files: str) -> None:
        (tmp_path / folder).mkdir()
        for name, text in {"__init__": "", **files}.items():
            (tmp_path / folder / f"{name}.py").write_text(text)
        specs.cache_clear()

    before = {*sys.modules}
    yield write
    for name in {*sys.modules} - before:
        if name.startswith("fedgen.families."):
            del sys.modules[name]
    specs.cache_clear()


def test_every_folder_of_a_family_is_found_by_its_name() -> None:
    folders = {path.parent.name for path in FOLDER.glob("*/family.py")}
    assert {"diffusion", "gan", "vae"} <= folders
    assert list(specs()) == sorted(folders)
    for name, spec in specs().items():
        assert spec.name == name
        assert issubclass(family_class(name), Family)
        assert type(spec.options()) is type(spec.small)


def test_a_folder_that_is_planted_is_found(plant: Plant) -> None:
    plant("mine", options=SPEC.format(name="mine"), family=FAMILY.format(name="Mine"))
    plant("tools", helpers="")
    assert {*specs()} >= {"mine", "vae"}
    assert "tools" not in specs()
    assert family_class("mine").__name__ == "Mine"


@pytest.mark.parametrize(
    ("folder", "files", "sentence"),
    [
        ("mine", {"family": FAMILY}, "The folder mine of fedgen.families has no options.py: add it"),
        ("mine", {"options": SPEC}, "The folder mine of fedgen.families has no family.py: add it"),
        ("mine", {"options": "", "family": FAMILY}, "mine of fedgen.families has no SPEC in its options.py"),
        (
            "other",
            {"options": SPEC, "family": FAMILY},
            "The folder other of fedgen.families holds the family mine",
        ),
        (
            "vae",
            {"options": SPEC, "family": FAMILY},
            "Two folders of families are named vae: rename the one in",
        ),
    ],
)
def test_a_folder_that_is_not_whole_is_refused(
    plant: Plant, folder: str, files: dict[str, str], sentence: str
) -> None:
    plant(folder, **{part: text.format(name="mine") for part, text in files.items()})
    with pytest.raises(StudyError, match=sentence):
        specs()


@pytest.mark.parametrize("text", ["", FAMILY.format(name="A") + FAMILY.format(name="B")])
def test_a_family_file_has_one_class(plant: Plant, text: str) -> None:
    plant("mine", options=SPEC.format(name="mine"), family=text)
    with pytest.raises(StudyError, match=r"family\.py must define one class of Family, but defines [02]"):
        family_class("mine")


def test_what_a_family_says_of_itself_cannot_be_changed() -> None:
    assert isinstance(specs(), MappingProxyType)


def test_a_spec_contradicts_itself_nowhere() -> None:
    def spec(**changes: object) -> FamilySpec:
        whole = {"name": "x", "summary": "", "options": VAEOptions, "small": VAEOptions(), "private": True}
        return FamilySpec(**{**whole, "supports": image_of_class_in(2), **changes})  # type: ignore[arg-type]

    assert spec().private
    with pytest.raises(ValueError, match="small, variants and systems of the family x must be of VAEOptions"):
        spec(small=specs()["gan"].small)
    for wrong in ({"private": False}, {"why_not": "for no reason"}):
        with pytest.raises(ValueError, match="why_not of the family x must say why"):
            spec(**wrong)
    with pytest.raises(ValueError, match="the family x needs a prior, so that prior must be true"):
        spec(needs_prior="it has nothing else")


def test_a_task_is_supported_by_its_fields_and_axes() -> None:
    supports = image_of_class_in(2)
    flat, volume = (image_of_class(ImageSpec(channels=1, size=(8,) * n), ("a", "b")) for n in (2, 3))
    assert supports(flat) is None
    assert supports(volume) == "it makes 2D images, not 3D ones"
    assert image_of_class_in(2, 3)(volume) is None
    assert supports(Task(flat.makes)) == "it makes one image, given its class, and nothing else"
    mask = Field("mask", "mask", flat.image)
    assert supports(Task((*flat.makes, mask), flat.given)) is not None
