"""What a measure of a translation is: in one file of `translation/`, which nothing lists."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

from fedgen.evidence.measure import Real
from fedgen.evidence.verdict import Undecided
from fedgen.run.row import Row
from fedgen.task.task import Task

#: make(the task's given fields by name, (n, ...) each) -> (n, C, *size); equal fields give equal images
Make = Callable[[Mapping[str, Tensor]], Tensor]


@dataclass(frozen=True)
class Translating:
    """A trained translation, as its measures ask it.

    Attributes:
        task: what is made from what.
        needed: sources that every patient has; the others may be missing.
        make: the target from the sources.
        back: the sources from what was made, by name; None where the family goes one way alone.
        mask_classes: names of the values 1, 2, ... of the patients' masks; empty where the study reads none.
    """

    task: Task
    needed: tuple[str, ...]
    make: Make
    back: Callable[[Tensor], Mapping[str, Tensor] | None] = lambda made: None
    mask_classes: tuple[str, ...] = ()

    @property
    def target(self) -> str:
        """Name of what is made."""
        return self.task.makes[0].name

    @property
    def sources(self) -> tuple[str, ...]:
        """Names of what it is made from."""
        return tuple(field.name for field in self.task.sources)


class TranslationMeasure(ABC):
    """A measure, found by walking `translation/`; a frozen dataclass with the one field `options`, as a `Measure` is.

    Attributes:
        id: stable name.
        title: for people.
        order: place in the report, smaller first.
    """

    id: ClassVar[str]
    title: ClassVar[str]
    order: ClassVar[int] = 100

    @abstractmethod
    def __init__(self, options: Any) -> None:
        """With the study's section `evaluation`."""

    @abstractmethod
    def measure(self, real: Real, how: Translating, seed: int) -> Iterable[Row | Undecided]:
        """The rows of this measure; none where the task is not one that it measures.

        Args:
            real: the patients: of all sites in a simulation, of one site in a federation.
            how: the model.
            seed: fixes every draw.
        """
