"""Conditional variational autoencoder (Kingma and Welling 2014; Sohn et al. 2015) on MONAI's networks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from monai.networks.nets import VarAutoEncoder
from torch import Tensor, nn

from fedgen.families.contract import Adam, Apply, Draws, Family, Objective
from fedgen.families.parts.blocks import (
    LEAKY_RELU,
    LinearImage,
    group_norm,
    level_strides,
    upsampling_convolution,
)
from fedgen.families.parts.conditioning import condition_of, with_condition_maps
from fedgen.families.parts.folding import fold, patient_mean, rows
from fedgen.families.parts.minus_loss import minus_loss
from fedgen.families.parts.sampling import decode_in_chunks, device_of
from fedgen.families.vae.options import VAEOptions
from fedgen.task.image_spec import ImageSpec
from fedgen.task.records import Records
from fedgen.task.stack import stacked
from fedgen.task.task import Task

#: Range of ln sigma^2 of the posterior: keeps exp, and so every loss, finite whatever the weights.
LOGVAR_RANGE = (-10.0, 4.0)

#: Latent draws an image in a membership score.
MEMBERSHIP_DRAWS = 8


class _UpsamplingVAE(VarAutoEncoder):
    """MONAI's VAE with upsampling convolutions in the decoder."""

    def _get_decode_layer(
        self, in_channels: int, out_channels: int, strides: int, is_last: bool
    ) -> nn.Sequential:
        return upsampling_convolution(
            self.dimensions, in_channels, out_channels, strides, self.norm, last=is_last
        )


class ConditionalVAE(nn.Module):
    """q(z | x, y) and the mean of p(x | z, y).

    The encoder reads the condition y as constant extra channels, the decoder as numbers beside z.
    """

    def __init__(self, image: ImageSpec, condition: int, options: VAEOptions) -> None:
        super().__init__()
        self.latent_size = options.latent_size
        self.vae = _UpsamplingVAE(
            spatial_dims=image.dimensions,
            in_shape=(image.channels + condition, *image.size),
            out_channels=image.channels,
            latent_size=options.latent_size,
            channels=options.channels,
            strides=level_strides(image.size, len(options.channels)),
            act=LEAKY_RELU,
            norm=group_norm(options.channels),
        )
        self.vae.decodeL = nn.Linear(options.latent_size + condition, self.vae.decodeL.out_features)
        self.linear = LinearImage(options.latent_size + condition, image, reduction=2, gain=3.0)

    def forward(self, x: Tensor, condition: Tensor, eps: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Reconstruct x from z = mu + sigma * eps.

        Args:
            x: (n, C, *size) in [-1, 1].
            condition: (n, width).
            eps: (n, latent_size) standard normal.

        Returns:
            the reconstruction (n, C, *size) in [-1, 1]; mu and logvar of the posterior, (n, latent_size) each.
        """
        mu, logvar = self.vae.encode_forward(with_condition_maps(x, condition))
        logvar = logvar.clamp(*LOGVAR_RANGE)
        return self.decode(mu + torch.exp(0.5 * logvar) * eps, condition), mu, logvar

    def decode(self, z: Tensor, condition: Tensor) -> Tensor:
        """The mean image (n, C, *size) in [-1, 1] of latents z (n, latent_size) with condition (n, width)."""
        both = torch.cat([z, condition.to(z.dtype)], dim=1)
        convolutional = self.vae.decode_forward(both, use_sigmoid=False)
        return torch.tanh(convolutional + self.linear(both))


def kl_to_standard_normal(mu: Tensor, logvar: Tensor) -> Tensor:
    """KL(N(mu, diag exp(logvar)) || N(0, I)) in nats: (n, d) to (n,) (Kingma and Welling 2014, app. B)."""
    return 0.5 * torch.sum(mu.square() + logvar.exp() - 1 - logvar, dim=1)


class NegativeELBO(Objective):
    """The negative evidence lower bound, in nats a pixel.

    -ELBO / D = mean over the D pixels of (x - x_hat)^2 / (2 s^2) + beta KL / D, for a Gaussian likelihood of
    standard deviation s. The constant ln(s sqrt(2 pi)) is left out, so that the loss is never negative. Both
    terms are divided by the same D: a KL weighted by 1 beside a mean over pixels would be D times too strong,
    and z ignored.
    """

    name = "vae"
    updates = ("vae",)
    touches_data = True

    def __init__(self, task: Task, options: VAEOptions) -> None:
        self.task = task
        self.beta = options.beta
        self.reconstruction_std = options.reconstruction_std
        self.latent_size = options.latent_size
        # The loss of a reconstruction wrong by a quarter of the intensity range at every pixel.
        self.loss_bound = 0.125 / options.reconstruction_std**2
        self.optimizer = Adam(options.learning_rate)

    def draw(self, B: int, M: int, K: int, rng: torch.Generator) -> Draws:
        """`eps`: (B, M, K, latent_size) standard normal."""
        return {"eps": torch.randn(B, M, K, self.latent_size, generator=rng, device=rng.device)}

    def loss(self, networks: Mapping[str, Apply], records: Records | None, draws: Draws) -> Tensor:
        """Loss of each patient, (B,), in nats a pixel."""
        if records is None:
            raise ValueError("the VAE's objective needs records")
        eps = draws["eps"]
        weights = records.weights["patient"]
        images, given = stacked(self.task, records.fields), condition_of(self.task, records.fields, weights)
        x, condition = fold(images, given, eps.shape[2])
        reconstruction, mu, logvar = networks["vae"](x, condition, rows(eps))
        squared_error = (x - reconstruction).square().flatten(1).mean(dim=1)
        D = x[0].numel()
        losses = squared_error / (2 * self.reconstruction_std**2)
        return patient_mean(losses + self.beta * kl_to_standard_normal(mu, logvar) / D, weights)


class VAEFamily(Family):
    """One network, one objective."""

    def __init__(self, task: Task, options: VAEOptions) -> None:
        self.task = task
        self.options = options
        self.objective = NegativeELBO(task, options)

    def networks(self) -> dict[str, nn.Module]:
        """`vae`."""
        return {"vae": ConditionalVAE(self.task.stack, self.task.condition_width, self.options).eval()}

    def contributions(self) -> tuple[Objective, ...]:
        """The negative ELBO."""
        return (self.objective,)

    @torch.no_grad()
    def sample(
        self, networks: Mapping[str, nn.Module], given: Mapping[str, Tensor], n: int, rng: torch.Generator
    ) -> Tensor:
        """Mean images of z drawn from the prior, (n, C, *size) float32 in [-1, 1]."""
        vae: Any = networks["vae"]
        z = torch.randn(n, self.options.latent_size, generator=rng, device=rng.device)
        return decode_in_chunks(vae.decode, z, condition_of(self.task, given, z[:, 0]), device_of(vae))

    def score(self, networks: Mapping[str, nn.Module], records: Records, rng: torch.Generator) -> Tensor:
        """The ELBO a pixel, (B,), without its constant."""
        return minus_loss(self.objective, networks, records, K=MEMBERSHIP_DRAWS, chunk=16, rng=rng)
