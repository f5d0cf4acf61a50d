"""A table: its rows made, judged and read back, each step where it was stopped."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from cells import Cells, code, keep_images, kept_images, of_images, of_sites
from in_process import decides, make, networks_of
from judging import JUDGES, audits, likeness, of_patients, of_release, scores
from rows import Row

from fedgen.data.site_data import LabelledImages, Part, SiteData
from fedgen.evidence.pooled import PooledImages, pool
from fedgen.families.registry import specs
from fedgen.pipeline.model import audited_model
from fedgen.priors.file import PriorFile, read_prior
from fedgen.study.load import load_study
from fedgen.study.study import Study

#: What decides the images of a family of sums, beside its own folder.
SHARED = ("families/parts", "priors")


@dataclass(frozen=True)
class Table:
    """Sites, a study and where the rows are kept.

    Attributes:
        preset: study that the rows change, a name or a file.
        sites: all that may take part, by label.
        tests: what judges are asked of, by label.
        prior: file of the public prior, or None.
        out: folder of what is kept.
        images: drawn for a row.
        steps: of the network that judges, at most.
        audited: whether membership is attacked too.
        real: training images that a judge of the real ones learns from, at most; None for all.
        known: digests that were computed.
        asked: what decides a row.
    """

    preset: str
    sites: Callable[[str], list[SiteData]]
    tests: Callable[[str], PooledImages]
    prior: Path | None
    out: Path
    images: int = 400
    steps: int = 200
    audited: bool = True
    real: int | None = None
    known: dict[Any, str] = field(default_factory=dict)
    asked: dict[Row, dict[str, Any]] = field(default_factory=dict)

    @cached_property
    def public(self) -> PriorFile | None:
        """The prior, read."""
        return None if self.prior is None else read_prior(self.prior)

    def taking_part(self, row: Row) -> list[SiteData]:
        """The sites that train."""
        return [site for site in self.sites(row.label) if site.site != row.without]

    def study(self, row: Row) -> Study:
        """What is asked of the row."""
        patients = sum(site.part(Part.TRAIN).n_patients for site in self.taking_part(row))
        changes = row.asked(patients)
        if row.on_prior:
            assert self.public is not None
            card = self.public.card
            changes.append(f"model.prior.sha256={self.public.sha256}")
            changes.append(f"model.prior.source='{card.made_of}; {card.source}'")
        return load_study(self.preset, changes)

    def possible(self, rows: Iterable[Row]) -> Iterator[Row]:
        """Those whose prior is given."""
        return (row for row in rows if self.prior is not None or not row.on_prior)

    def made(self, row: Row, seed: int, *, missing: bool) -> dict[str, Any] | None:
        """The cell of a row's images; None where it is missing and none is to be made."""
        if row not in self.asked:
            self.asked[row] = {
                "study": decides(self.study(row)),
                "sites": self._training(row),
                "code": code(f"families/{row.kind}", *(SHARED if specs()[row.kind].sums else ())),
                "images": self.images,
            }
        key = {**self.asked[row], "seed": seed}
        cells = Cells(self.out / "made", missing)
        path = cells.path(row.name, key)

        def trained() -> dict[str, Any]:
            prior = self.prior if row.on_prior else None
            study, sites, run = self.study(row), self.taking_part(row), self.out / "runs" / path.stem
            found = make(study, sites, run, prior, self.images, seed)
            pixels = keep_images(path.with_suffix(".npz"), found.images, found.model)
            return {"core_seconds": found.seconds, "pixels": pixels}

        cell = cells.get(row.name, key, trained)
        return None if cell is None else {**cell, "kept": path.with_suffix(".npz")}

    def test(self, row: Row) -> PooledImages:
        """What the judges of a row are asked of: of a site that was left out, every image."""
        if not row.without:
            return self.tests(row.label)
        left = [site for site in self.sites(row.label) if site.site == row.without]
        return pool(left, tuple(Part))

    def judged(self, row: Row, seed: int | None, judge: str, *, shuffled: bool, missing: bool) -> Any:
        """Scores of one judge that learned from a row's images; of the real training images where `seed` is None."""
        cells = Cells(self.out / "judged", missing)
        if seed is None:
            taught = f"{self._training(row)} {self.real}"
        else:
            cell = self.made(row, seed, missing=False)
            if cell is None:
                return None
            taught = cell["pixels"]
        test = self.test(row)
        key = {
            "taught": taught,
            "test": self._once(("test", row.label, row.without), lambda: of_images(test)),
            "judge": judge,
            "code": code("evidence/downstream"),
            "steps": self.steps,
            "seed": seed or 0,
            "shuffled": shuffled,
        }

        def learned() -> Mapping[str, Any]:
            if seed is None:
                own = of_patients(pool(self.taking_part(row), (Part.TRAIN,))).some(self.real)
            else:
                own = of_release(kept_images(cell["kept"])[0])
            own = own.shuffled(seed or 0) if shuffled else own
            classes = len(self.sites(row.label)[0].classes)
            return scores(JUDGES[judge](own, test.images, classes, self.steps, seed or 0), test)

        said = "shuffled" if shuffled else "taught"
        who = row.name if seed is not None else f"{row.label}-real-{row.without}".rstrip("-")
        return cells.get(f"{who}-{judge}-{said}", key, learned)

    def measured(self, row: Row, seed: int, *, missing: bool) -> dict[str, Any] | None:
        """Distances, diversity and audits of a row's images."""
        cell = self.made(row, seed, missing=False)
        if cell is None:
            return None
        study, sites = self.study(row), self.taking_part(row)
        key = {
            "pixels": cell["pixels"],
            "sites": self._once(("sites", row.label, row.without), lambda: of_sites(sites)),
            "code": code("evidence/metrics", "evidence/audit", f"families/{row.kind}"),
        }

        def found() -> Mapping[str, Any]:
            made, model = kept_images(cell["kept"])
            if not self.audited:
                return likeness(study, sites, made)
            recipe, networks = networks_of(study, model, self.prior if row.on_prior else None)
            attacked = audited_model(recipe, networks, study.training.device, row.epsilon)
            return {**likeness(study, sites, made), **audits(study, sites, made, attacked)}

        return Cells(self.out / "measured", missing).get(row.name, key, found)

    def _training(self, row: Row) -> str:
        sites = self.taking_part(row)
        of = ("training", row.label, row.without)
        return self._once(of, lambda: of_sites([site.part(Part.TRAIN) for site in sites]))

    def _once(self, of: tuple[str, ...], computed: Callable[[], str]) -> str:
        if of not in self.known:
            self.known[of] = computed()
        return self.known[of]

    def first(self, row: Row, seed: int = 0) -> LabelledImages | None:
        """The images of a row, for a picture."""
        cell = self.made(row, seed, missing=False)
        return None if cell is None else kept_images(cell["kept"])[0]


