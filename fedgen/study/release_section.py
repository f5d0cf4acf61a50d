"""The section `release`: what has to be true before a release is packed and signed."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from fedgen.schema.section import Section


class ReleaseSection(Section):
    """What a release needs before it is packed and signed; whoever approves the study approves this with it."""

    review: Literal["ask", "refuse"] = Field(
        "ask",
        description="what the verdict REVIEW needs: ask: a named person accepts it with a reason; refuse: there is no "
        "release (FAIL and INSUFFICIENT never have one)",
    )
    largest_epsilon: float | None = Field(
        10.0,
        gt=0,
        description="largest epsilon of any site; null for any, also for privacy.mode none, whose epsilon has no limit",
    )
    worth: Literal["any", "decided", "shown"] = Field(
        "any",
        description="what must be known of its use: decided: the comparison on real patients came to a result; shown: "
        "and the release is worth something; any: nothing, the datasheet says what is known",
    )
    require_receipts: bool = Field(
        False, description="every site in the model has signed what it took part in and what it spent"
    )
    licence: str | None = Field(
        None,
        pattern=r"^\S([^\n]*\S)?$",
        max_length=200,
        description="licence that the release is given under, by its SPDX name or address; null where none is granted",
    )
