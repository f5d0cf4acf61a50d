"""The network of the family `vae`: encoder, flow, prior and decoder, on MONAI's variational autoencoder."""

from __future__ import annotations

from typing import NamedTuple

import torch
from monai.networks.nets import VarAutoEncoder
from torch import Tensor, nn

from fedgen.families.parts.blocks import (
    LEAKY_RELU,
    LinearImage,
    group_norm,
    level_strides,
    upsampling_convolution,
)
from fedgen.families.parts.conditioning import with_condition_maps
from fedgen.families.vae.flow import InverseAutoregressiveFlow
from fedgen.families.vae.options import VAEOptions
from fedgen.families.vae.priors import (
    DiagonalGaussians,
    MixturePrior,
    PseudoInputs,
    Shares,
    chosen,
    kl,
    kl_to_standard_normal,
    log_density,
    mixed,
)
from fedgen.task.image_spec import ImageSpec

#: Range of ln sigma^2 of the posterior: keeps exp, and so every loss, finite whatever the weights.
LOGVAR_RANGE = (-10.0, 4.0)


class Encoded(NamedTuple):
    """What becomes of n images.

    Attributes:
        reconstruction: (n, C, *size) in [-1, 1].
        z: (n, latent_size) that it was decoded from.
        mu, logvar: of the Gaussian posterior, before any flow, (n, latent_size) each.
        divergence: KL of posterior from prior in nats, (n,); where it has no closed form, its estimate from this one z.
    """

    reconstruction: Tensor
    z: Tensor
    mu: Tensor
    logvar: Tensor
    divergence: Tensor


class _UpsamplingVAE(VarAutoEncoder):
    """MONAI's VAE with upsampling convolutions in the decoder."""

    def _get_decode_layer(
        self, in_channels: int, out_channels: int, strides: int, is_last: bool
    ) -> nn.Sequential:
        return upsampling_convolution(
            self.dimensions, in_channels, out_channels, strides, self.norm, last=is_last
        )


