"""`fedgen.plan(...)`: what a study costs, what can be hoped for, and what would do better, before anything is spent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fedgen.api.study_given import StudySource, as_source
from fedgen.api.study_given import study as study_of
from fedgen.study.load import load_variants
from fedgen.study.study import Study

if TYPE_CHECKING:
    from fedgen.planning.compared import Comparison
    from fedgen.planning.forecast import Forecast
    from fedgen.schema.overrides import Overrides


@dataclass(frozen=True)
class StudyPlan:
    """A private study before it runs.

    Attributes:
        study: as it would run.
        forecast: noise, steps, epsilon by round, and signal to noise of each size of site.
        comparison: every means for the same patients, epsilon and delta, and which to take.
        mode_cost: what the other privacy mode would cost, in a sentence; None where there is none to compare with.
    """

    study: Study
    forecast: Forecast
    comparison: Comparison
    mode_cost: str | None

    @property
    def sentences(self) -> list[str]:
        """What the numbers mean, what is recommended, and why."""
        from fedgen.planning.compared import sentences as compared_sentences
        from fedgen.planning.words import sentences

        cost = [] if self.mode_cost is None else [self.mode_cost]
        return [*sentences(self.forecast), *cost, *compared_sentences(self.comparison, self.study)]

    def to_json(self) -> dict[str, Any]:
        """Everything, as plain values."""
        from fedgen.planning.compared import to_json as compared_json
        from fedgen.planning.words import to_json

        return {
            **to_json(self.forecast),
            **compared_json(self.comparison),
            "mode_cost": self.mode_cost,
        }


def plan(study: StudySource, overrides: Overrides = (), *, patients: Sequence[int] = ()) -> StudyPlan:
    """What a study's protection costs; no patient is read for it.

    Args:
        study: as `fedgen.study` takes it.
        overrides: values by dotted key.
        patients: training patients of each site; a phantom study knows its own.

    Raises:
        StudyError: the study is wrong or has no privacy, or nobody knows how many patients there are.
    """
    settled = study_of(study, overrides, patients=patients)

    # Not before: with planning come torch and MONAI, and a mistyped study is told without them.
    from fedgen.planning.compared import compare
    from fedgen.planning.forecast import forecast, require_privacy
    from fedgen.planning.mode_cost import mode_cost
    from fedgen.planning.patients import training_patients

    require_privacy(settled)
    sizes = training_patients(settled, patients)
    family = settled.model.family
    variants = {**load_variants(as_source(study), overrides), family: settled}
    return StudyPlan(
        settled, forecast(settled, sizes), compare(variants, sizes, family), mode_cost(settled, sizes)
    )
