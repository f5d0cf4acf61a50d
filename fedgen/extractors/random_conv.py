"""A convolutional network with fixed random weights.

Random networks rank generative models much as trained ones do, without a bias towards natural images
(arXiv:2208.09218; Naeem et al. 2020, ICML, use a randomly initialised network in the same way).
"""

from __future__ import annotations

import hashlib

import torch
from torch import Tensor, nn

from fedgen.extractors.contract import Extractor

SEED = 20260101
CHANNELS = (16, 16, 32)
#: weights are multiples of this, so that the last bits of a platform's linear algebra change nothing
GRID = 2.0**-12


class RandomConvExtractor(Extractor):
    """Three 3x3 convolutions with ReLU, halving the size between them; mean and std of every channel.

    Weights are orthogonal (Saxe et al. 2014) from a fixed seed. What identifies them is their hash,
    because a seed means nothing once a random number generator changes.
    """

    name = "random_conv"
    one_unit = True

    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        rng = torch.Generator().manual_seed(SEED)
        self.convolutions = nn.ModuleList()
        inputs = channels
        for outputs in CHANNELS:
            convolution = nn.Conv2d(inputs, outputs, 3, padding=1, padding_mode="reflect", bias=False)
            weight = torch.empty(outputs, inputs, 3, 3, dtype=torch.float64)
            nn.init.orthogonal_(weight, gain=nn.init.calculate_gain("relu"), generator=rng)
            with torch.no_grad():
                convolution.weight.copy_((weight / GRID).round() * GRID)
            self.convolutions.append(convolution)
            inputs = outputs
        self.requires_grad_(False)
        self.num_features = 2 * sum(CHANNELS)
        digest = hashlib.sha256(f"{self.name} {self.version} [-1, 1]".encode())
        for weight in self.state_dict().values():
            digest.update(weight.contiguous().numpy().tobytes())
        self.hash = digest.hexdigest()

    @torch.no_grad()
    def forward(self, images: Tensor) -> Tensor:
        """See `Extractor.forward`; H and W at least 16. Always float32 on the CPU."""
        features = []
        x = images.detach().cpu().float().clamp(-1, 1)
        for level, convolution in enumerate(self.convolutions):
            x = torch.relu(convolution(x if level == 0 else nn.functional.avg_pool2d(x, 2)))
            features += [x.mean(dim=(2, 3)), x.std(dim=(2, 3), unbiased=False)]
        return torch.cat(features, dim=1)
