"""Trees of tensors: the same containers come out, as torch.func reads them."""

from __future__ import annotations

from typing import NamedTuple

import pytest
import torch
from torch import Tensor
from torch.func import vmap

from fedgen_privacy.gradients.protocol import pieces, records_of, size_of
from fedgen_privacy.gradients.tree import leaves, tree_map


class Pair(NamedTuple):
    left: dict[str, Tensor]
    right: Tensor


def tree() -> tuple[Pair, dict[str, Tensor]]:
    return Pair({"a": torch.arange(5), "b": torch.rand(5, 2)}, torch.rand(5, 3)), {"c": torch.rand(5)}


def test_a_map_keeps_the_containers() -> None:
    pair, rest = tree_map(lambda tensor: tensor + 1, tree())
    assert isinstance(pair, Pair) and isinstance(rest, dict)
    assert torch.equal(pair.left["a"], torch.arange(5) + 1)
    assert [tuple(leaf.shape) for leaf in leaves((pair, rest))] == [(5,), (5, 2), (5, 3), (5,)]


def test_pieces_together_are_the_batch() -> None:
    batch = tree()
    assert size_of(batch) == 5
    parts = list(pieces(batch, 2))
    assert [size_of(part) for part in parts] == [2, 2, 1]
    for whole, *split in zip(leaves(batch), *(leaves(part) for part in parts), strict=True):
        assert torch.equal(torch.cat(split), whole)
    assert torch.equal(records_of(batch, 3, 4)[0].right, batch[0].right[3:4])


def test_a_record_is_what_torch_func_gives_a_loss() -> None:
    batch = tree()
    expected = torch.stack([sum(leaf[b].sum() for leaf in leaves(batch)) for b in range(5)])
    assert torch.allclose(vmap(lambda record: sum(leaf.sum() for leaf in leaves(record)))(batch), expected)


def test_other_containers_are_refused() -> None:
    with pytest.raises(TypeError, match="not list"):
        tree_map(torch.clone, ([torch.zeros(1)],))
