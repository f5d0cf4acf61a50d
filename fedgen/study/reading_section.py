"""Keys `evaluation.reading`: how people are shown real and synthetic images, and what they are asked of each."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from fedgen.schema.section import Section

#: Marks go from 1, the worst, to this.
BEST_MARK = 5
ReadingMode = Literal["2afc", "single"]
#: One quality that a reader marks, as it is printed.
Quality = Annotated[str, Field(min_length=1, max_length=40, pattern=r"^[A-Za-z0-9][A-Za-z0-9 _/-]*$")]


class ReadingSection(Section):
    """A blinded reading of real and synthetic images, by whoever runs `fedgen read`; nothing happens without it."""

    mode: ReadingMode = Field(
        "2afc",
        description="2afc: a real and a synthetic image side by side, which is real; single: one image at a time, real "
        "or synthetic",
    )
    images: int = Field(
        40,
        ge=4,
        le=500,
        description="synthetic images shown, and as many real ones of test patients, at most",
    )
    form: tuple[Quality, ...] = Field(
        ("overall quality",),
        max_length=8,
        strict=False,
        description="qualities that a reader marks from 1 to 5 of each image, such as sharpness; may be empty",
    )

    @model_validator(mode="after")
    def _once(self) -> Self:
        if len({name.lower() for name in self.form}) < len(self.form):
            raise ValueError("form names a quality twice")
        return self
