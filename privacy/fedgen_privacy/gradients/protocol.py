"""What a private step needs to know of gradients: that they come one a record, in chunks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol

from torch import Tensor

#: tensors by parameter name
Params = dict[str, Tensor]
#: tensors of a batch by name, each with the record dimension B first
Batch = dict[str, Tensor]
#: loss of ONE record: parameters and the record's tensors (without B) to a scalar
RecordLoss = Callable[[Params, Batch], Tensor]
#: loss of each record, shape (B,): parameters and the batch; no value of one record depends on another
BatchLoss = Callable[[Params, Batch], Tensor]


class Gradients(Protocol):
    """Gradients of each record's loss; the loss is bound in."""

    def __call__(self, params: Params, batch: Batch, *, chunk: int) -> Iterator[tuple[Params, Tensor]]:
        """Go through a batch of at least one record, `chunk` records at a time.

        Yields:
            gradients with shape (b, *parameter shape) and the parameter's type, and losses (b,); b <= chunk, in
            the batch's order.
        """


def pieces(batch: Batch, chunk: int) -> Iterator[Batch]:
    """The batch in its order, at most `chunk` records at a time."""
    size = next(iter(batch.values())).shape[0]
    for start in range(0, size, chunk):
        yield {name: tensor[start : start + chunk] for name, tensor in batch.items()}
