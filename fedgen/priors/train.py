"""An autoencoder trained on public images, on whatever this machine has: minutes on a CPU."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from fedgen.errors import DataError, StudyError
from fedgen.priors.autoencoder import AutoencoderSpace, network_of
from fedgen.priors.card import CodeNetwork
from fedgen.priors.fit import chosen, principal, require_images
from fedgen.priors.prior import Prior
from fedgen.priors.space import Space

if TYPE_CHECKING:
    from monai.networks.nets import AutoencoderKL

#: Told after each step: how many are done, and the loss.
Watch = Callable[[int, float], None]
#: Channels of the levels; the code of the deepest is at least SMALLEST a side.
LEVELS = (16, 32, 64, 64)
SMALLEST = 8
BATCH = 16
RATE = 2e-3
#: Share of the steps in which the whole code may be used, before its components are taken.
WHOLE = 0.3
#: Standard deviation of the noise on the components while they are learned, beside their own of 1.
NOISE = 0.1


def network_for(size: tuple[int, ...], steps: int) -> CodeNetwork:
    """As many levels as leave a small code of an image of this size.

    Raises:
        StudyError: its sides cannot be halved once.
    """
    halvings = 0
    while halvings + 1 < len(LEVELS) and all(
        side % 2 ** (halvings + 1) == 0 and side >> (halvings + 1) >= SMALLEST for side in size
    ):
        halvings += 1
    if not halvings:
        raise StudyError(
            f"An autoencoder halves the sides of an image, and {' x '.join(map(str, size))} cannot be halved to "
            f"{SMALLEST} or more: take a larger size, of even sides."
        )
    return CodeNetwork(channels=LEVELS[: halvings + 1], steps=steps)


def trained(
    images: NDArray[np.float32],
    d: int,
    donors: int,
    card: CodeNetwork,
    watch: Watch | None = None,
    seed: int = 0,
) -> tuple[Prior, float]:
    """A prior in the code of an autoencoder.

    First encoder and decoder learn with the whole code; then both learn to make the images of d components of it, to
    which patients' images will be reduced.

    Args:
        images: (n, C, *size) in [-1, 1].
        d: components, at least 1.
        donors: how many images to keep, chosen at random; at most n.
        card: the network and its steps.
        watch: see `Watch`.
        seed: of the first weights and the batches.

    Returns:
        the prior, and the share of the images' variance that it tells again.

    Raises:
        DataError: there are too few images, they do not differ enough, or the training did not converge.
    """
    require_images(len(images), d, donors)
    x = torch.from_numpy(images).float()
    middle = x.mean(dim=0)
    spread = (x - middle).square().mean().sqrt().clamp_min(1e-6).reshape(1)
    scaled, before = (x - middle) / spread, round(WHOLE * card.steps)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = network_of(card, x.shape[1], x.ndim - 2)
        _fit(network, lambda code: code, scaled, range(before), watch)
        code, _ = principal(_codes(network, scaled), d, seed)

        def reduced(whole: Tensor) -> Tensor:
            z = code.encode(whole)
            return code.decode(z + NOISE * torch.randn_like(z))

        _fit(network, reduced, scaled, range(before, card.steps), watch)
    with torch.no_grad():
        plane = code.decode(code.encode(torch.from_numpy(_codes(network, scaled))))
    # The same plane, turned and scaled to what the codes are now.
    code, _ = principal(plane.numpy(), d, seed)
    space = AutoencoderSpace(network, code, middle, spread)
    return Prior(space, chosen(images, donors, seed)), told_again(space, x, middle)


@torch.no_grad()
def _codes(network: AutoencoderKL, images: Tensor) -> NDArray[np.float32]:
    codes = torch.cat([network.encode(part)[0] for part in images.split(BATCH)])
    if not bool(torch.isfinite(codes).all()):
        raise DataError("The autoencoder did not converge: give more images, or other steps.")
    return codes.numpy()


def _fit(
    network: AutoencoderKL,
    kept: Callable[[Tensor], Tensor],
    images: Tensor,
    steps: range,
    watch: Watch | None,
) -> None:
    """Lose as little as possible of images, a pixel, where `kept` is what is left of their code."""
    optimizer = torch.optim.Adam(network.parameters(), lr=RATE)
    # From full speed to none, so that the last steps settle.
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, max(len(steps), 1))
    for step in steps:
        batch = images[torch.randint(len(images), (min(BATCH, len(images)),))]
        optimizer.zero_grad(set_to_none=True)
        loss = F.mse_loss(network.decode(kept(network.encode(batch)[0])), batch)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        if watch is not None:
            watch(step + 1, float(loss.detach()))


@torch.no_grad()
def told_again(space: Space, images: Tensor, middle: Tensor) -> float:
    """Share of the images' variance about a middle (C, *size) that a space tells again, in [0, 1]."""
    left = sum(float(space.residuals(part).double().square().sum()) for part in images.split(BATCH))
    total = float((images - middle).double().square().sum())
    return min(1.0, max(0.0, 1 - left / max(total, 1e-12)))
