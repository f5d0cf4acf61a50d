"""What a prior's file says of itself: read by people before they approve, and by the code that refuses."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from fedgen.schema.section import Section

#: A sentence or a name in one line.
LINE = r"^\S([^\n]*\S)?$"


class Card(Section):
    """The card of a prior."""

    version: Literal[1] = 1
    kind: Literal["pca", "analytic"] = Field(
        description="pca: principal components of images; analytic: of no image"
    )
    source: str = Field(pattern=LINE, max_length=2000, description="where the images come from")
    licence: str = Field(pattern=LINE, max_length=200, description="that the images are under")
    made_of: str = Field(pattern=LINE, max_length=2000, description="what was made of which images, in words")
    images_sha256: str = Field(
        pattern=r"^([0-9a-f]{64})?$",
        description="of the images as they were read; empty where there are none",
    )
    images: int = Field(ge=0, description="how many there were")
    sites: tuple[str, ...] = Field(
        (),
        strict=False,
        description="whose patients are among the images, by the names under which they take part in studies",
    )
    channels: int = Field(ge=1, description="of an image")
    size: tuple[int, ...] = Field(min_length=2, max_length=3, strict=False, description="(H, W) or (D, H, W)")
    components: int = Field(ge=1, description="of its basis")
    donors: int = Field(ge=0, description="public images whose texture may be lent to synthetic ones")
    explained: float = Field(
        ge=0,
        le=1,
        description="share of the images' variance that the components hold; 0 where there are none",
    )