class ConditionalVAE(nn.Module):
    """q(z | x, y), p(z | y) and the mean of p(x | z, y).

    The encoder reads the condition y as constant extra channels, the decoder as numbers beside z.

    With `condition_latent` = w the latent is in two parts, (u, v). The first w dimensions are the condition's, with the
    prior p(u | y) = N(m(y), diag s(y)^2), m and s linear and learned; the others are free of it, with a prior that does
    not know y. The decoder reads u and v and not y, so that all it hears of the condition goes through u. This is the
    split of CSVAE (Klys et al. 2018) without its adversary, which would need a loss across records' conditions; the
    KL of the free part alone keeps the condition out of it. It stands here for what reviews call ICVAE, a VAE whose
    condition is encoded separately.
    """

    def __init__(self, image: ImageSpec, condition: int, options: VAEOptions) -> None:
        super().__init__()
        self.latent_size, self.of_condition = options.latent_size, options.condition_latent
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
        read = options.latent_size + (0 if self.of_condition else condition)
        self.vae.decodeL = nn.Linear(read, self.vae.decodeL.out_features)
        self.linear = LinearImage(read, image, reduction=2, gain=3.0)
        free = options.latent_size - self.of_condition
        features: int = self.vae.mu.in_features
        self.condition_prior = nn.Linear(condition, 2 * self.of_condition) if self.of_condition else None
        self.flow = (
            InverseAutoregressiveFlow(options.iaf_steps, free, options.iaf_hidden, features)
            if options.iaf_steps
            else None
        )
        components = options.prior_components
        self.mixture = MixturePrior(components, free) if options.prior == "mixture" else None
        self.pseudo = PseudoInputs(components, image, condition) if options.prior == "vamp" else None
        self.shares = Shares(components, condition) if options.prior != "standard" else None

    def forward(self, x: Tensor, condition: Tensor, eps: Tensor, records: int = 1) -> Encoded:
        """Reconstruct x from z = mu + sigma * eps, the free part of it through the flow where there is one.

        Args:
            x: (n, C, *size) in [-1, 1].
            condition: (n, width).
            eps: (n, latent_size) standard normal.
            records: whose rows these are, as many each; the prior is evaluated anew for each record, so that what a
                record says of it is the record's own.
        """
        features = self._features(with_condition_maps(x, condition))
        q = self._posterior(features)
        z = q.mu + torch.exp(0.5 * q.logvar) * eps
        divergence = torch.zeros_like(z[:, 0])
        w = self.of_condition
        if self.condition_prior is not None:
            own = DiagonalGaussians(q.mu[:, :w], q.logvar[:, :w])
            divergence = divergence + kl(own, self._condition_prior(condition))
        free, of_free = DiagonalGaussians(q.mu[:, w:], q.logvar[:, w:]), z[:, w:]
        if self.flow is None and self.mixture is None and self.pseudo is None:
            divergence = divergence + kl_to_standard_normal(free)
        else:
            log_q = log_density(of_free, free)
            if self.flow is not None:
                of_free, volume = self.flow(of_free, features)
                log_q = log_q - volume
            divergence = divergence + log_q - self._log_prior(of_free, condition, records)
        z = torch.cat([z[:, :w], of_free], dim=1)
        return Encoded(self.decode(z, condition), z, q.mu, q.logvar, divergence)

    def encode(self, x: Tensor, condition: Tensor) -> DiagonalGaussians:
        """The Gaussian posterior of images (n, C, *size) with condition (n, width)."""
        return self._posterior(self._features(with_condition_maps(x, condition)))

    def decode(self, z: Tensor, condition: Tensor) -> Tensor:
        """The mean image (n, C, *size) in [-1, 1] of latents z (n, latent_size) with condition (n, width)."""
        read = z if self.of_condition else torch.cat([z, condition.to(z.dtype)], dim=1)
        convolutional = self.vae.decode_forward(read, use_sigmoid=False)
        return torch.tanh(convolutional + self.linear(read))

    def drawn(self, noise: Tensor, uniform: Tensor, condition: Tensor) -> Tensor:
        """Latents (n, latent_size) of the prior, of standard normal noise of that shape and uniform numbers (n,)."""
        w = self.of_condition
        own, free = noise[:, :w], noise[:, w:]
        if self.condition_prior is not None:
            p = self._condition_prior(condition)
            own = p.mu + torch.exp(0.5 * p.logvar) * own
        if self.shares is not None:
            which = chosen(self.shares(condition), uniform)
            if self.mixture is not None:
                free = self.mixture.drawn(free, which)
            if self.pseudo is not None:
                p = self._pseudo_posteriors(self.pseudo, 1)
                free = p.mu[0, which] + torch.exp(0.5 * p.logvar[0, which]) * free
        return torch.cat([own, free], dim=1)

    def _features(self, maps: Tensor) -> Tensor:
        """(n, features) that the posterior is made of."""
        deep: Tensor = self.vae.intermediate(self.vae.encode(maps))
        return deep.flatten(1)

    def _posterior(self, features: Tensor) -> DiagonalGaussians:
        return DiagonalGaussians(self.vae.mu(features), self.vae.logvar(features).clamp(*LOGVAR_RANGE))

    def _condition_prior(self, condition: Tensor) -> DiagonalGaussians:
        assert self.condition_prior is not None
        mu, logvar = self.condition_prior(condition).chunk(2, dim=1)
        return DiagonalGaussians(mu, logvar.clamp(*LOGVAR_RANGE))

    def _log_prior(self, free: Tensor, condition: Tensor, records: int) -> Tensor:
        """ln p of the free part (n, d) given the condition (n, width), (n,)."""
        if self.shares is None:
            return log_density(free, DiagonalGaussians(torch.zeros_like(free), torch.zeros_like(free)))
        shares = self.shares(condition)
        if self.mixture is not None:
            density: Tensor = self.mixture(free, shares)
            return density
        assert self.pseudo is not None
        components = self._pseudo_posteriors(self.pseudo, records)
        of_records = (rows.reshape(records, -1, rows.shape[1]) for rows in (free, shares))
        z, log_shares = of_records
        return mixed(z, components, log_shares).flatten()

    def _pseudo_posteriors(self, pseudo: PseudoInputs, records: int) -> DiagonalGaussians:
        """Posteriors (records, k, d) of the pseudo-inputs' free part, encoded once for each record."""
        k, w = pseudo.components, self.of_condition
        like = self.vae.mu.weight
        each = torch.eye(k, dtype=like.dtype, device=like.device).repeat(records, 1)
        q = self._posterior(self._features(pseudo(each)))
        return DiagonalGaussians(*(part[:, w:].reshape(records, k, -1) for part in q))
