"""Options of adapters, which every family can have."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from fedgen.schema.section import Section


class Adapters(Section):
    """Low-rank adapters (LoRA, Hu et al. 2021): W + (alpha / rank) B A, with the pretrained W frozen.

    Only A and B are trained, clipped, noised and sent.
    """

    rank: int = Field(
        4, ge=1, le=256, description="r: inner dimension of B A; a smaller layer has a smaller one"
    )
    alpha: float = Field(4.0, gt=0, description="B A is scaled by alpha / rank")
    targets: tuple[Literal["attention", "convolution", "linear"], ...] = Field(
        ("attention", "convolution", "linear"),
        min_length=1,
        strict=False,
        description="which layers: those of attention, convolutions, and all other linear layers",
    )
