"""The assessment as one Markdown text, in the order of Art. 35(7) GDPR, readable as it is in a terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from fedgen import __version__
from fedgen.planning.dpia.blanks import MARK, blank
from fedgen.planning.dpia.figures import PlannedFigures, figures
from fedgen.planning.dpia.measures import measures, numbers
from fedgen.planning.dpia.processing import data, purpose, recipients, retention
from fedgen.planning.dpia.residual_risk import RemainingRisk, risks, weak
from fedgen.study.show import study_hash
from fedgen.study.study import Study

WIDTH = 110


def impact_assessment(study: Study, patients: Sequence[int]) -> str:
    """The draft: what the study says is filled in, what only the hospital knows is a marked blank.

    Args:
        study: resolved, as it would run.
        patients: training patients of each site; empty to take the study's own, or to leave the numbers open.

    Raises:
        DataError, PrivacyRefusedError, StudyError: a site would refuse the study, see `figures`.
    """
    found = figures(study, patients)
    loud = warnings(found)
    parts = [
        f"# Data protection impact assessment: {study.study.name} (draft)",
        _wrapped(
            f"Made by `fedgen study dpia`, fedgen {__version__}, of the study with sha256 {study_hash(study)}: it is "
            "about this study and no other. What the study says is filled in. What only the hospital knows is marked "
            f"{MARK} ...]: the draft is finished when no such mark is left. It is no legal advice, and it approves "
            "nothing."
        ),
        "## Read this first",
        _listed(loud)
        if loud
        else _wrapped(
            "Every protection that the study can switch is on. What remains all the same is in section 6."
        ),
        "## 1. Purpose and legal basis",
        _listed(purpose(study)),
        "## 2. Data and whose they are",
        _listed(data(found)),
        "## 3. Recipients",
        _listed(recipients(found)),
        "## 4. Measures",
        _listed(measures(found)),
        "## 5. Privacy in numbers",
        _wrapped("As `fedgen privacy plan` computes them; epsilon is rounded up."),
        _listed(numbers(found)),
        "## 6. Residual risk",
        *[_risk(each) for each in risks(found)],
        "## 7. Retention and rights",
        _listed(retention()),
        "## 8. Decision",
        _listed(
            [
                f"Views of the people concerned, or why they were not asked: {blank('Art. 35(9)')}",
                f"Advice of the data protection officer: {blank('name, date, advice')}",
                f"Remaining risk accepted, or prior consultation (Art. 36): {blank('decision and reason')}",
                f"Controller: {blank('name, date, signature')}",
                f"To be looked at again: {blank('when; at the latest when another study of them is offered')}",
            ]
        ),
    ]
    return "\n\n".join(parts) + "\n"


def warnings(found: PlannedFigures) -> list[str]:
    """What is switched off or weak in this study, loudest first; empty where nothing is."""
    study = found.study
    privacy, said = study.privacy, []
    if not privacy.private:
        said.append(
            "THIS STUDY HAS NO DIFFERENTIAL PRIVACY. Nothing bounds what is told of a single patient."
        )
    if not study.aggregation.secure:
        said.append("SECURE AGGREGATION IS OFF. The coordinator sees each hospital's own update.")
    if weak(study):
        said.append(
            f"EPSILON {privacy.epsilon:g} IS LARGE. By itself it excludes almost no attack (section 6)."
        )
    if privacy.allow_large_delta:
        said.append("A LARGE DELTA IS ACCEPTED. It permits publishing a whole patient.")
    if study.data.patient_rule == "image":
        said.append("EACH IMAGE COUNTS AS A PATIENT. Somebody with several images is promised less.")
    if privacy.mode == "distributed":
        said.append(
            "THE PROMISE RESTS ON THE OTHER SITES AND ON A COORDINATOR THAT FOLLOWS THE PROTOCOL (mode distributed)."
        )
    if study.evidence.privacy is None:
        said.append("AUDIT AND EVALUATION ARE NOT COVERED by any epsilon: their numbers are without noise.")
    if study.model.pretrained is not None or (
        study.model.prior is not None and study.model.prior.phantom is None
    ):
        said.append(
            "OTHER PEOPLE'S DATA are in what the study starts from, and no number here is about them."
        )
    if study.release.largest_epsilon is None:
        said.append("THE RELEASE HAS NO LIMIT OF EPSILON.")
    if privacy.accept_useless:
        said.append("NOTHING USEFUL IS ACCEPTED: the study would run even where patients pay for nothing.")
    if found.useless is not None:
        said.append(f"{found.useless}.")
    if privacy.private and found.forecast is None:
        said.append("THE NUMBERS ARE MISSING: give the training patients of each site with --patients.")
    return said


def _wrapped(text: str, first: str = "", later: str = "") -> str:
    return textwrap.fill(
        text,
        WIDTH,
        initial_indent=first,
        subsequent_indent=later,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _listed(lines: Sequence[str]) -> str:
    return "\n".join(_wrapped(line, "* ", "  ") for line in lines)


def _risk(risk: RemainingRisk) -> str:
    return "\n".join(
        [
            f"### {risk.risk}",
            "",
            _listed(
                [
                    f"Bounded by: {risk.bounded_by}.",
                    f"Remains: {risk.remains.rstrip('.')}.",
                    f"Likelihood and severity for the people concerned: {blank('low, medium or high, and why')}",
                ]
            ),
        ]
    )
