"""Translation without pairs by a content that two contrasts share and a style of each (MUNIT, Huang et al. 2018).

An image is taken apart into where things are and how they look; a translation keeps the first and draws the second.
So one image has many translations, and what the contrasts do not share need not be hidden in the pixels.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import torch
from monai.networks.blocks import Convolution, ResidualUnit
from torch import Tensor, nn
from torch.nn.functional import leaky_relu

from fedgen.families.contract import Apply, Draws
from fedgen.families.parts.blocks import LEAKY_RELU, he_initialise, level_strides, upsampling_convolution
from fedgen.families.parts.edges import shape_distance
from fedgen.families.parts.folding import patient_mean, rows
from fedgen.families.parts.task_loss import Kept
from fedgen.families.translate_gan.cycles import CRITIC_BACK, CriticsObjective, OfTwoGroups, nothing
from fedgen.families.translate_gan.options import TranslateGANOptions
from fedgen.families.translate_gan.pairs import CRITIC, distance
from fedgen.task.image_spec import ImageSpec
from fedgen.task.records import Records
from fedgen.task.task import Task

#: Networks of the source and of the target, in this order.
CONTENT, STYLE, DECODE = (
    ("content_source", "content_target"),
    ("style_source", "style_target"),
    ("decode_source", "decode_target"),
)
#: Most halvings between an image and its content.
HALVINGS = 2
#: Of the distances between what was put into a translation and what is found in it.
FOUND_WEIGHT = 0.1


def content_strides(image: ImageSpec, options: TranslateGANOptions) -> tuple[int, ...]:
    """Of the levels down to the content."""
    return level_strides(image.size, min(HALVINGS, len(options.channels) - 1))


class Content(nn.Module):
    """Where things are: (n, C, *size) to (n, channels, *grid), with instance norms that take the look away."""

    def __init__(self, image: ImageSpec, options: TranslateGANOptions) -> None:
        super().__init__()
        strides = content_strides(image, options)
        widths = options.channels[: len(strides) + 1]
        layers = [_convolution(image.dimensions, image.channels, widths[0], 1, norm=True)]
        layers += [
            _convolution(image.dimensions, a, b, stride, norm=True)
            for (a, b), stride in zip(pairwise(widths), strides, strict=True)
        ]
        unit: Any = ResidualUnit(
            image.dimensions,
            widths[-1],
            widths[-1],
            subunits=2,
            act=LEAKY_RELU,
            norm=("instance", {"affine": True}),
        )
        self.layers = nn.Sequential(*layers, unit)

    def forward(self, x: Tensor) -> Tensor:
        """The content."""
        found: Tensor = self.layers(x)
        return found


class Style(nn.Module):
    """How things look, wherever they are: (n, C, *size) to (n, numbers)."""

    def __init__(self, image: ImageSpec, options: TranslateGANOptions) -> None:
        super().__init__()
        strides = level_strides(image.size, len(options.channels) - 1)
        layers = [_convolution(image.dimensions, image.channels, options.channels[0], 1, norm=False)]
        layers += [
            _convolution(image.dimensions, a, b, stride, norm=False)
            for (a, b), stride in zip(pairwise(options.channels), strides, strict=True)
        ]
        self.layers = nn.Sequential(*layers)
        he_initialise(self.layers)
        self.numbers = nn.Linear(options.channels[-1], options.style_size)

    def forward(self, x: Tensor) -> Tensor:
        """The style."""
        found: Tensor = self.numbers(self.layers(x).flatten(2).mean(dim=2))
        return found


class Decode(nn.Module):
    """An image of a content in a style, which sets mean and spread of each channel (AdaIN, Huang and Belongie 2017)."""

    def __init__(self, image: ImageSpec, options: TranslateGANOptions) -> None:
        super().__init__()
        strides = content_strides(image, options)[::-1]
        widths = options.channels[: len(strides) + 1][::-1]
        self.inner: Any = _convolution(image.dimensions, widths[0], widths[0], 1, norm=False, conv_only=True)
        levels = [
            upsampling_convolution(image.dimensions, a, b, stride, None, last=False)
            for (a, b), stride in zip(pairwise(widths), strides, strict=True)
        ]
        levels.append(
            upsampling_convolution(image.dimensions, widths[-1], image.channels, 1, None, last=True)
        )
        self.levels = nn.Sequential(*levels)
        he_initialise(self.levels)
        hidden = 4 * options.style_size
        self.hidden = nn.Linear(options.style_size, hidden)
        self.look = nn.Linear(hidden, 2 * widths[0])

    def forward(self, content: Tensor, style: Tensor) -> Tensor:
        """(n, C, *size) in [-1, 1] of content (n, channels, *grid) and style (n, numbers)."""
        slope = LEAKY_RELU[1]["negative_slope"]
        h = self.inner(content)
        axes = tuple(range(2, h.ndim))
        mean, variance = h.mean(dim=axes, keepdim=True), h.var(dim=axes, keepdim=True, unbiased=False)
        look = self.look(leaky_relu(self.hidden(style), slope))
        scale, shift = look.reshape(*look.shape, *[1] * len(axes)).chunk(2, dim=1)
        h = leaky_relu((h - mean) * (variance + 1e-5).rsqrt() * (1 + scale) + shift, slope)
        return torch.tanh(self.levels(h + content))


def _convolution(
    dimensions: int, a: int, b: int, stride: int, *, norm: bool, conv_only: bool = False
) -> nn.Module:
    convolution: Any = Convolution(
        dimensions,
        a,
        b,
        strides=stride,
        kernel_size=4 if stride == 2 else 3,
        padding=1,
        act=LEAKY_RELU,
        norm=("instance", {"affine": True}) if norm else None,
        conv_only=conv_only,
    )
    found: nn.Module = convolution
    return found


class StylesObjective(OfTwoGroups):
    """What both contrasts are taken apart into must make them again, and be found in their translations."""

    name = "styles"
    updates = (*CONTENT, *STYLE, *DECODE)
    #: images lie in [-1, 1], and the distance of two that have nothing in common is about 0.5
    loss_bound = 4.0

    def __init__(self, task: Task, options: TranslateGANOptions, kept: Kept) -> None:
        super().__init__(task, options)
        self.kept = kept
        self.loss_bound += 2 * kept.bound

    def draw(self, B: int, M: int, K: int, rng: torch.Generator) -> Draws:
        """`style_source` and `style_target`: (B, M, K, style_size) standard normal, of translations into each."""
        self.kept.read(rng.device)
        return drawn_styles(self.options, (B, M, K), rng)

    def loss(self, networks: Mapping[str, Apply], records: Records | None, draws: Draws) -> Tensor:
        """Loss of each patient, (B,)."""
        ends = self.read(records, draws[STYLE[0]].shape[2])
        return self._way(networks, ends[0], draws, 0) + self._way(networks, ends[1], draws, 1)

    def _way(
        self, networks: Mapping[str, Apply], read: tuple[Tensor, Tensor], draws: Draws, end: int
    ) -> Tensor:
        (x, weights), other = read, 1 - end
        content, own = networks[CONTENT[end]](x), networks[STYLE[end]](x)
        style = rows(draws[STYLE[other]])
        made = networks[DECODE[other]](content, style)
        found = networks[CONTENT[other]](made), networks[STYLE[other]](made)
        losses = distance(networks[DECODE[end]](content, own) - x)
        losses = losses + distance(networks[DECODE[end]](found[0], own) - x)
        losses = losses + FOUND_WEIGHT * (distance(found[0] - content) + distance(found[1] - style))
        losses = losses + self.kept.loss(made, x)
        if self.options.shape_weight:
            losses = losses + self.options.shape_weight * shape_distance(made, x)
        critic = (CRITIC_BACK, CRITIC)[other]
        losses = losses + self.wish(networks[critic](made, nothing(made))[-1])
        return patient_mean(losses, weights)


class StyleCriticsObjective(CriticsObjective):
    """As `CriticsObjective`, of translations into styles that are drawn."""

    def draw(self, B: int, M: int, K: int, rng: torch.Generator) -> Draws:
        """As `StylesObjective`."""
        return drawn_styles(self.options, (B, M, K), rng)

    def fakes(self, networks: Mapping[str, Apply], records: Records | None, draws: Draws, end: int) -> Tensor:
        """See `CriticsObjective.fakes`."""
        style = rows(draws[STYLE[1 - end]])
        x, _ = self.read(records, draws[STYLE[0]].shape[2])[end]
        made: Tensor = networks[DECODE[1 - end]](networks[CONTENT[end]](x), style)
        return made


def drawn_styles(options: TranslateGANOptions, shape: tuple[int, ...], rng: torch.Generator) -> Draws:
    """Styles of the source and of the target, (*shape, style_size) standard normal."""
    size = (*shape, options.style_size)
    return {name: torch.randn(size, generator=rng, device=rng.device) for name in STYLE}
