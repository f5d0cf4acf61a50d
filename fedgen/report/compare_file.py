"""What a comparison of runs says, as a program reads it: `compare.json` and `fedgen compare --json`."""

from __future__ import annotations

from typing import ClassVar, Literal

from fedgen.report.rank_agreement import RankAgreement
from fedgen.run.row import Verdict
from fedgen.run.run_file import RunFile
from fedgen.schema.section import Section


class Worth(Section):
    """What a release is worth, as its evaluation says.

    Attributes:
        measure: such as `TSTR AUROC`.
        over: all test patients, or the mean over sites.
        value, low, high: with the interval over patients.
        real: the same of training on real images; None where there is none.
        control: the same of a control that knows no image; None where there is none.
    """

    measure: str
    over: str
    value: float
    low: float | None
    high: float | None
    real: float | None
    control: float | None


class FidelityNumber(Section):
    """One measure of how like synthetic images are to real ones, of a run or averaged over runs.

    Attributes:
        measure: such as `MMD`.
        value: of synthetic and real images, mean over the runs.
        low, high: limits of its interval over the choice of real patients; of several runs the least and the largest.
        floor: the same of disjoint real patients, mean over the runs; null where it is not known.
        runs: how many it is a mean over.
        std: standard deviation over them; null of a single one.
    """

    measure: str
    value: float
    low: float | None
    high: float | None
    floor: float | None
    runs: int = 1
    std: float | None = None


class MeasuredFidelity(Section):
    """How like the images of one run are to real ones, in the features of one extractor.

    Attributes:
        extractor: name.
        features: sha256 of what makes them; only numbers of equal features can be compared.
        over: all patients in one place, or the mean over sites, each of which has a floor of its own.
        sites: over which it is a mean; empty of all patients in one place.
        n: images of either kind behind a value.
        numbers: one a measure.
    """

    extractor: str
    features: str
    over: Literal["all patients", "mean over sites"]
    sites: tuple[str, ...]
    n: int
    numbers: tuple[FidelityNumber, ...]


class AveragedFidelity(Section):
    """The same of runs of one study that differ in the seed alone.

    Attributes:
        question, line, name, asked, epsilon: as of `averaged`.
        extractor, features, over, sites: as of `runs[].fidelity`.
        fewest, most: images behind a value, of all runs that are drawn together.
        runs: their folders.
        numbers: one a measure.
    """

    question: str
    line: str
    name: str
    asked: float | None
    epsilon: float | None
    extractor: str
    features: str
    over: Literal["all patients", "mean over sites"]
    sites: tuple[str, ...]
    fewest: int
    most: int
    runs: tuple[str, ...]
    numbers: tuple[FidelityNumber, ...]

    def get(self, measure: str) -> FidelityNumber | None:
        """The number of that measure."""
        return next((each for each in self.numbers if each.measure == measure), None)


class ComparedRun(Section):
    """One run of a comparison.

    Attributes:
        run: its folder.
        study: name.
        question: of the data, task and judge, a short hash: equal where runs may be compared.
        line: of everything but seed and epsilon, a short hash.
        family, mode, seed: of the study.
        asked: epsilon that the study asked for; None without privacy.
        epsilon, delta: what was spent at most; None without privacy, or where it is not recorded.
        sites, patients: how many, in training.
        verdict: of the audit; None where it has not run.
        worth: None where it is not known.
        fidelity: by each extractor of its evaluation.
        missing: stages that have not run, and what else is not there.
    """

    run: str
    study: str
    question: str
    line: str
    family: str
    mode: str
    seed: int
    asked: float | None
    epsilon: float | None
    delta: float | None
    sites: int
    patients: int
    verdict: Verdict | None
    worth: Worth | None
    fidelity: tuple[MeasuredFidelity, ...] = ()
    missing: tuple[str, ...]


class Averaged(Section):
    """Runs of one study that differ in the seed alone.

    Attributes:
        name: family and mode, with the keys that tell two of them apart.
        question, line, asked: as of each run.
        epsilon: the largest that one of them spent.
        runs: their folders.
        scored: how many of them have a known worth.
        measure, over: of the worth.
        value: mean over the runs whose worth is known; None where none is.
        std: standard deviation over them; None of a single one.
        low, high: the least and the largest limit of their intervals over patients.
        real, control: means.
        verdict: the worst.
    """

    name: str
    question: str
    line: str
    asked: float | None
    epsilon: float | None
    runs: tuple[str, ...]
    scored: int
    measure: str | None
    over: str | None
    value: float | None
    std: float | None
    low: float | None
    high: float | None
    real: float | None
    control: float | None
    verdict: Verdict | None


class CompareFile(RunFile):
    """`compare.json`.

    Attributes:
        runs: each run.
        averaged: what each study is worth, over its runs.
        fidelity: how like its images are to real ones, by each extractor, over those of its runs that may be averaged.
        agreement: of extractors about the order of the runs.
    """

    name: ClassVar[str] = "compare.json"

    runs: tuple[ComparedRun, ...]
    averaged: tuple[Averaged, ...]
    fidelity: tuple[AveragedFidelity, ...] = ()
    agreement: tuple[RankAgreement, ...]

    @property
    def questions(self) -> list[str]:
        """Those of the runs, in the order in which they came."""
        return list(dict.fromkeys(run.question for run in self.runs))
