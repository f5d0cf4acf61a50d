"""Low-resolution thumbnails: what an image looks like from afar, without a weight in it (Akbar et al. 2025)."""

from __future__ import annotations

import hashlib

from torch import Tensor
from torch.nn import functional

from fedgen.extractors.contract import Extractor

SIDE = 8


class ThumbnailsExtractor(Extractor):
    """Mean gray values of 8 x 8 fields of the image."""

    name = "thumbnails"
    one_unit = True
    num_features = SIDE * SIDE

    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        self.hash = hashlib.sha256(f"{self.name} {self.version} {SIDE} [-1, 1]".encode()).hexdigest()

    def forward(self, images: Tensor) -> Tensor:
        """See `Extractor.forward`."""
        gray = images.detach().cpu().float().clamp(-1, 1).mean(dim=1, keepdim=True)
        return functional.adaptive_avg_pool2d(gray, SIDE).flatten(1)
