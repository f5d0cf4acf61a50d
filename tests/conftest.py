"""The smallest study and sites with which a federation can be run in this process, for every package's tests."""

from __future__ import annotations

import errno
import functools
import gc
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import torch
from flwr.supercore.task_identity import TaskIdentity

from fedgen.data.site_data import Part, SiteData
from fedgen.families.registry import specs
from fedgen.federation.simulation import engine_ahead
from fedgen.mechanisms import plan
from fedgen.run.hints import Hints, speak_as
from fedgen.selftest.tasks import CLASSES, IMAGES, first_task
from fedgen.study.study import Study
from fedgen.task.task import Task
from fedgen.training.noise_site import noise_site

# A shared or busy machine must never fail a test; how fast things are is for benchmarks/ to say. Every run draws other
# examples, so fewer of them a run lose little; `make test-all` asks for `thorough`.
hypothesis.settings.register_profile("patient", deadline=None, max_examples=40)
hypothesis.settings.register_profile("thorough", deadline=None, max_examples=100)
hypothesis.settings.load_profile("patient")

#: Folders whose tests start programs and wait for them. They come first: one that began last would hold one core alone.
FIRST = ("deployment", "extension", "real_data", "fedgen/cli", "fedgen/pipeline")


@pytest.fixture(autouse=True)
def no_engine_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    """A command that is called in this process and refused would start Ray for nobody."""
    monkeypatch.setattr(engine_ahead, "_keep", lambda *arguments: None)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the tests of FIRST before the others, and change nothing else about the order."""
    here = Path(__file__).parent
    items.sort(key=lambda item: not any((here / folder) in item.path.parents for folder in FIRST))


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """What is imported stays until the end: no collection of garbage needs to look at it, now or later."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()
        gc.freeze()


#: Chromium as Debian calls it, and as others do.
BROWSERS = [Path("/usr/bin/chromium"), Path("/usr/bin/chromium-browser"), Path("/usr/bin/google-chrome")]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A real browser without a window; for a module, since its driver keeps an event loop in this thread."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    path = next((path for path in BROWSERS if path.exists()), None)
    if path is None:
        pytest.skip("there is no chromium on this machine")
    arguments = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking"]
    with playwright.sync_playwright() as started:
        opened = started.chromium.launch(executable_path=str(path), args=arguments)
        yield opened
        opened.close()


@pytest.fixture(scope="session", autouse=True)
def _no_wait_for_the_disk() -> Iterator[None]:
    """No test cuts the power: a flush is asked for here, and its order tested, but nobody waits for the disk."""
    with pytest.MonkeyPatch.context() as patch:
        # A handle that is not open is still an error.
        patch.setattr(os, "fsync", lambda handle: os.fstat(handle) and None)
        yield


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Decoded images and keys of tests are no part of anybody's own."""
    os.environ["FEDGEN_CACHE"] = str(tmp_path_factory.mktemp("decoded") / "cache")
    os.environ["FEDGEN_STATE"] = str(tmp_path_factory.mktemp("state"))


TINY: dict[str, dict[str, Any]] = {
    "study": {"name": "tiny", "seed": 5},
    "data": {"image_size": (16, 16), "labels": ("none", "lesion"), "images_per_patient": 2},
    "training": {"rounds": 3, "local_steps": 2, "batch_patients": 3, "microbatch": 4},
    "privacy": {"epsilon": 20.0, "delta": 1e-3, "multiplicity": 1},
    "aggregation": {"secure": False, "minimum_sites": 2},
    "synthesis": {"images": 8},
    "audit": {"bootstrap": 100},
    "evaluation": {"seeds": 1, "steps": 2, "bootstrap": 100},
}


def _sections_of(name: str) -> dict[str, Any]:
    """What a study of a family says of its task and data, where it does not make an image of its class."""
    task = first_task(specs()[name], IMAGES[2], CLASSES)
    assert task is not None
    if task.translates:
        return {
            "task": {"kind": "translate", "target": task.makes[0].name},
            "data": {
                "contrasts": [field.name for field in (*task.sources, *task.makes)],
                "paired": task.paired,
                "labels": ("all",),
            },
        }
    if task.mask is not None:
        masked = {"columns": {"mask": "mask"}, "mask_classes": task.mask.classes, "unmasked": "exclude"}
        return {"task": {"makes": ["image", "mask"]}, "data": masked}
    return {}


#: By family, of those that have another task.
OTHER_TASKS = {name: found for name in specs() if (found := _sections_of(name))}


#: Families whose volumes are walked in every run: one that takes steps, and one of sums. Of the others every run builds
#: volumes and draws them (test_every_allowed_image_shape_builds) and walks everything else in slices; `make test-all`
#: walks the volumes too.
VOLUMES = ("vae", "latent")


def kind_of(name: str, axes: int) -> Any:
    """A parameter: a family and the axes of its images."""
    marks = [pytest.mark.slow] if axes == 3 and name not in VOLUMES else []
    return pytest.param((name, axes), id=f"{name}-{axes}D", marks=marks)


