"""What a discriminator and its opponent want of its numbers: four losses, each of one number alone.

Zero is undecided and above zero means real in all of them, so that whoever reads a discriminator's sign need not ask
which loss it was trained with; only the critic of Wasserstein has no such zero.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import relu, softplus

Elementwise = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class AdversarialLoss:
    """One game, by its three losses; each takes numbers of any shape and keeps it.

    Attributes:
        real: the discriminator's, of a real image.
        fake: the discriminator's, of a fake.
        generator: its opponent's, of a fake.
        bound: of a record's loss in what is reported, a few times that of an undecided discriminator.
        signed: whether the sign of a number says real or fake.
    """

    real: Elementwise
    fake: Elementwise
    generator: Elementwise
    bound: float
    signed: bool = True


ADVERSARIAL = {
    # Goodfellow et al. 2014: cross-entropy; the generator maximises log D instead of minimising log(1 - D).
    "non_saturating": AdversarialLoss(
        real=lambda logits: softplus(-logits),
        fake=softplus,
        generator=lambda logits: softplus(-logits),
        bound=4.0,
    ),
    # Mao et al. 2017, equation 9 with b = c: 1 is real, -1 is fake, and the generator wants 1.
    "least_squares": AdversarialLoss(
        real=lambda logits: 0.5 * (logits - 1).square(),
        fake=lambda logits: 0.5 * (logits + 1).square(),
        generator=lambda logits: 0.5 * (logits - 1).square(),
        bound=4.0,
    ),
    # Lim and Ye 2017; Miyato et al. 2018, equations 16 and 17.
    "hinge": AdversarialLoss(
        real=lambda logits: relu(1 - logits),
        fake=lambda logits: relu(1 + logits),
        generator=lambda logits: -logits,
        bound=6.0,
    ),
    # Arjovsky et al. 2017; it needs a critic whose slope is bounded, see `gradient_penalty`.
    "wasserstein": AdversarialLoss(
        real=lambda scores: -scores,
        fake=lambda scores: scores,
        generator=lambda scores: -scores,
        bound=20.0,
        signed=False,
    ),
}


def gradient_penalty(critic: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """(|gradient of the critic at x| - 1)^2 of each row, (R,) (Gulrajani et al. 2017, equation 3).

    Args:
        critic: see `squared_slopes`.
        x: (R, C, *size), between real images and fakes.
    """
    # The root has no slope of its own at 0.
    norms = (squared_slopes(critic, x) + 1e-12).sqrt()
    return (norms - 1).square()


def squared_slopes(critic: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """|gradient of the critic at x|^2 of each row, (R,); half of it at real images is R1 (Mescheder et al. 2018).

    By `torch.func`, so that it can itself be differentiated, also record by record; hooks cannot follow it there
    (`Objective.second_order`).

    Args:
        critic: images (R, C, *size) to scores (R,), no row by another.
        x: (R, C, *size).
    """

    def total(images: Tensor) -> Tensor:
        return critic(images).sum()

    slope: Any = torch.func.grad(total)(x)
    squared: Tensor = slope.flatten(1).square().sum(dim=1)
    return squared


def between(real: Tensor, fake: Tensor, share: Tensor) -> Tensor:
    """Points on the lines from fakes to real images, (R, C, *size), for shares (R,) of the real one in [0, 1]."""
    u = share.to(real.dtype).reshape(-1, *[1] * (real.ndim - 1))
    return u * real + (1 - u) * fake
