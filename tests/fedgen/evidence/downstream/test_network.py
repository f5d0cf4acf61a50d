"""Networks that are trained side by side are those that are trained one after another, however many cores there are."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from fedgen.evidence import remembered, workers
from fedgen.evidence.downstream import network
from fedgen.evidence.downstream.arms import TrainingSet
from fedgen.evidence.downstream.classifier import probabilities, train_classifier
from fedgen.evidence.downstream.network import Lesson, learn
from fedgen.evidence.downstream.stopping import steps_to_train

MOST, SEED = 104, 3


@pytest.fixture(autouse=True)
def forgetful(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remembered, "_known", {})


def taught(make_images: Callable[..., Tensor], n: int = 24, seed: int = 0) -> TrainingSet:
    labels = torch.arange(n) % 2
    return TrainingSet(make_images(labels, seed=seed, side=16), labels, torch.arange(n), torch.arange(n))


def with_cores(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    monkeypatch.setattr(workers, "cores", lambda: count)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_what_networks_think_does_not_depend_on_the_cores(
    count: int, make_images: Callable[..., Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    with_cores(monkeypatch, count)
    monkeypatch.setattr("fedgen.evidence.downstream.stopping.LEAST", 10)
    first, second = taught(make_images), taught(make_images, seed=1)
    test = make_images(torch.arange(10) % 2, seed=2, side=16)
    torch.manual_seed(5)
    before = torch.get_rng_state(), torch.get_num_threads()
    found = learn([Lesson((first, first)), Lesson((second,), like=0)], test, 2, most=20, seed=SEED)
    # Neither the global generator nor torch's threads are other than before.
    assert torch.equal(torch.get_rng_state(), before[0]) and torch.get_num_threads() == before[1]
    steps = steps_to_train(first, 2, most=20, seed=SEED)
    alone = [
        probabilities(train_classifier(data.images, data.labels, 2, steps=steps, seed=SEED + s), test).numpy()
        for data, s in ((first, 0), (first, 1), (second, 0))
    ]
    assert [len(each) for each in found] == [2, 1]
    for one, other in zip([*found[0], *found[1]], alone, strict=True):
        np.testing.assert_array_equal(one, other)


def counted(monkeypatch: pytest.MonkeyPatch, name: str) -> Iterator[list[tuple[Any, ...]]]:
    calls: list[tuple[Any, ...]] = []
    real = getattr(network, name)

    def wrapped(*args: Any, **options: Any) -> Any:
        calls.append((*args, options))
        return real(*args, **options)

    monkeypatch.setattr(network, name, wrapped)
    yield calls


def test_a_lesson_of_the_release_is_learnt_once_and_is_the_same(
    make_images: Callable[..., Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a simulation every site asks for it; sharing it must change no number."""
    (trained,), (searched,) = counted(monkeypatch, "train_classifier"), counted(monkeypatch, "steps_to_train")
    data = taught(make_images)
    test = make_images(torch.arange(6) % 2, seed=2, side=16)

    def once(data: TrainingSet, *, most: int = 4, seed: int = SEED, shared: bool = True) -> np.ndarray:
        return learn([Lesson((data,), shared=shared)], test, 2, most=most, seed=seed)[0][0]

    def alike(patients: Tensor) -> TrainingSet:
        return TrainingSet(data.images.clone(), data.labels.clone(), patients, data.rows)

    first = once(data)
    # The numbers of its patients hang on the site that asks.
    np.testing.assert_array_equal(once(alike(data.patients + 7)), first)
    assert len(trained) == len(searched) == 1
    np.testing.assert_array_equal(once(data, shared=False), first)
    assert len(trained) == 2
    others = TrainingSet(data.images.flip(0), data.labels, data.patients, data.rows)
    relabelled = TrainingSet(data.images, 1 - data.labels, data.patients, data.rows)
    for other, options in ((others, {}), (relabelled, {}), (data, {"most": 5}), (data, {"seed": 9})):
        once(other, **options)
    assert len(trained) == 6
    for seed in range(100, 100 + remembered.KEPT):
        once(data, most=1, seed=seed)
    assert len(remembered._known) == remembered.KEPT


def test_a_control_is_trained_as_long_as_its_arm(
    make_images: Callable[..., Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    (trained,) = counted(monkeypatch, "train_classifier")
    lengths = iter([7, 5])
    with_cores(monkeypatch, 1)
    monkeypatch.setattr(network, "steps_to_train", lambda *_, **__: next(lengths))
    lessons = [Lesson((taught(make_images, seed=s),), like=like) for s, like in enumerate((None, 0, None, 2))]
    learn(lessons, make_images(torch.arange(4) % 2, seed=9, side=16), 2, most=MOST, seed=SEED)
    assert sorted(call[-1]["steps"] for call in trained) == [5, 5, 7, 7]


def test_a_network_that_fails_is_told(
    make_images: Callable[..., Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: Any, **__: Any) -> None:
        raise RuntimeError("out of memory")

    monkeypatch.setattr(network, "train_classifier", fails)
    threads = threading.active_count()
    with pytest.raises(RuntimeError, match="out of memory"):
        learn([Lesson((taught(make_images),) * 3)], torch.zeros(2, 1, 16, 16), 2, most=2, seed=0)
    assert threading.active_count() == threads


@pytest.mark.parametrize(("asked", "cores"), [("", 3), ("1", 1), ("2,1", 2), ("8", 3), ("0", 3), ("x", 3)])
def test_there_are_no_more_workers_than_cores(
    asked: str, cores: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 1, 2}, raising=False)
    monkeypatch.setenv("OMP_NUM_THREADS", asked)
    assert workers.cores() == cores
    with workers.workers() as pool:
        assert pool._max_workers == cores
        assert pool.submit(torch.get_num_threads).result() == 1
