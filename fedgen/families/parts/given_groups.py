"""What a family of moments reads of the conditions: which group an image is of, and the numbers beside it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import product

import torch
from torch import Tensor

from fedgen.task.task import Task


class GivenGroups:
    """Of a task's conditions: classes and values make groups, each with a mean; numbers move the mean.

    A group is a class together with a value of each covariate that has values. Covariates that are numbers, and the
    numbers of an embedding, lie side by side in one vector of a norm of 1 at most. A task that is given nothing has
    one group and no numbers.

    Args:
        task: what is given.
    """

    def __init__(self, task: Task) -> None:
        choices: list[tuple[str, ...]] = []
        # (field, first column, columns) of each of the choices and of the numbers
        self._chosen: list[tuple[str, int, int]] = []
        self._numbers: list[tuple[str, int, int]] = []
        for field in task.conditions:
            if field.kind == "class":
                self._chosen.append((field.name, 0, len(field.classes)))
                choices.append(field.classes)
                continue
            if field.kind == "embedding":
                self._numbers.append((field.name, 0, field.numbers))
                continue
            first = 0
            for number, part in enumerate(field.parts, start=1):
                where = (field.name, first, part)
                first += part
                if part == 1:
                    self._numbers.append(where)
                else:
                    self._chosen.append(where)
                    choices.append(tuple(f"value {v} of covariate {number}" for v in range(1, part + 1)))
        self._sizes = tuple(len(names) for names in choices)
        #: Names of the groups; one of no name where there is no choice.
        self.names = tuple(", ".join(names) for names in product(*choices))
        #: How many numbers there are.
        self.numbers = sum(columns for *_, columns in self._numbers)
        self._classes = {field.name for field in task.conditions if field.kind == "class"}

    def labels(self, fields: Mapping[str, Tensor], like: Tensor) -> Tensor:
        """Group of each image, int64.

        Args:
            fields: conditions by name, as in `Records`.
            like: of the shape (...) that the groups have, on their device.
        """
        found = torch.zeros(like.shape, dtype=torch.int64, device=like.device)
        for (name, first, columns), size in zip(self._chosen, self._sizes, strict=True):
            of = fields[name].to(like.device)
            index = of if name in self._classes else of[..., first : first + columns].argmax(dim=-1)
            found = found * size + index
        return found

    def values(self, fields: Mapping[str, Tensor], like: Tensor) -> Tensor:
        """The numbers beside each image, (..., numbers), of a norm of at most 1 where each is in its range.

        Args:
            fields: conditions by name: covariates in [-1, 1], an embedding of length 1.
            like: of the shape (...), the dtype and on the device of the numbers.
        """
        if not self._numbers:
            return like.new_zeros(*like.shape, 0)
        embedded = any(name == "embedding" for name, *_ in self._numbers)
        plain = sum(1 for name, *_ in self._numbers if name != "embedding")
        shared = math.sqrt(2 if embedded and plain else 1)
        parts = []
        for name, first, columns in self._numbers:
            of = fields[name].to(like)[..., first : first + columns]
            parts.append(of / (shared * (1 if name == "embedding" else math.sqrt(plain))))
        return torch.cat(parts, dim=-1)
