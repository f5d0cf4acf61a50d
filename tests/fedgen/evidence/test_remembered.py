"""What tensors hold is told apart by their values and shapes, however often it is asked."""

from __future__ import annotations

import torch

from fedgen.evidence.remembered import content


def test_content_is_of_values_and_shapes_and_follows_a_change_in_place() -> None:
    some = torch.arange(12.0).reshape(3, 4)
    assert content(some) == content(some.clone()) == content(some.T.contiguous().T)
    assert content(some) != content(some.reshape(4, 3))
    assert content(some, some[:1]) != content(some[:1], some)
    before = content(some)
    some[1, 2] = -1
    assert content(some) != before and content(some) == content(some.clone())
    assert content(torch.empty(0, 4)) != content(torch.empty(0, 5))