def kinds(*, private: bool = False, steps: bool = False) -> list[Any]:
    """Each family that makes pictures of no others, or each that is private or takes steps, with the axes it makes."""
    return [
        kind_of(name, axes)
        for name, spec in specs().items()
        for axes, image in IMAGES.items()
        if (task := first_task(spec, image, CLASSES)) is not None
        and not task.translates
        and (spec.private or not private)
        and not (steps and spec.sums)
    ]


@pytest.fixture(scope="session")
def other_tasks() -> dict[str, dict[str, Any]]:
    """Sections `task` and `data` of families that do not make an image of its class, by name."""
    return OTHER_TASKS


@pytest.fixture(params=kinds())
def kind(request: pytest.FixtureRequest) -> tuple[str, int]:
    """Every family, with two axes and with three where it makes volumes."""
    found: tuple[str, int] = request.param
    return found


@pytest.fixture(params=kinds(steps=True))
def step_kind(request: pytest.FixtureRequest) -> tuple[str, int]:
    """Those of them that take steps, and are not made of sums alone."""
    found: tuple[str, int] = request.param
    return found


@pytest.fixture(params=kinds(private=True, steps=True))
def private_kind(request: pytest.FixtureRequest) -> tuple[str, int]:
    """Those of them that may be trained privately."""
    found: tuple[str, int] = request.param
    return found


@pytest.fixture(scope="session")
def tiny_study() -> Callable[..., Study]:
    """`tiny_study(family="vae", privacy={"mode": "none"}, ...)`: TINY with keys of its sections replaced."""

    def build(family: str = "vae", **sections: dict[str, Any]) -> Study:
        values = {
            name: {
                **TINY.get(name, {}),
                **OTHER_TASKS.get(family, {}).get(name, {}),
                **sections.get(name, {}),
            }
            for name in {**TINY, **OTHER_TASKS.get(family, {}), **sections}
        }
        if values.get("task", {}).get("kind") == "translate":
            # Its release is the model.
            del values["synthesis"]
        stands = {"prior": {"phantom": {"patients": 40, "donors": 40}}} if specs()[family].needs_prior else {}
        values.setdefault("model", {"family": family, family: specs()[family].small, **stands})
        return Study.model_validate(values)

    return build


@pytest.fixture(scope="session")
def tiny_site() -> Callable[..., SiteData]:
    """`tiny_site("north", patients=9)`: training patients with 1, 2, 3, 1, ... images, and a few held out.

    Of another task than an image of its class, what else that reads of a site is noise.
    """

    def build(
        name: str, patients: int = 9, held_out: int = 2, seed: int = 0, task: Task | None = None
    ) -> SiteData:
        rng = torch.Generator().manual_seed(seed + sum(name.encode()))
        parts = [Part.TRAIN] * patients + [Part.AUDIT] * held_out + [Part.TEST] * held_out
        numbers = [p for p in range(len(parts)) for _ in range(1 + p % 3)]
        owner = torch.tensor(numbers)[torch.randperm(len(numbers), generator=rng)]
        data = SiteData(
            site=name,
            classes=("none", "lesion"),
            images=(torch.rand(len(owner), 1, 16, 16, generator=rng) * 2 - 1).half(),
            labels=owner % 2,
            patients=owner,
            parts=torch.tensor([int(part) for part in parts])[owner],
        )
        if task is None or (task.mask is None and not task.translates):
            return data
        return replace(noise_site(task, owner, rng), site=name, classes=data.classes, parts=data.parts)

    return build


@pytest.fixture(scope="session")
def quick_plans() -> Iterator[None]:
    """Noise is calibrated once for each kind of site: seconds a site, and the same every time.

    For tests of what happens around a plan; the plan itself is tested without it.
    """
    real_reported, real_rdp = plan.epsilon_reported, plan.epsilon_rdp
    reported = functools.cache(lambda spends, delta: real_reported(list(spends), delta))
    rdp = functools.cache(lambda spends, delta: real_rdp(list(spends), delta))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plan, "epsilon_reported", lambda spends, delta: reported(tuple(spends), delta))
        patch.setattr(plan, "epsilon_rdp", lambda spends, delta: rdp(tuple(spends), delta))
        yield


@pytest.fixture
def flower_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """This process is a task of Flower's run 1: Flower lets nothing else make messages."""
    for name in ("_run_id", "_task_id", "_node_id"):
        monkeypatch.setattr(TaskIdentity, name, 1)


@pytest.fixture(autouse=True)
def plain_hints() -> Iterator[None]:
    """No test speaks with the words of a program that another one ran."""
    speak_as(Hints())
    yield
    speak_as(Hints())


@pytest.fixture
def disk_full(monkeypatch: pytest.MonkeyPatch) -> Callable[[], AbstractContextManager[None]]:
    """`with disk_full():` no file can be flushed to disk any more."""

    @contextmanager
    def full() -> Iterator[None]:
        def refuse(handle: int) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        with monkeypatch.context() as patch:
            patch.setattr("fedgen_privacy.durable.os.fsync", refuse)
            yield

    return full
