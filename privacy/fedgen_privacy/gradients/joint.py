"""Several losses of one record as one vector: each loss's gradient for its own parameters, side by side.

What is concatenated is clipped once, so that a record moves all of it by at most C. A clip of each part would let it
move n parts by sqrt(n) C.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from fedgen_privacy.gradients.protocol import Batch, Gradients, Params

#: Between a part's name and a parameter's, as in `critic:network/weight`.
OF = ":"


def named(parts: Mapping[str, Params]) -> Params:
    """The parts' tensors in one dictionary, by `part:parameter`, part after part."""
    return {
        f"{part}{OF}{name}": tensor for part, tensors in parts.items() for name, tensor in tensors.items()
    }


def parted(joint: Params) -> dict[str, Params]:
    """The inverse of `named`; a part without tensors is not there."""
    parts: dict[str, Params] = {}
    for key, tensor in joint.items():
        part, _, name = key.partition(OF)
        parts.setdefault(part, {})[name] = tensor
    return parts


def jointly(parts: Mapping[str, Gradients]) -> Gradients:
    """The gradients of all parts together, with parameters as of `named` and one loss a part.

    Args:
        parts: by name. The batch that is given to all of them is one a part, by name, of the same records in the same
            order.
    """

    def together(params: Params, batch: Batch, *, chunk: int) -> Iterator[tuple[Params, Tensor]]:
        assert isinstance(batch, Mapping)
        own = parted(params)
        streams = [part(own[name], batch[name], chunk=chunk) for name, part in parts.items()]
        for pieces in zip(*streams, strict=True):
            gradients = {name: found for name, (found, _) in zip(parts, pieces, strict=True)}
            yield named(gradients), torch.stack([losses for _, losses in pieces], dim=1)

    return together
