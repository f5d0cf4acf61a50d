"""Codes: which one an encoding becomes, and how codes are learned."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from fedgen.families.parts.conditioning import one_hot


class Quantised(NamedTuple):
    """What n encodings become.

    Attributes:
        vectors: (n, d, *grid) of the codes; the gradient passes straight through to the encodings.
        codes: (n, *grid) index.
        loss: (n,) mean over the grid of what ties codes to encodings and encodings to codes.
    """

    vectors: Tensor
    codes: Tensor
    loss: Tensor


def on_sphere(vectors: Tensor, dim: int) -> Tensor:
    """Vectors along an axis at the norm sqrt(their length), so that their entries are of size 1."""
    return vectors * torch.rsqrt(vectors.square().mean(dim=dim, keepdim=True) + 1e-6)


class Codebook(nn.Module):
    """Codes learned by their gradient (van den Oord et al. 2017, equation 3), nothing but the record's own.

    Encodings and codes lie on a sphere (Yu et al. 2022), where random codes are near to every encoding from the start:
    what keeps a codebook alive elsewhere, statistics of batches or codes that are put anew where patients' encodings
    are, would release them.

    Args:
        codes: how many.
        size: d, numbers of each.
        commitment: weight of the encodings' part in the loss.
    """

    def __init__(self, codes: int, size: int, commitment: float) -> None:
        super().__init__()
        self.commitment = commitment
        self.embedding = nn.Embedding(codes, size)

    def forward(self, encodings: Tensor) -> Quantised:
        """Of (n, d, *grid), the nearest code at each place."""
        h = on_sphere(encodings, 1)
        codes = self.nearest(h)
        e = self.vectors(codes)
        apart, tied = self.losses(h, e)
        loss = (apart + self.commitment * tied).flatten(1).mean(dim=1)
        return Quantised(h + (e - h).detach(), codes, loss)

    def losses(self, h: Tensor, e: Tensor) -> tuple[Tensor, Tensor]:
        """What moves codes e to encodings h, and encodings to codes: (n, d, *grid) each."""
        return (h.detach() - e).square(), (h - e.detach()).square()

    def nearest(self, h: Tensor) -> Tensor:
        """Index (n, *grid) of the code nearest to h (n, d, *grid), on the sphere."""
        points = on_sphere(self.embedding.weight.detach(), 1)
        return torch.einsum("nd...,kd->nk...", h.detach(), points.to(h.dtype)).argmax(dim=1)

    def vectors(self, codes: Tensor) -> Tensor:
        """(n, d, *grid) of codes (n, *grid), on the sphere."""
        return on_sphere(self.embedding(codes), -1).movedim(-1, 1)


class MovingCodebook(Codebook):
    """Codes that are moving averages of the encodings that chose them (van den Oord et al. 2017, appendix A.1).

    Every forward pass that is differentiated writes what its batch holds into codes and their counts, past clip and
    noise: it must never run on patients who were promised privacy, and the check of the network finds that it writes.
    The averages of a round start at the codes that all sites share; the counts do not leave the site.

    Args:
        codes, size, commitment: as of `Codebook`.
        decay: of the averages.
    """

    def __init__(self, codes: int, size: int, commitment: float, decay: float) -> None:
        super().__init__(codes, size, commitment)
        self.decay = decay
        self.counts: Tensor
        self.register_buffer("counts", torch.ones(codes))

    def forward(self, encodings: Tensor) -> Quantised:
        """See `Codebook`."""
        quantised = super().forward(encodings)
        if torch.is_grad_enabled():
            self._follow(on_sphere(encodings.detach(), 1), quantised.codes)
        return quantised

    def losses(self, h: Tensor, e: Tensor) -> tuple[Tensor, Tensor]:
        """The codes' own is nothing: no gradient moves them, though they are parameters, and so are sent."""
        return 0 * e, (h - e.detach()).square()

    @torch.no_grad()
    def _follow(self, h: Tensor, codes: Tensor) -> None:
        """N and m of the paper in one: e moves to the mean of its new encodings by their share in N."""
        mine = one_hot(codes.flatten(), len(self.counts), h.dtype)
        count, total = mine.sum(dim=0), mine.T @ h.movedim(1, -1).reshape(len(mine), -1)
        self.counts.mul_(self.decay).add_(count, alpha=1 - self.decay)
        e = on_sphere(self.embedding.weight, 1)
        share = (1 - self.decay) / self.counts.clamp_min(1e-6)
        self.embedding.weight.copy_(e + share[:, None] * (total - count[:, None] * e))