def make_all(table: Table, rows: Iterable[Row], seeds: int, minutes: float) -> None:
    """Make the cells that are missing, until the time is up."""
    until = time.monotonic() + 60 * minutes
    for row in table.possible(rows):
        for seed in range(1 if row.where == "none" else seeds):
            if time.monotonic() > until:
                print("The time is up; the same command goes on.")
                return
            cell = table.made(row, seed, missing=True)
            assert cell is not None
            print(f"{row.name} {seed}: {spread([cell['core_seconds']], 1)} s of a core", flush=True)


def judge_all(
    table: Table, rows: Sequence[Row], judges: Sequence[str], seeds: int, minutes: float, *, measures: bool
) -> None:
    """Judge what is made, seed by seed so that a table that is stopped has something of each row."""
    until = time.monotonic() + 60 * minutes
    for seed in (None, *range(seeds)):
        for row in table.possible(rows):
            if time.monotonic() > until:
                print("The time is up; the same command goes on.")
                return
            for judge in judges:
                for shuffled in (False, True) if seed in (None, 0) else (False,):
                    found = table.judged(row, seed, judge, shuffled=shuffled, missing=True)
                    if found is not None and seed is not None and not shuffled:
                        print(f"{row.name} {seed} {judge}: {spread([found['auroc']], 3)}", flush=True)
            if measures and seed == 0:
                table.measured(row, 0, missing=True)


def spread(values: Iterable[float | None], digits: int = 2) -> str:
    """Mean and standard deviation of what is there, with their number where it is another than five."""
    known = [value for value in values if value is not None]
    if not known:
        return "–"
    text = f"{np.mean(known):.{digits}f}"
    return text if len(known) < 2 else f"{text} ± {np.std(known, ddof=1):.{digits}f}"
