"""How often images are augmented, where that adapts (Karras et al. 2020): a number that the generator's steps move.

The published rule reads the discriminator's verdict on real images, which would cost privacy. This one reads its
verdict on fakes, at the generator's own steps: post-processing. A discriminator that recognises nearly all fakes has
learned what is there by heart, or is far ahead, and augmentation makes its work harder.

The probability is a parameter, because it must be known to every site, and parameters are what travels: it is averaged
with the rest of the model. Its gradient is a sign, so that Adam moves it by the learning rate a step.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from fedgen.families.parts.augment import MOST


class Probability(nn.Module):
    """The probability, as a network without input: (1,)."""

    def __init__(self, start: float) -> None:
        super().__init__()
        self.value = nn.Parameter(torch.tensor([start]))

    def forward(self) -> Tensor:
        """As it is moved; what is used lies between 0 and `MOST`, see `within`."""
        return 1.0 * self.value


def within(value: Tensor) -> Tensor:
    """The probability that is used."""
    return value.detach().clamp(0.0, MOST)


def pull(value: Tensor, logits: Tensor, target: float) -> Tensor:
    """Zero, with a gradient that moves `value`: up where more fakes are recognised than the target asks, else down.

    Args:
        value: (1,).
        logits: (n,) of the discriminator on fakes.
        target: of the mean sign of the verdict.

    Returns:
        () a loss of 0.
    """
    up = torch.sign((-logits.detach()).sign().mean() - target)
    ends = torch.where(up > 0, value < MOST, value > 0).to(value.dtype).detach()
    steered: Tensor = (-up * ends * (value - value.detach())).sum()
    return steered
