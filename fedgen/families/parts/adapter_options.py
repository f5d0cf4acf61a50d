"""Options of adapters, which every family can have."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from fedgen.schema.section import Section

Target = Literal["attention", "convolution", "linear"]


class Adapters(Section):
    """Low-rank adapters (LoRA, Hu et al. 2021): W + (alpha / rank) B A, with the pretrained W frozen.

    Only A and B are trained, clipped, noised and sent.
    """

    rank: int = Field(
        4, ge=1, le=256, description="r: inner dimension of B A; a smaller layer has a smaller one"
    )
    alpha: float = Field(4.0, gt=0, description="B A is scaled by alpha / rank")
    targets: tuple[Target, ...] = Field(
        ("attention", "convolution", "linear"),
        min_length=1,
        strict=False,
        description="which layers: those of attention, other convolutions (also transposed ones), other linear layers",
    )
    layers: tuple[str, ...] = Field(
        ("*",),
        min_length=1,
        strict=False,
        description="which of these: shell patterns of their names, `network/layer`, such as `unet/*up_blocks*`",
    )
