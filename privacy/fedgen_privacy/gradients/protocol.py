"""What a private step needs to know of gradients: that they come one a record, in chunks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Protocol, TypeVar

from torch import Tensor

from fedgen_privacy.gradients.tree import Tree, leaves, tree_map

#: tensors by parameter name
Params = dict[str, Tensor]
#: tensors of a batch in any tree, each with the record dimension B first
Batch = Tree
#: loss of ONE record: parameters and the record's tensors (without B), in the tree that the loss knows, to a scalar
RecordLoss = Callable[[Params, Any], Tensor]
#: loss of each record, shape (B,): parameters and the batch; no value of one record depends on another
BatchLoss = Callable[[Params, Any], Tensor]

B = TypeVar("B", bound=Batch)


class Gradients(Protocol):
    """Gradients of each record's loss; the loss is bound in."""

    def __call__(self, params: Params, batch: Batch, *, chunk: int) -> Iterator[tuple[Params, Tensor]]:
        """Go through a batch of at least one record, `chunk` records at a time.

        Yields:
            gradients with shape (b, *parameter shape) and the parameter's type, and losses, (b,) of one loss or
            (b, n) of n that are clipped together; b <= chunk, in the batch's order.
        """


def size_of(batch: Batch) -> int:
    """How many records a batch has."""
    return next(leaves(batch)).shape[0]


def records_of(batch: B, start: int, stop: int) -> B:
    """The records from `start` to before `stop`, of the same tree."""
    return tree_map(lambda tensor: tensor[start:stop], batch)


def pieces(batch: B, chunk: int) -> Iterator[B]:
    """The batch in its order, at most `chunk` records at a time."""
    for start in range(0, size_of(batch), chunk):
        yield records_of(batch, start, start + chunk)
