"""A picture of what a translation makes, of a simulation alone: it shows patients, whose images never leave a site."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from fedgen.data.site_data import Part, SiteData
from fedgen.evidence.measure import Real
from fedgen.evidence.translating import Translating
from fedgen.evidence.translation.cases import Cases, cases_of
from fedgen.report.picture_rows import TRANSLATIONS
from fedgen.report.pictures import Tiles, draw_tiles
from fedgen.synthesis.formats import picture_of

#: Test patients of each site that are shown.
PATIENTS = 2


def draw_translations(figures: Path, sites: Sequence[SiteData], how: Translating) -> Path | None:
    """Source, made and real target and their difference, of some test patients of each site; None where there is none.

    Where nothing is paired there is no real target beside it. Of a patient with several slices the middle one is shown.

    Raises:
        DataError: the disk is full or the folder cannot be written.
    """
    test = cases_of(Real(sites), Part.TEST, how.task)
    rows = []
    for number, site in enumerate(sites):
        own = test.only(test.sites == number)
        rows += [_tiles(site.site, own.only(chosen), how) for chosen in _of_patients(own)]
    return draw_tiles(figures, TRANSLATIONS, rows) if rows else None


def _of_patients(own: Cases) -> list[Tensor]:
    """Positions (1,) of the middle image with a source, of the first patients."""
    given = torch.stack([own.there[field.name] for field in own.task.sources], dim=1).any(dim=1)
    chosen = []
    for patient in own.patients[given].unique()[:PATIENTS]:
        rows = ((own.patients == patient) & given).nonzero().flatten()
        chosen.append(rows[len(rows) // 2 : len(rows) // 2 + 1])
    return chosen


def _tiles(site: str, one: Cases, how: Translating) -> Tiles:
    made = how.make(one.given())
    shown = [(name, one.own(name)[0]) for name in how.sources if bool(one.there[name].all())]
    shown.append((f"made {how.target}", made[0]))
    if how.task.paired:
        shown.append((f"real {how.target}", one.target[0]))
        # Black is no error; white is half the window or more.
        shown.append(("error", (2 * (made[0] - one.target[0]).abs()).clamp(0, 2) - 1))
    return Tiles(
        group=site,
        kind="translation",
        label="",
        images=[picture_of(image) for _, image in shown],
        captions=[name for name, _ in shown],
    )
