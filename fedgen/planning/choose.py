"""`model.family: auto`: the plan settles the family, by public numbers of patients, before a study is signed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fedgen.errors import StudyError
from fedgen.planning.alternatives import Alternative, alternatives, most_telling
from fedgen.planning.patients import training_patients
from fedgen.planning.published import FAMILY
from fedgen.planning.recommend import Recommendation, recommended
from fedgen.study.load import Choose
from fedgen.study.study import Study


def chooser(given: Sequence[int] = (), *, phantom: bool = True) -> Choose:
    """What settles `model.family: auto`.

    Args:
        given: training patients of each site, as a person gave them; empty to take what the study says.
        phantom: whether the study's phantom, where it has one, is what will be trained on.
    """

    def choose(variants: Mapping[str, Study]) -> tuple[str, str]:
        some = next(iter(variants.values()))
        if not some.privacy.private:
            raise StudyError(
                "model.family is auto, which weighs signal against noise, and privacy.mode none has no noise: name a "
                "family."
            )
        patients = training_patients(some, given, phantom=phantom)
        found = alternatives(variants, patients)
        return settled(recommended(found, (FAMILY,)), found, patients)

    return choose


def settled(
    recommendation: Recommendation, found: Sequence[Alternative], patients: Sequence[int]
) -> tuple[str, str]:
    """The family of one study, and why, as the study will say it.

    One study cannot be two, so of two stages it is the first; and where nothing is worth its epsilon it is the sum all
    the same, before which a person is asked.

    Raises:
        StudyError: no private family suits the study.
    """
    take, reason = recommendation.take, recommendation.reason
    if take is not None and take.kind == "sum then steps":
        reason = f"{reason}; this one study is the sum alone, at its whole epsilon"
    if take is None:
        take = most_telling([each for each in found if each.kind == "sum"])
    if take is None:
        why = "; ".join(f"{each.name}: {each.why_not}" for each in found) or "none is installed"
        raise StudyError(f"model.family is auto, and no private family suits the study ({why}).")
    family = take.families[0]
    n = len(patients)
    of = f"with {sum(patients)} training patients of {n} {'site' if n == 1 else 'sites'}"
    return family, f"{family}, because {of} {_on_one_line(reason)} (chosen by auto)."


def _on_one_line(text: str) -> str:
    return " ".join(text.split())
