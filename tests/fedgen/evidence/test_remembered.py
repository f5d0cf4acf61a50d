"""What tensors hold is told apart by their values and shapes, however often it is asked."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from fedgen.evidence.remembered import content, once


def test_content_is_of_values_and_shapes_and_follows_a_change_in_place() -> None:
    some = torch.arange(12.0).reshape(3, 4)
    assert content(some) == content(some.clone()) == content(some.T.contiguous().T)
    assert content(some) != content(some.reshape(4, 3))
    assert content(some, some[:1]) != content(some[:1], some)
    before = content(some)
    some[1, 2] = -1
    assert content(some) != before and content(some) == content(some.clone())
    assert content(torch.empty(0, 4)) != content(torch.empty(0, 5))


def test_who_asks_while_another_computes_waits_for_that() -> None:
    begun, end, times = threading.Event(), threading.Event(), []

    def compute() -> object:
        times.append(1)
        begun.set()
        assert end.wait(30)
        return object()

    key = ("a test", object())
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(once, key, compute)
        assert begun.wait(30)
        second = pool.submit(once, key, compute)
        end.set()
        assert first.result(30) is second.result(30)
    assert len(times) == 1


def test_what_could_not_be_computed_is_asked_for_anew() -> None:
    key = ("a test", object())
    with pytest.raises(ZeroDivisionError):
        once(key, lambda: 1 / 0)
    assert once(key, lambda: 7) == 7
