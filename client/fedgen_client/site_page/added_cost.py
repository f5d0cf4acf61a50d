"""What a study would add to a cohort's budget, by what it promises: nothing of it is counted anew."""

from __future__ import annotations

from fedgen_client.site_facts import CohortFacts, StudyFacts
from fedgen_client.site_page.site_state import Addition


def addition(cohort: CohortFacts, study: StudyFacts) -> Addition:
    """What a study would add to a cohort's budget at most.

    The sum of two epsilons is above that of the two studies together, at one delta. A study that counts at a larger
    delta than the cohort promises nothing that could be added: its number is then not known here.
    """
    spent = cohort.of(study.study)
    if spent is not None and spent.kept_free is not None:
        return Addition(stage="admitted", epsilon=0.0)
    if spent is not None and spent.rounds >= study.rounds:
        return Addition(stage="done", epsilon=0.0)
    if cohort.delta is None or study.epsilon is None or study.delta is None or study.delta > cohort.delta:
        return Addition(epsilon=None)
    done = 0.0 if spent is None else spent.epsilon
    if done is None or cohort.promised is None:
        return Addition(epsilon=None)
    adds = max(0.0, study.epsilon - done)
    return Addition(
        epsilon=adds, left=None if cohort.limit is None else cohort.limit - cohort.promised - adds
    )
