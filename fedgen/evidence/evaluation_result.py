"""The result of an evaluation and its JSON form, `evaluation.json`."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from fedgen.evidence.downstream.arms import TITLES
from fedgen.evidence.downstream.downstream import Arm, Cell, Downstream
from fedgen.evidence.metrics.diversity import ClassDiversity
from fedgen.evidence.metrics.fidelity import FidelityRow

Json = dict[str, Any]


@dataclass(frozen=True)
class Counts:
    """How much was evaluated."""

    train_images: int
    train_patients: int
    test_images: int
    test_patients: int
    synthetic_images: int


@dataclass(frozen=True)
class EvaluationResult:
    """Everything the report shows of an evaluation.

    Attributes:
        n: counts.
        fidelity: FID and KID of every extractor.
        scales: scales of the MS-SSIM.
        diversity: one entry a class.
        task: what the classifiers do, in a sentence.
        steps, seeds: of the classifiers.
        sites: site names, in the order of every arm's `per_site`.
        downstream: arms and differences.
        limits: what these numbers do not say, in sentences.
        seed: of the whole evaluation.
    """

    n: Counts
    fidelity: tuple[FidelityRow, ...]
    scales: int
    diversity: tuple[ClassDiversity, ...]
    task: str
    steps: int
    seeds: int
    sites: tuple[str, ...]
    downstream: Downstream
    limits: tuple[str, ...]
    seed: int

    def to_json(self) -> Json:
        """The content of `evaluation.json`; an undefined number is null, with a note that says why."""
        return {
            "n": asdict(self.n),
            "fidelity": [_fidelity(row) for row in self.fidelity],
            "diversity": {
                "metric": "MS-SSIM",
                "scales": self.scales,
                "classes": [_diversity(entry) for entry in self.diversity],
            },
            "downstream": {
                "task": self.task,
                "steps": self.steps,
                "seeds": self.seeds,
                "arms": [self._arm(arm) for arm in self.downstream.arms],
                "differences": [asdict(difference) for difference in self.downstream.differences],
            },
            "limits": list(self.limits),
            "seed": self.seed,
        }

    def _arm(self, arm: Arm) -> Json:
        rows = zip(self.sites, self.downstream.test_patients, arm.per_site, strict=True)
        return {
            "arm": arm.arm,
            "title": TITLES[arm.arm],
            "n_train": arm.n_train,
            "pooled": _cell(arm.pooled),
            "per_site": [{"site": site, "test_patients": n, **_cell(cell)} for site, n, cell in rows],
        }


def _fidelity(row: FidelityRow) -> Json:
    values = asdict(row)
    extractor = {
        "name": values.pop("extractor"),
        "hash": values.pop("hash"),
        "dimensions": values.pop("dimensions"),
    }
    return {"extractor": extractor, **values}


def _diversity(entry: ClassDiversity) -> Json:
    values = asdict(entry)
    return {"class": values.pop("name"), **values}


def _cell(cell: Cell) -> Json:
    scores = {metric: None if score is None else asdict(score) for metric, score in cell.scores.items()}
    return {**scores, "note": cell.note}
