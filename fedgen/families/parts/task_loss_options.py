"""Options of a loss that keeps what a public network marks in an image, which translations can have."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from fedgen.families.spec import GivenWeights
from fedgen.schema.section import Section

#: As an architecture's option may be.
NetworkOption = bool | int | float | str | Annotated[tuple[int, ...], Field(strict=False)]


class TaskLoss(Section):
    """A public, frozen segmenter: what it marks in a translation should be what it marks in the real image, the target
    of a pair or without pairs the source.

    It is never trained on patients, and its loss is of one patient alone. The file is safetensors and lies as
    `<sha256>.safetensors` in the folder FEDGEN_WEIGHTS (where that is not set, ~/.local/share/fedgen/weights) of each
    machine that trains; one without it refuses to, before any patient is read. Without pairs the segmenter has to read
    both contrasts. Of an image of several channels it reads the middle one, which of a slice with its neighbours is the
    slice.
    """

    architecture: Literal["UNet", "SegResNet"] = Field("UNet", description="of MONAI, of one input channel")
    options: dict[str, NetworkOption] = Field(
        {"channels": (16, 32, 64), "strides": (2, 2)},
        strict=False,
        description="of the architecture, by MONAI's names, beside spatial_dims, in_channels and out_channels",
    )
    classes: int = Field(
        2, ge=2, description="outputs of the network, background among them; softmax over them"
    )
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$", description="of the file of weights")
    source: str = Field(
        pattern=r"^\S[^\n]*\S$",
        max_length=2000,
        description="what the weights were trained on, by which licence; every site reads it before it approves",
    )
    weight: float = Field(1.0, gt=0, description="of the loss, over that of the distance in L1")
    mean: float = Field(0.0, description="taken from intensities in [-1, 1] before the network")
    std: float = Field(1.0, gt=0, description="by which they are divided then")

    @property
    def given(self) -> GivenWeights:
        """The file."""
        return GivenWeights(
            "a public segmenter, which marks what a translation must keep", self.sha256, self.source
        )
