"""What a linear denoiser can do, beside the UNet: both parts are few parameters, learned in few steps.

Under DP, steps are paid for and every parameter receives noise, so what is known of images in advance (they are
smooth, and aligned to an anatomy) is better built in than learned.
"""

from __future__ import annotations

from math import log, prod

import torch
from torch import Tensor, nn
from torch.nn.functional import silu

from fedgen.families.parts.denoising.edm import per_row
from fedgen.families.parts.grids import average, upsample
from fedgen.task.image_spec import ImageSpec

#: Factor by which the affine denoiser's input is smaller than the image; sides must be multiples of it.
THUMBNAIL = 8


class WienerFilter(nn.Module):
    """The optimal linear denoiser of a stationary process, one octave of frequencies at a time (Wiener 1949).

    A band whose signal has r times the power of unit white noise is best multiplied by g = r / (r + sigma^2).
    Written for EDM's network, D = c_skip x + c_out F(c_in x), the band's factor in F is
    (g - c_skip) / (c_out c_in) = (g (sigma^2 + sigma_data^2) - sigma_data^2) / (sigma sigma_data).

    r is learned, one number a band and channel. It starts at a 1/f^3 power spectrum, which radiographs have
    (Burgess et al. 2001) and which makes r eight times larger for each coarser octave. A volume starts there, too.
    """

    #: Adam moves ln r by about GAIN times the learning rate a step.
    GAIN = 10.0

    def __init__(self, image: ImageSpec, sigma_data: float) -> None:
        super().__init__()
        self.sigma_data = sigma_data
        self.octaves = 1
        while min(image.size) > 2**self.octaves and not any(
            side % 2 ** (self.octaves + 1) for side in image.size
        ):
            self.octaves += 1
        self.log_power = nn.Parameter(torch.zeros(self.octaves + 1, image.channels))

    def forward(self, x: Tensor, c_noise: Tensor) -> Tensor:
        """The filter's share of F (n, C, *size), for x (n, C, *size) scaled by c_in and c_noise (n,)."""
        sigma_squared = per_row(torch.exp(8 * c_noise), x)
        sd_squared = self.sigma_data**2
        output = torch.zeros_like(x)
        for octave, band in enumerate(bands(x, self.octaves)):
            power = self.log_power[octave].reshape(-1, *[1] * (x.ndim - 2))
            log_r = log(sd_squared * 8.0 ** (octave - 3)) + self.GAIN * power
            # r / (r + sigma^2), in the form that no value of the parameter can overflow.
            g = torch.sigmoid(log_r - sigma_squared.log())
            output = output + (g * (sigma_squared + sd_squared) - sd_squared) * band
        return output / (sigma_squared.sqrt() * self.sigma_data)


def bands(x: Tensor, octaves: int) -> list[Tensor]:
    """Laplacian pyramid at full size (Burt and Adelson 1983), finest first: octaves + 1 images whose sum is x."""
    parts = []
    current = x
    for octave in range(1, octaves + 1):
        coarser = upsample(average(x, 2**octave), 2**octave)
        parts.append(current - coarser)
        current = coarser
    return [*parts, current]


class AffineDenoiser(nn.Module):
    """A perceptron from a thumbnail to a coarse image.

    At high noise the best denoiser is nearly an affine map of the whole image onto its class's mean and
    principal components; shared convolution weights approximate one slowly.
    """

    #: Hidden units, the rank of the map.
    HIDDEN = 64
    #: Adam moves the image by about GAIN times the learning rate a step.
    GAIN = 3.0

    def __init__(self, image: ImageSpec, condition: int) -> None:
        super().__init__()
        C, size = image.channels, image.size
        self.shape = (C, *(side // 4 for side in size))
        self.read = nn.Linear(C * prod(side // THUMBNAIL for side in size) + condition + 1, self.HIDDEN)
        self.write = nn.Linear(self.HIDDEN, prod(self.shape))
        nn.init.zeros_(self.write.weight)
        nn.init.zeros_(self.write.bias)

    def forward(self, x: Tensor, c_noise: Tensor, condition: Tensor) -> Tensor:
        """The map's share of F (n, C, *size), for x (n, C, *size) scaled by c_in, c_noise (n,), condition (n, w)."""
        thumbnail = average(x, THUMBNAIL).flatten(1)
        known = torch.cat([thumbnail, c_noise[:, None], condition.to(x.dtype)], dim=1)
        coarse = self.write(silu(self.read(known)))
        return self.GAIN * upsample(coarse.reshape(-1, *self.shape), 4)
