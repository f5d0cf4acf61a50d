"""An image as a reader sees it: the same bytes for real and synthetic, with nothing in them that tells which."""

from __future__ import annotations

import io

import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import pad

from fedgen.synthesis.formats import to_uint8

#: Empty columns between the planes of a volume.
_GAP = 2


def planes(image: Tensor) -> Tensor:
    """(C, H, W) of an image; of a volume (C, D, H, W) its three middle planes beside each other, on black."""
    if image.ndim == 3:
        return image
    depth, height, width = (side // 2 for side in image.shape[1:])
    shown = [image[:, depth], image[:, :, height], image[:, :, :, width]]
    tall = max(plane.shape[1] for plane in shown)
    return torch.cat([pad(plane, (0, _GAP, 0, tall - plane.shape[1]), value=-1.0) for plane in shown], dim=2)


def shown_png(image: Tensor) -> bytes:
    """A plain PNG of 8 bits, without a word of text in it; real images and synthetic ones go the same way here.

    Both are rounded to float16 first, as a site keeps its images and a run its samples.
    """
    buffer = io.BytesIO()
    Image.fromarray(to_uint8(planes(image.half().float()))).save(buffer, format="PNG")
    return buffer.getvalue()
