"""What a prior knows, to be looked at: its components, and some of its donors."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fedgen.priors.prior import Prior

#: Images in a row.
ACROSS = 8
#: Pixels that an image is enlarged to, about.
SIDE = 96
#: How far along a component the images of the first rows are, in public standard deviations.
FAR = 2.0


@torch.no_grad()
def picture(prior: Prior) -> NDArray[np.uint8]:
    """The first components, forward and back from the mean, above the first donors; of a volume its middle slice.

    Returns:
        (H, W, 3) or, of gray images, (H, W).
    """
    shown = min(ACROSS, prior.d)
    along = FAR * torch.eye(prior.d)[:shown]
    rows = [prior.space.decode(along), prior.space.decode(-along)]
    rows += prior.donors[: 2 * ACROSS].split(ACROSS)
    gray = ((torch.cat([_row(row) for row in rows], dim=1).clamp(-1, 1) + 1) * 127.5).round()
    image: NDArray[np.uint8] = gray.to(torch.uint8).numpy()
    by = max(1, SIDE // min(prior.shape[-2:]))
    image = image.repeat(by, axis=1).repeat(by, axis=2)
    return image[0] if len(image) == 1 else np.moveaxis(image[:3], 0, -1)


def _row(images: Tensor) -> Tensor:
    """(C, H, ACROSS * W), black where there are no more."""
    if images.ndim == 5:
        images = images[:, :, images.shape[2] // 2]
    n, channels, height, width = images.shape
    full = torch.full((ACROSS, channels, height, width), -1.0)
    full[:n] = images
    return full.permute(1, 2, 0, 3).reshape(channels, height, ACROSS * width)
