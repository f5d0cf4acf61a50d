"""What a model is given of a patient beside the image, one attribute at a time, and how somebody guesses it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from fedgen.data.site_data import SiteData
from fedgen.evidence.open_model import OpenModel, Score

#: Guesses of a number, over its range of [-1, 1].
GRID = 9


@dataclass(frozen=True)
class Attribute:
    """One of them.

    Attributes:
        id: of its row.
        title: for people.
        values: how many there are to guess from.
        first: its first column among the covariates; None for the class.
        number: whether it is a number in [-1, 1] and not one of several values.
    """

    id: str
    title: str
    values: int
    first: int | None = None
    number: bool = False

    def truth(self, data: SiteData) -> Tensor:
        """(n,) index of the value, or the number itself."""
        if self.first is None:
            return data.labels
        covariates = self._covariates(data)
        if self.number:
            return covariates[:, self.first]
        return covariates[:, self.first : self.first + self.values].argmax(dim=1)

    def supposed(self, data: SiteData, guess: int) -> SiteData:
        """The same images, as if their value were this one."""
        if self.first is None:
            return replace(data, labels=torch.full_like(data.labels, guess))
        covariates = self._covariates(data).clone()
        if self.number:
            covariates[:, self.first] = self.guesses()[guess]
        else:
            covariates[:, self.first : self.first + self.values] = 0
            covariates[:, self.first + guess] = 1
        return replace(data, covariates=covariates)

    def guesses(self) -> Tensor:
        """What an index of a guess stands for."""
        return torch.linspace(-1, 1, self.values) if self.number else torch.arange(self.values)

    def guessed(self, score: Score, data: SiteData) -> Tensor:
        """(n,) the values under which the model knows the images best, as `truth` gives them (Yeom et al. 2018)."""
        known = [score(self.supposed(data, guess)).detach().cpu() for guess in range(self.values)]
        best = torch.stack([each.double().reshape(len(each), -1).mean(dim=1) for each in known]).argmax(dim=0)
        return self.guesses()[best]

    @staticmethod
    def _covariates(data: SiteData) -> Tensor:
        assert data.covariates is not None
        return data.covariates


def class_of(classes: tuple[str, ...]) -> Attribute:
    """The class."""
    return Attribute("class", "class", len(classes))


def attributes(model: OpenModel) -> Iterator[Attribute]:
    """What the model is given and is not always the same: its class and each of its covariates."""
    names = list(model.recipe.study.data.covariates)
    for field in model.recipe.task.conditions:
        if field.kind == "class" and len(field.classes) > 1:
            yield class_of(field.classes)
        if field.kind == "covariates":
            first = 0
            for number, (name, part) in enumerate(zip(names, field.parts, strict=True), start=1):
                values = GRID if part == 1 else part
                yield Attribute(f"covariate-{number}", name, values, first, part == 1)
                first += part
