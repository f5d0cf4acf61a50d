"""Inverse autoregressive flow (Kingma et al. 2016): a posterior that is more than a Gaussian."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import leaky_relu, linear, logsigmoid

#: Added to s, so that a step begins near the identity (section 4 of the paper: s around +1 or +2).
OPEN = 2.0


class MaskedLinear(nn.Linear):
    """A linear layer of which only the weights where `mask` (out, in) is true count (MADE, Germain et al. 2015)."""

    def __init__(self, mask: Tensor) -> None:
        super().__init__(mask.shape[1], mask.shape[0])
        self.mask: Tensor
        self.register_buffer("mask", mask.to(self.weight.dtype), persistent=False)

    def forward(self, input: Tensor) -> Tensor:
        """(n, in) to (n, out)."""
        return linear(input, self.weight * self.mask, self.bias)


class AutoregressiveStep(nn.Module):
    """z to sigma z + (1 - sigma) m, where m_i and sigma_i depend on z_1 to z_(i-1) and the context (algorithm 1).

    Args:
        d: dimensions of z.
        hidden: units of the one hidden layer; unit j sees the first j mod d dimensions, and all see the context.
        context: numbers of the context.
    """

    def __init__(self, d: int, hidden: int, context: int) -> None:
        super().__init__()
        place, seen = torch.arange(1, d + 1), torch.arange(hidden) % d
        self.read = MaskedLinear(seen[:, None] >= place[None, :])
        self.context = nn.Linear(context, hidden, bias=False)
        self.write = MaskedLinear((place[:, None] > seen[None, :]).repeat(2, 1))
        with torch.no_grad():
            self.write.weight.mul_(0.1)

    def forward(self, z: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        """The new z (n, d), and ln |det dz'/dz| (n,), of z (n, d) and context (n, context)."""
        m, s = self.write(leaky_relu(self.read(z) + self.context(context), 0.2)).chunk(2, dim=1)
        sigma = torch.sigmoid(s + OPEN)
        return sigma * z + (1 - sigma) * m, logsigmoid(s + OPEN).sum(dim=1)


class InverseAutoregressiveFlow(nn.Module):
    """Steps one after another, the dimensions turned round between them.

    The density of a z that the flow made is known, that of any other is not: so it serves as a posterior, and not
    as a prior.
    """

    def __init__(self, steps: int, d: int, hidden: int, context: int) -> None:
        super().__init__()
        self.steps = nn.ModuleList(AutoregressiveStep(d, hidden, context) for _ in range(steps))

    def forward(self, z: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        """The new z (n, d), and ln |det dz'/dz| (n,)."""
        volume = torch.zeros_like(z[:, 0])
        for number, step in enumerate(self.steps):
            z, change = step(z.flip(1) if number else z, context)
            volume = volume + change
        return z, volume
