"""A network of MONAI's and a file of its weights, as a study names them: no code and no pickle comes with either."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from fedgen.schema.section import Section

Architecture = Literal[
    "resnet10", "resnet18", "resnet34", "resnet50", "DenseNet121", "DenseNet169", "SwinUNETR"
]
#: As an architecture's option may be.
Option = bool | int | float | str


class NetworkWeights(Section):
    """The network behind the extractor `given_network`: one of MONAI's, with weights that each machine is given once.

    The file is safetensors and lies as `<sha256>.safetensors` in the folder FEDGEN_WEIGHTS (where that is not set,
    ~/.local/share/fedgen/weights) of each machine that evaluates. One without it says so in place of the numbers.
    """

    architecture: Architecture = Field(
        "resnet18", description="of MONAI; features are the means of its last maps"
    )
    options: dict[str, Option] = Field(
        {}, description="of the architecture, by MONAI's names, beside spatial_dims, which is 2"
    )
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$", description="of the file of weights")
    source: str = Field(
        min_length=1, max_length=500, description="where the weights come from and their licence"
    )
    channels: Literal[1, 3] = Field(
        1, description="of the network's input; gray images are repeated, colours averaged"
    )
    side: int | None = Field(
        None, ge=16, le=1024, description="pixels to which images are resized; as they are where not given"
    )
    mean: float = Field(0.0, description="taken from intensities in [-1, 1] before the network")
    std: float = Field(1.0, gt=0, description="by which they are divided then")
