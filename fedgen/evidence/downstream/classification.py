"""Downstream use as rows: a row an arm, one a difference between arms, and one that says what the task is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from fedgen.data.site_data import LabelledImages
from fedgen.evidence.downstream.arms import SITE_ALONE, SITE_ALONE_TITLE, TITLES
from fedgen.evidence.downstream.believed import real_task, synthetic_worth
from fedgen.evidence.downstream.cells import METRICS, SAID
from fedgen.evidence.downstream.downstream import Arm, CellScores, Difference
from fedgen.evidence.downstream.taught_arms import taught_arms
from fedgen.evidence.measure import AuditedModel, Measure, Real
from fedgen.run.row import Finding, Row, SitePart, Value, cut
from fedgen.study.evaluation_section import EvaluationSection

GROUP, DIFFERENCES = "downstream", "differences"
PATIENTS = "test_patients"
#: Of a score, where its chance level does not depend on the number of classes.
CHANCE = dict.fromkeys(METRICS.keys() - {"balanced_accuracy"}, 0.5)
#: Scores of several sites together; a single one has them already.
WITHIN = tuple(name for name, (metric, _) in METRICS.items() if metric == "within")


@dataclass(frozen=True)
class Classification(Measure):
    """Classifiers trained on each arm, tested on real patients."""

    id = "downstream"
    title = "Downstream use"
    order = 3
    options: EvaluationSection

    def measure(
        self, real: Real, made: LabelledImages, model: AuditedModel | None, seed: int
    ) -> Iterator[Row]:
        """A row an arm with the scores of each site, then the differences of arms, then the task."""
        options = self.options
        found = taught_arms(real, made, options, seed)
        names = [site.site for site in real.sites]
        findings = {"TRTR": real_task(found), "TSTR": synthetic_worth(found)} if len(real.classes) > 1 else {}
        for arm in found.arms:
            yield _arm(arm, names, found.test_patients, findings.get(arm.arm, ()))
        yield from _differences(found.differences, sum(found.test_patients))
        yield Row(
            id="downstream-task",
            title="Task",
            group=GROUP,
            note=cut(_task(real.classes, len(names), options.steps, options.seeds)),
        )


def _arm(arm: Arm, sites: Sequence[str], patients: Sequence[int], findings: tuple[Finding, ...]) -> Row:
    per_site = zip(sites, patients, arm.per_site, strict=True)
    return Row(
        id=arm.arm,
        title=arm.arm,
        group=GROUP,
        about=SITE_ALONE_TITLE if arm.arm == SITE_ALONE else TITLES[arm.arm],
        values=(
            *_scores(arm.pooled, within=len(sites) > 1),
            Value(name="training images", value=arm.n_train),
        ),
        per_site=tuple(
            SitePart(site=site, values=_scores(cell), n={PATIENTS: n}, note=_note(cell))
            for site, n, cell in per_site
        ),
        n={PATIENTS: sum(patients)},
        findings=findings,
        note=_note(arm.pooled),
    )


def _note(cell: CellScores) -> str | None:
    return None if cell.note is None else cut(cell.note)


def _scores(cell: CellScores, *, within: bool = False) -> tuple[Value, ...]:
    made = []
    for metric in METRICS:
        if metric in WITHIN and not within:
            continue
        score = cell.scores[metric]
        limits = (None, None) if score is None else (score.low, score.high)
        value = _value(metric, None if score is None else score.value, *limits)
        std = None if score is None else score.std_seeds
        made.append(value.model_copy(update={"std": std, "chance": CHANCE.get(metric)}))
    return tuple(made)


def _value(metric: str, value: float | None, low: float | None, high: float | None) -> Value:
    return Value(name=SAID[metric], value=value, low=low, high=high, pool="mean", weight=PATIENTS)


def _differences(differences: Sequence[Difference], patients: int) -> Iterator[Row]:
    pairs = dict.fromkeys((each.arm, each.against) for each in differences)
    for arm, against in pairs:
        yield Row(
            id=f"{arm}-against-{against}",
            title=f"{arm} against {against}",
            group=DIFFERENCES,
            values=tuple(
                _value(each.metric, each.value, each.low, each.high)
                for each in differences
                if (each.arm, each.against) == (arm, against) and each.metric not in WITHIN
            ),
            n={PATIENTS: patients},
        )


def _task(classes: Sequence[str], n_sites: int, steps: int, seeds: int) -> str:
    if len(classes) < 2:
        return f"None: the study has one class, {classes[0]}."
    where = f"held-out patients of {n_sites} sites" if n_sites > 1 else "the site's held-out patients"
    seed = "seed" if seeds == 1 else "seeds"
    return (
        f"Tell {', '.join(classes[:-1])} from {classes[-1]} in an image, tested on {where}. The network is trained for "
        f"up to {steps} steps, as many as suit a quarter of the arm's training patients, held out for that; mean of "
        f"{seeds} {seed}. The simple judge is a logistic regression on radiomics and a thumbnail, the texture "
        "judge one on histograms of oriented gradients."
    )
