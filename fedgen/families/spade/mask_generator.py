"""A generator of masks: a conditional variational autoencoder whose pixels are of one class each, or of none.

Its likelihood is categorical over background and the K classes, so that drawn classes never overlap (Kingma and
Welling 2014; Sohn et al. 2015).
"""

from __future__ import annotations

from collections.abc import Mapping
from math import log, prod

import torch
from monai.networks.nets import VarAutoEncoder
from torch import Tensor, nn

from fedgen.families.contract import Adam, Apply, Draws, Objective
from fedgen.families.parts.blocks import (
    LEAKY_RELU,
    LinearImage,
    group_norm,
    level_strides,
    upsampling_convolution,
)
from fedgen.families.parts.conditioning import condition_of, with_condition_maps
from fedgen.families.parts.folding import fold, patient_mean, rows
from fedgen.families.spade.options import SpadeOptions
from fedgen.task.image_spec import ImageSpec
from fedgen.task.records import Records
from fedgen.task.task import Task

#: Range of ln sigma^2 of the posterior: keeps exp, and so every loss, finite whatever the weights.
LOGVAR_RANGE = (-10.0, 4.0)


class _Body(VarAutoEncoder):
    """MONAI's autoencoder with upsampling convolutions; encoder and decoder are taken from it."""

    def _get_decode_layer(
        self, in_channels: int, out_channels: int, strides: int, is_last: bool
    ) -> nn.Sequential:
        return upsampling_convolution(
            self.dimensions, in_channels, out_channels, strides, self.norm, last=is_last
        )


def _body(mask: ImageSpec, condition: int, options: SpadeOptions) -> _Body:
    return _Body(
        spatial_dims=mask.dimensions,
        in_shape=(mask.channels + condition, *mask.size),
        out_channels=mask.channels,
        latent_size=options.mask_latent_size,
        channels=options.mask_channels,
        strides=level_strides(mask.size, len(options.mask_channels)),
        act=LEAKY_RELU,
        norm=group_norm(options.mask_channels),
    )


class MaskEncoder(nn.Module):
    """q(z | m, y)."""

    def __init__(self, mask: ImageSpec, condition: int, options: SpadeOptions) -> None:
        super().__init__()
        body = _body(mask, condition, options)
        self.encode, self.mu, self.logvar = body.encode, body.mu, body.logvar

    def forward(self, masks: Tensor, condition: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and ln sigma^2 (n, d) of the latents of masks (n, K, *size) with condition (n, width)."""
        features = self.encode(with_condition_maps(masks, condition)).flatten(1)
        return self.mu(features), self.logvar(features).clamp(*LOGVAR_RANGE)


class MaskDecoder(nn.Module):
    """Logits of p(m | z, y): of each class against the background, whose logit is 0."""

    def __init__(self, mask: ImageSpec, condition: int, options: SpadeOptions) -> None:
        super().__init__()
        body = _body(mask, condition, options)
        self.start = tuple(body.final_size)
        self.first = nn.Linear(options.mask_latent_size + condition, body.decodeL.out_features)
        self.decode = body.decode
        self.linear = LinearImage(options.mask_latent_size + condition, mask, reduction=2, gain=3.0)

    def forward(self, z: Tensor, condition: Tensor) -> Tensor:
        """(n, K, *size) of latents z (n, d) with condition (n, width)."""
        both = torch.cat([z, condition.to(z.dtype)], dim=1)
        first = self.first(both)
        start = first.reshape(len(z), first.shape[1] // prod(self.start), *self.start)
        logits: Tensor = self.decode(start) + self.linear(both)
        return logits


def hard_masks(logits: Tensor) -> Tensor:
    """The likeliest class of each pixel, (n, K, *size) of 1 inside and -1 outside; background where none is above 0."""
    highest = logits.max(dim=1, keepdim=True).values
    return ((logits == highest) & (highest > 0)).to(logits.dtype) * 2 - 1


def cross_entropy(logits: Tensor, masks: Tensor) -> Tensor:
    """-ln p(m | z, y), mean over the pixels, of masks (n, K, *size) in {-1, 1}, (n,); in nats."""
    background = torch.zeros_like(logits[:, :1])
    normaliser = torch.logsumexp(torch.cat([background, logits], dim=1), dim=1)
    inside = (masks + 1) / 2
    return (normaliser - (inside * logits).sum(dim=1)).flatten(1).mean(dim=1)


class MaskObjective(Objective):
    """The negative evidence lower bound of a mask, in nats a pixel."""

    name = "masks"
    updates = ("mask_encoder", "mask_decoder")
    touches_data = True

    def __init__(self, task: Task, options: SpadeOptions) -> None:
        self.task = task
        self.latent_size = options.mask_latent_size
        self.optimizer = Adam(options.mask_learning_rate)
        # Twice that of a decoder to which all classes are equally likely.
        self.loss_bound = 2 * log(1 + len(mask_of(task)[1]))

    def draw(self, B: int, M: int, K: int, rng: torch.Generator) -> Draws:
        """`eps`: (B, M, K, mask_latent_size) standard normal."""
        return {"eps": torch.randn(B, M, K, self.latent_size, generator=rng, device=rng.device)}

    def loss(self, networks: Mapping[str, Apply], records: Records | None, draws: Draws) -> Tensor:
        """Loss of each patient, (B,)."""
        if records is None:
            raise ValueError("the masks' objective needs records")
        eps, weights = draws["eps"], records.weights["patient"]
        given = condition_of(self.task, records.fields, weights)
        masks, condition = fold(records.fields[mask_of(self.task)[0]], given, eps.shape[2])
        mu, logvar = networks["mask_encoder"](masks, condition)
        z = mu + torch.exp(0.5 * logvar) * rows(eps)
        logits = networks["mask_decoder"](z, condition)
        kl = 0.5 * torch.sum(mu.square() + logvar.exp() - 1 - logvar, dim=1)
        return patient_mean(cross_entropy(logits, masks) + kl / masks[0, 0].numel(), weights)


def mask_of(task: Task) -> tuple[str, tuple[str, ...], ImageSpec]:
    """Name, classes and spec of the mask that a task makes.

    Raises:
        ValueError: it makes none.
    """
    field = task.mask
    if field is None or field.spec is None:
        raise ValueError("the task makes no mask")
    return field.name, field.classes, field.spec
