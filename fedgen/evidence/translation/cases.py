"""The images of one part of all sites as a translation sees them: sources and target by name, and which are there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fedgen.data.site_data import Part
from fedgen.evidence.measure import Real
from fedgen.evidence.translation.controls import own_slice
from fedgen.task.task import PRESENT, Task
from fedgen.training.task_records import fields_of, presence


@dataclass(frozen=True)
class Cases:
    """n images of patients.

    Attributes:
        task: of the translation.
        pictures: sources and target by name, (n, C, *size) float32 in [-1, 1]; what is absent is zeros.
        there: by name, (n,) bool.
        patients: (n,) int64; no two sites share a number.
        sites: (n,) int64 index of the site.
        masks: (n, 1, *size) uint8 classes.
        masked: (n,) bool, which have a mask.
    """

    task: Task
    pictures: Mapping[str, Tensor]
    there: Mapping[str, Tensor]
    patients: Tensor
    sites: Tensor
    masks: Tensor
    masked: Tensor

    @property
    def n_images(self) -> int:
        """n."""
        return len(self.patients)

    @property
    def target(self) -> Tensor:
        """(n, C, *size)."""
        return self.pictures[self.task.makes[0].name]

    @property
    def owners(self) -> NDArray[np.int64]:
        """(cases,) site of each patient, in the order of the patients' numbers."""
        _, first = np.unique(self.patients.numpy(), return_index=True)
        found: NDArray[np.int64] = self.sites.numpy()[first]
        return found

    def only(self, keep: Tensor) -> Cases:
        """The images at `keep`, (n,) bool or positions; patients keep their numbers."""
        return Cases(
            self.task,
            {name: images[keep] for name, images in self.pictures.items()},
            {name: known[keep] for name, known in self.there.items()},
            self.patients[keep],
            self.sites[keep],
            self.masks[keep],
            self.masked[keep],
        )

    def having(self, names: Sequence[str]) -> Cases:
        """The images of which all these are there."""
        keep = torch.ones(self.n_images, dtype=torch.bool)
        for name in names:
            keep = keep & self.there[name]
        return self.only(keep)

    def given(self, sources: Sequence[str] | None = None) -> dict[str, Tensor]:
        """What a model is given: the sources that are there, or of those these alone, as if the others were missing."""
        names = [field.name for field in self.task.sources]
        kept = {name: self.there[name] & (sources is None or name in sources) for name in names}
        fields = {
            name: self.pictures[name] * kept[name].float().reshape(-1, *[1] * (self.pictures[name].ndim - 1))
            for name in names
        }
        if self.task.paired:
            fields[PRESENT] = torch.stack([kept[name] for name in names], dim=1).float()
        return fields

    def own(self, source: str) -> Tensor:
        """(n, C, *size) of a source: the middle slice where it comes with its neighbours."""
        return own_slice(self.pictures[source], self.task.makes[0].channels)


def cases_of(real: Real, part: Part, task: Task) -> Cases:
    """The images of one part of all sites, made once."""
    return real.once(("cases", part), lambda: _cases(real, part, task))


def _cases(real: Real, part: Part, task: Task) -> Cases:
    names = [field.name for field in (*task.makes, *task.sources)]
    found: list[Cases] = []
    first = 0
    for number, site in enumerate(real.sites):
        rows = (site.parts == int(part)).nonzero().flatten()
        fields = fields_of(task, site, rows)
        _, own = torch.unique(site.patients[rows], return_inverse=True)
        n, size = len(rows), site.images.shape[2:]
        none = torch.zeros(n, 1, *size, dtype=torch.uint8)
        found.append(
            Cases(
                task,
                {name: fields[name] for name in names},
                {name: presence(name, site, rows) for name in names},
                own + first,
                torch.full((n,), number),
                none if site.masks is None else site.masks[rows],
                torch.zeros(n, dtype=torch.bool) if site.masked is None else site.masked[rows],
            )
        )
        first += int(own.max()) + 1 if n else 0
    return Cases(
        task,
        {name: torch.cat([each.pictures[name] for each in found]) for name in names},
        {name: torch.cat([each.there[name] for each in found]) for name in names},
        *(
            torch.cat([getattr(each, name) for each in found])
            for name in ("patients", "sites", "masks", "masked")
        ),
    )
