"""Kinds of YAML files that are read with the same strictness and the same sentences."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

from fedgen.schema.section import Section

S = TypeVar("S", bound=Section)


@dataclass(frozen=True)
class Form(Generic[S]):
    """A kind of file.

    Attributes:
        root: its keys and values.
        least: what even the smallest such file has, as a sentence names it.
        sections: two of its sections, as a sentence names them.
    """

    root: type[S]
    least: str
    sections: str
