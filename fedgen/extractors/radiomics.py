"""Handcrafted radiomics-like features; the idea of Konz et al. (FRD, Medical Image Analysis 2026).

Ours is not their FRD: other features and other standardisation, so that numbers must not be compared.
"""

from __future__ import annotations

import hashlib
import json

import numpy as np
import torch
from torch import Tensor

from fedgen.extractors.contract import Extractor
from fedgen.extractors.parts import filters, first_order, texture


class RadiomicsExtractor(Extractor):
    """First-order, GLCM, LBP, gradient, Laplacian-of-Gaussian and Haar features of the gray image.

    Gray is the mean of the channels; colour images add mean and standard deviation of each
    channel's difference from it. Values are raw: `Standardiser` brings them to one scale.
    """

    name = "radiomics"
    #: A test holds reference values against it.
    version = 1

    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        colour = (
            tuple(f"colour_{c}_{name}" for c in range(channels) for name in ("mean", "std"))
            if channels > 1
            else ()
        )
        self.feature_names = (*first_order.NAMES, *texture.NAMES, *filters.NAMES, *colour)
        self.num_features = len(self.feature_names)
        definition = {
            "name": self.name,
            "version": self.version,
            "range": [-1, 1],
            "features": self.feature_names,
        }
        self.hash = hashlib.sha256(json.dumps(definition).encode()).hexdigest()

    def forward(self, images: Tensor) -> Tensor:
        """See `Extractor.forward`; H and W at least 16."""
        pixels = (images.detach().cpu().double().clamp(-1, 1).numpy() + 1) / 2
        gray = pixels.mean(axis=1)
        parts = [first_order.first_order(gray), texture.texture(gray), filters.filters(gray)]
        if self.channels > 1:
            difference = (pixels - gray[:, None]).reshape(len(pixels), self.channels, -1)
            colour = np.stack([difference.mean(axis=2), difference.std(axis=2)], axis=2)
            parts.append(colour.reshape(len(pixels), -1))
        return torch.from_numpy(np.concatenate(parts, axis=1)).float()
