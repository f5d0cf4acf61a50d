"""What a prior's file says of itself: read by people before they approve, and by the code that refuses."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from fedgen.schema.section import Section

#: A sentence or a name in one line.
LINE = r"^\S([^\n]*\S)?$"


class CodeNetwork(Section):
    """An autoencoder: convolutions with group normalisation, each level but the last halving the image."""

    channels: tuple[Annotated[int, Field(ge=1, le=512)], ...] = Field(
        (16, 32, 32), min_length=1, max_length=6, strict=False, description="of each level"
    )
    code_channels: int = Field(4, ge=1, le=64, description="of the code between encoder and decoder")
    groups: int = Field(
        8, ge=1, le=64, description="of each normalisation; divides the channels of every level"
    )
    steps: int = Field(ge=1, description="of Adam that it was trained for")

    @model_validator(mode="after")
    def _in_groups(self) -> Self:
        if any(channels % self.groups for channels in self.channels):
            raise ValueError(f"groups {self.groups} must divide the channels {self.channels} of every level")
        return self

    @property
    def shrinks(self) -> int:
        """Sides of an image over those of its code."""
        return int(2 ** (len(self.channels) - 1))


class Card(Section):
    """The card of a prior."""

    version: Literal[1] = 1
    kind: Literal["pca", "analytic", "autoencoder"] = Field(
        description="pca: principal components of images; analytic: of no image; autoencoder: a network's code"
    )
    network: CodeNetwork | None = Field(None, description="of the kind autoencoder")
    source: str = Field(pattern=LINE, max_length=2000, description="where the images come from")
    licence: str = Field(pattern=LINE, max_length=200, description="that the images are under")
    made_of: str = Field(pattern=LINE, max_length=2000, description="what was made of which images, in words")
    images_sha256: str = Field(
        pattern=r"^([0-9a-f]{64})?$",
        description="of the images as they were read; empty where there are none",
    )
    images: int = Field(ge=0, description="how many there were")
    variants: int = Field(
        0,
        ge=0,
        description="of each image, in other frames, proportions and contrasts; 0 where taken as it is",
    )
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
        description="share of the images' variance that it tells again, by an autoencoder of those it was not "
        "trained on; 0 where there are none",
    )

    @model_validator(mode="after")
    def _network_of_its_kind(self) -> Self:
        if (self.kind == "autoencoder") != (self.network is not None):
            raise ValueError("a prior has a network where its kind is autoencoder, and nowhere else")
        shrinks = 1 if self.network is None else self.network.shrinks
        if any(side % shrinks for side in self.size):
            raise ValueError(f"the sides of {self.size} must be multiples of {shrinks}")
        return self

    @property
    def shape(self) -> tuple[int, ...]:
        """(C, *size) of an image."""
        return (self.channels, *self.size)
