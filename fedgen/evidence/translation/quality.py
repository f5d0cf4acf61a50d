"""Likeness of made targets to real ones of test patients, beside what any model must beat, and by missing sources."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, combinations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fedgen.data.site_data import Part
from fedgen.errors import DataError
from fedgen.evidence.downstream.case_rows import Tested, less
from fedgen.evidence.downstream.over_cases import Replicates, score_of, too_few
from fedgen.evidence.measure import Real
from fedgen.evidence.translating import Translating, TranslationMeasure
from fedgen.evidence.translation.cases import Cases, cases_of
from fedgen.evidence.translation.controls import LinearMap, along_channels, mean_target
from fedgen.evidence.translation.perceptual import Perceptual
from fedgen.evidence.translation.similarity import (
    MAE,
    NMSE,
    PERCEPTUAL,
    body_of,
    measures,
    names,
    similarity_by_case,
)
from fedgen.run.row import Finding, Row, Verdict, cut
from fedgen.study.evaluation_section import EvaluationSection

FloatArray = NDArray[np.float64]

GROUP, DIFFERENCES, PATTERNS = "translation", "translation-differences", "translation-sources"
MODEL, LINEAR, MEAN = "model", "linear", "mean"
#: Of so many sources all subsets are measured; of more, those that patients have.
MOST_SOURCES = 3
TITLES = {
    MODEL: "The model",
    LINEAR: "Control: best linear map of the sources' intensities",
    MEAN: "Control: mean target of the training patients",
}


@dataclass(frozen=True)
class Quality(TranslationMeasure):
    """MAE, PSNR, SSIM and others of each test patient, for translations of pairs."""

    id = "translation"
    title = "Translation"
    order = 1
    options: EvaluationSection

    def measure(self, real: Real, how: Translating, seed: int) -> Iterator[Row]:
        """A row of the model and of each control, the differences, one for each choice of sources, and the task."""
        if not how.task.paired:
            return
        train, test = cases_of(real, Part.TRAIN, how.task), cases_of(real, Part.TEST, how.task)
        tested = Tested(
            [site.site for site in real.sites], test.owners, Replicates(self.options.bootstrap, seed)
        )
        made = {MODEL: how.make(test.given()), **controls(train, test)} if test.n_images else {}
        perceptual, missing = self._perceptual()
        columns = {arm: compared(images, test, perceptual) for arm, images in made.items()}
        titles = TITLES | {f"source-{plain(name)}": f"Control: {name} as it is" for name in how.sources}
        finding = worth(columns, titles, tested)
        for arm in [arm for arm in titles if arm in columns or arm in TITLES]:
            found: Mapping[str, FloatArray | None] = columns.get(
                arm, dict.fromkeys(names(perceptual is not None))
            )
            yield tested.row(
                f"translation-{arm}", titles[arm], GROUP, found, findings=(finding,) if arm == MODEL else ()
            )
        for arm in [arm for arm in columns if arm != MODEL]:
            yield tested.difference(
                f"translation-model-against-{arm}",
                f"The model against: {titles[arm].removeprefix('Control: ')}",
                DIFFERENCES,
                columns[MODEL],
                columns[arm],
            )
        yield from self._patterns(real, train, test, how, tested.boot, perceptual)
        yield Row(id="translation-task", title="Task", group=GROUP, note=cut(_task(how)))
        if (told := missing or _network(perceptual, self.options)) is not None:
            yield Row(id="translation-LPIPS", title=PERCEPTUAL.name, group=GROUP, note=cut(told))

    def _perceptual(self) -> tuple[Perceptual | None, str | None]:
        """The network of LPIPS; or None, and why where the study asks for it."""
        if self.options.perceptual is None:
            return None, None
        try:
            return Perceptual.of(self.options.perceptual), None
        except DataError as error:
            return None, f"{PERCEPTUAL.name}: not computed. {error}"

    def _patterns(
        self,
        real: Real,
        train: Cases,
        test: Cases,
        how: Translating,
        boot: Replicates,
        perceptual: Perceptual | None,
    ) -> Iterator[Row]:
        """A row for each choice of sources, where some may be missing: on all patients who have them."""
        if set(how.needed) >= set(how.sources):
            return
        for sources in choices(how, test):
            own = test.having(sources)
            tested = Tested([site.site for site in real.sites], own.owners, boot)
            columns: dict[str, FloatArray | None] = dict.fromkeys(
                [*names(perceptual is not None), "MAE, linear map"]
            )
            if own.n_images:
                columns |= compared(how.make(own.given(sources)), own, perceptual)
                columns["MAE, linear map"] = compared(linear(train, own, sources), own)[MAE]
            yield tested.row(
                f"translation-given-{plain('+'.join(sources))}",
                f"Given {' and '.join(sources)} alone"
                if len(sources) < len(how.sources)
                else "Given all sources",
                PATTERNS,
                columns,
            )


def compared(made: Tensor, test: Cases, perceptual: Perceptual | None = None) -> dict[str, FloatArray | None]:
    """Numbers of each case by name, LPIPS among them where its network is given."""
    body = body_of(test.target, *(test.own(field.name) for field in test.task.sources))
    return dict(similarity_by_case(made, test.target, body, test.patients, perceptual))


def controls(train: Cases, test: Cases) -> dict[str, Tensor]:
    """Images of each control: sources that every test image has, the linear map, the mean."""
    made = {
        LINEAR: _linear_by_pattern(train, test),
        MEAN: mean_target(train.target, test.n_images),
    }
    for field in test.task.sources:
        if bool(test.there[field.name].all()):
            made[f"source-{plain(field.name)}"] = test.own(field.name)
    return made


def linear(train: Cases, test: Cases, sources: Sequence[str]) -> Tensor:
    """The best linear map of these sources, fitted to the training images that have them all."""
    known = train.having(sources)
    fitted = LinearMap.fit(along_channels([known.pictures[name] for name in sources]), known.target)
    return fitted(along_channels([test.pictures[name] for name in sources]))


def _linear_by_pattern(train: Cases, test: Cases) -> Tensor:
    names = [field.name for field in test.task.sources]
    there = torch.stack([test.there[name] for name in names], dim=1)
    made = torch.full_like(test.target, -1.0)
    for pattern in there.unique(dim=0):
        own = (there == pattern).all(dim=1)
        sources = [name for name, known in zip(names, pattern.tolist(), strict=True) if known]
        if sources:
            made[own] = linear(train, test.only(own), sources)
    return made


def choices(how: Translating, test: Cases) -> list[tuple[str, ...]]:
    """The choices of sources that are measured, the fewest sources first; all have those that nobody may lack."""
    needed = [name for name in how.sources if name in how.needed]
    free = [name for name in how.sources if name not in how.needed]
    if len(free) <= MOST_SOURCES:
        subsets = chain.from_iterable(combinations(free, n) for n in range(len(free) + 1))
        chosen = [tuple(name for name in how.sources if name in needed or name in own) for own in subsets]
    else:
        there = torch.stack([test.there[name] for name in how.sources], dim=1).unique(dim=0).tolist()
        chosen = [tuple(n for n, known in zip(how.sources, row, strict=True) if known) for row in there]
    return sorted((own for own in chosen if own), key=len)


def worth(
    columns: Mapping[str, Mapping[str, FloatArray | None]], titles: Mapping[str, str], tested: Tested
) -> Finding:
    """PASS where the model's MAE and NMSE are surely below those of every control, by the intervals of the differences.

    Both, since a model that makes the commonest value everywhere has a small MAE, and the mean target a larger one.
    """
    few = too_few(tested.cases)
    if few is not None or MODEL not in columns:
        return Finding(verdict=Verdict.INSUFFICIENT, sentence=few or "There is no test patient.")
    for arm in columns:
        if arm == MODEL:
            continue
        leads = [
            score_of(less(columns[MODEL][name], columns[arm][name]), tested.boot) for name in (MAE, NMSE)
        ]
        if any(lead is None or lead.high >= 0 for lead in leads):
            against = titles[arm].removeprefix("Control: ")
            sentence = f"The model's error (MAE and NMSE) is not surely below that of a control ({against})."
            return Finding(verdict=Verdict.REVIEW, sentence=cut(sentence))
    sentence = (
        "The model's error (MAE and NMSE) is below that of its sources, their linear map and the mean target."
    )
    return Finding(verdict=Verdict.PASS, sentence=sentence)


def plain(name: str) -> str:
    """A contrast's name as part of a row's id."""
    return re.sub(r"[^A-Za-z0-9_+-]+", "-", name)[:64]


def _network(perceptual: Perceptual | None, options: EvaluationSection) -> str | None:
    """What LPIPS was computed with: its numbers mean nothing without."""
    if perceptual is None or options.perceptual is None:
        return None
    asked = options.perceptual
    return (
        f"{PERCEPTUAL.name}: {PERCEPTUAL.about}; lower is better. By {asked.network} with weights of sha256 "
        f"{asked.sha256} ({asked.source}), of images in the window of the study, unresized; only distances with equal "
        f"weights can be compared. Images with a side below {perceptual.least_side} pixels have none."
    )


def _task(how: Translating) -> str:
    told = "; ".join(f"{each.name}: {each.about}" for each in measures(False))
    return (
        f"Make {how.target} from {' and '.join(how.sources)} of held-out patients and compare it with their own, a "
        f"patient a case. {told}. The linear map and the mean are of training patients. Lower is better of MAE, MSE "
        "and NMSE, higher of the others."
    )
