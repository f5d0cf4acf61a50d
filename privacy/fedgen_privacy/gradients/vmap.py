"""Per-record gradients by torch.func: the gradient of one record's loss, mapped over the batch.

Exact for every layer, whatever memory format activations have (docs/decisions/001).
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from torch import Tensor
from torch.func import grad_and_value, vmap

from fedgen_privacy.gradients.protocol import Batch, Gradients, Params, RecordLoss, pieces


def per_record_gradients(
    loss: RecordLoss, params: Params, batch: Batch, *, chunk: int
) -> Iterator[tuple[Params, Tensor]]:
    """Gradients of each record's loss, chunk by chunk; see `Gradients`."""
    compute = vmap(grad_and_value(loss), in_dims=(None, 0))
    for piece in pieces(batch, chunk):
        gradients, losses = compute(params, piece)
        yield gradients, losses


def vmapped(loss: RecordLoss) -> Gradients:
    """The gradients of `loss`, by vmap."""
    return partial(per_record_gradients, loss)
