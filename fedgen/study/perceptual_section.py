"""Section `evaluation.perceptual`: the network behind LPIPS, and a file of its weights."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from fedgen.schema.section import Section


class PerceptualSection(Section):
    """The network of LPIPS, with weights that each machine is given once.

    The file is safetensors and lies as `<sha256>.safetensors` in the folder FEDGEN_WEIGHTS (where that is not set,
    ~/.local/share/fedgen/weights) of each machine that evaluates. It holds the tensors `net.*` and `lin*` of the
    package lpips, of its network and of its linear layers. A machine without it says so in place of the number.
    """

    network: Literal["alex", "vgg"] = Field(
        "alex", description="AlexNet or VGG-16; numbers of one cannot be compared with those of the other"
    )
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$", description="of the file of weights")
    source: str = Field(
        min_length=1, max_length=500, description="where the weights come from and their licence"
    )
