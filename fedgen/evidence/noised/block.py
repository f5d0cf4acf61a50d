"""What a patient tells: coordinates of one vector, and what their noised sums mean."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from fedgen.data.site_data import Part, SiteData
from fedgen.run.row import Row, Value

FloatArray = NDArray[np.float64]

Kind = Literal["audit", "evaluation"]

#: What leaves is rounded to multiples of this: finer digits say nothing.
GRID = 2.0**-10


class NoisedRow(Row):
    """A row whose every number is made of noised sums and of nothing else of a patient: `leave` lets it through."""


@dataclass(frozen=True)
class Sums:
    """Sums over patients of a block's coordinates.

    Attributes:
        values: (length,) with noise.
        noise: standard deviation of the noise in each.
        sites: how many sites' patients are in them.
    """

    values: FloatArray
    noise: float
    sites: int


class NoisedBlock(ABC):
    """Some coordinates of a patient's vector; the others of her vector are 0 there.

    Attributes:
        kind: which of a site's answers it is part of.
        parts: whose patients are in it.
        id: of its row.
        share: of the squared length of a patient's vector; those of the blocks of one part sum to 1 at most.
        names: of its coordinates, at most 24.
    """

    kind: ClassVar[Kind]
    parts: ClassVar[tuple[Part, ...]]
    id: str
    share: float
    names: tuple[str, ...]

    @abstractmethod
    def of_patient(self, patient: SiteData, part: Part) -> FloatArray:
        """(length,) of L2 norm 1 at most, from all images of ONE patient and from nothing of any other.

        Args:
            patient: her images, in the order of the site.
            part: hers.
        """

    @abstractmethod
    def row(self, sums: Sums) -> NoisedRow:
        """What the sums mean; reads nothing else of a patient."""

    @property
    def sums_id(self) -> str:
        """Of the row that has the sums: of an audit, whose rows all judge, the row itself."""
        return self.id if self.kind == "audit" else f"{self.id}-sums"

    def rows(self, sums: Sums) -> tuple[NoisedRow, ...]:
        """What the sums mean, and they themselves."""
        row = self.row(sums)
        if self.sums_id == self.id:
            return (row,)
        note = f"Noise of standard deviation {sums.noise:.3g} is in each."
        title, group = f"Sums of: {row.title}", f"{row.group}-sums"
        own = NoisedRow(id=self.sums_id, title=title, group=group, values=self.counts(sums), note=note)
        return (row, own)

    def counts(self, sums: Sums) -> tuple[Value, ...]:
        """The sums themselves, which add up over sites."""
        return tuple(
            Value(name=name, value=float(value), pool="sum")
            for name, value in zip(self.names, sums.values, strict=True)
        )


def blocks_of(blocks: tuple[NoisedBlock, ...], kind: Kind) -> tuple[NoisedBlock, ...]:
    """Those of one of a site's answers."""
    return tuple(block for block in blocks if block.kind == kind)


def check_shares(blocks: tuple[NoisedBlock, ...]) -> None:
    """Refuse blocks that together would let a patient's vector be longer than 1.

    Raises:
        ValueError: they would.
    """
    for part in Part:
        whole = math.fsum(block.share for block in blocks if part in block.parts)
        if whole > 1 + 1e-9:
            raise ValueError(f"the blocks of {part.name} patients take {whole:g} of a vector of length 1")
