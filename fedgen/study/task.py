"""Section `task`: what the model makes, and what it is given for it."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from fedgen.schema.section import Section


class TaskSection(Section):
    """What is made from what."""

    kind: Literal["create", "translate"] = Field(
        "create",
        description="create: new images are drawn; translate: an image is made from others of the same patient",
    )
    makes: tuple[Literal["image", "mask"], ...] = Field(
        ("image",),
        min_length=1,
        strict=False,
        description="of a creation: image, or image and mask, each drawn with the other",
    )
    given: tuple[Literal["class", "covariates", "embedding"], ...] = Field(
        ("class",),
        strict=False,
        description="of a creation, what an image can be asked for by: any of class (data.labels), covariates "
        "(data.covariates) and embedding (data.columns.embedding); empty for nothing",
    )
    target: str | None = Field(
        None, description="of a translation, which of data.contrasts is made from the others"
    )
    downsample: int | None = Field(
        None,
        ge=2,
        le=16,
        description="of a translation, super-resolution: the target itself, averaged over this many pixels along each "
        "axis, is a source too, named `coarse`",
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.makes not in (("image",), ("image", "mask")):
            raise ValueError(f"makes must be [image] or [image, mask], not {list(self.makes)}")
        if len(set(self.given)) != len(self.given):
            raise ValueError("given names one thing twice")
        if self.kind == "translate" and self.target is None:
            raise ValueError("target is missing: name the one of data.contrasts that is made from the others")
        if self.kind == "translate" and self.makes != ("image",):
            raise ValueError("a translation makes an image alone: leave makes out")
        if self.kind == "create" and (self.target is not None or self.downsample is not None):
            raise ValueError(
                "target and downsample are of a translation: set kind to translate, or leave them out"
            )
        return self

    @property
    def conditions(self) -> tuple[str, ...]:
        """What is given beside pictures, in the order that networks read it."""
        if self.kind == "translate":
            return ()
        return tuple(name for name in ("class", "covariates", "embedding") if name in self.given)
