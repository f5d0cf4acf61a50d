"""The threat model as a card: who attacks with what, which rows answer it, and what the privacy statement covers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from fedgen.report.numbers import epsilon
from fedgen.report.traces import once
from fedgen.run.privacy_file import PrivacyFile
from fedgen.run.row import Row
from fedgen.run_view import RunView
from fedgen.study.modes import is_private

#: Ids of audits whose attacker has updates of the training; who is read in this order, and has the model where no
#: other pattern fits.
_UPDATES = re.compile(r"update|gradient")
#: Ids of what checks the audits themselves.
_CHECKS = re.compile(r"blind|control|duplicate")
#: Ids of audits whose attacker has the released images alone.
_IMAGES = re.compile(
    r"release|cop(y|ies)|neighbour|nearest|sample|monte|duplicat|density|authentic|gap|novel|fld"
)


@dataclass(frozen=True)
class Threat:
    """One attacker.

    Attributes:
        who: in a few words.
        has: what the attacker sees.
        tries: what for.
        rows: audits that tried the same.
        unanswered: what to read where no audit did.
        covered: what the privacy statement says about it.
    """

    who: str
    has: str
    tries: str
    rows: tuple[Row, ...]
    unanswered: str
    covered: str


def checks(rows: Sequence[Row]) -> tuple[Row, ...]:
    """The rows that say whether the audits can be trusted, once each."""
    return tuple(row for row in once(rows) if _CHECKS.search(row.id))


def threats(view: RunView, rows: Sequence[Row]) -> list[Threat]:
    """The attackers of this run, and the rows that answer each.

    Args:
        view: the run.
        rows: of its audit as the page shows them; none where it has not run.
    """
    answers = [row for row in once(rows) if not _CHECKS.search(row.id)]
    updates = tuple(row for row in answers if _UPDATES.search(row.id))
    images = tuple(row for row in answers if row not in updates and _IMAGES.search(row.id))
    model = tuple(row for row in answers if row not in updates and row not in images)
    covered, secure = _covered(view.privacy), view.summary.secure_aggregation
    hidden = secure is not None and secure.enabled
    found = [
        Threat(
            "The coordinator",
            "the sum of the sites\u2019 updates in each round, and the model"
            if hidden
            else "the update of each single site in each round, and the model",
            "to make images of patients from updates, or to learn who took part",
            updates,
            "No audit attacked updates. "
            + ("Secure aggregation kept those of single sites from it." if hidden else "Nothing hid them."),
            covered,
        ),
        Threat(
            "Another hospital of the study",
            "the model after each round, and what it sent itself",
            "to learn who took part elsewhere",
            (),
            "No audit lets one site attack another\u2019s patients; the attacks on the model come nearest.",
            covered,
        ),
    ]
    if not view.translates:
        found.append(
            Threat(
                "Whoever receives the images",
                "the synthetic images, and perhaps other images of a patient",
                "to find a patient\u2019s picture among them, or to learn who took part",
                images,
                "No audit of the images.",
                covered,
            )
        )
    found.append(
        Threat(
            "Whoever receives the model",
            "its weights, and perhaps other images of a patient",
            "to learn who took part, or to draw training images from it",
            model,
            "No audit of the model.",
            covered,
        )
    )
    found.append(
        Threat(
            "Whoever reads this page",
            "the numbers of the audit and of the evaluation",
            "to learn something of the patients behind them",
            (),
            "Numbers about fewer patients than the study allows stay at their site.",
            covered
            if view.privacy is not None and view.privacy.evidence is not None
            else "Not covered: they are computed from patients, and no epsilon of the training speaks of them.",
        )
    )
    return found


def _covered(privacy: PrivacyFile | None) -> str:
    if privacy is None:
        return "Nothing is recorded of the privacy of this run."
    if not is_private(privacy.mode) or privacy.epsilon is None:
        return "Not covered: training was without differential privacy."
    return f"Covered with \u03b5 {epsilon(privacy.epsilon)}, as far as the statement below goes."
