"""Who the patient of an image is where no table and no tag says so: a rule that a person has to state."""

from __future__ import annotations

import re
from collections.abc import Sequence

from fedgen.data.findings import DataFinding, plural
from fedgen.data.index import IndexEntry
from fedgen.data.layouts.layout import Scan

#: The rule that each image is a patient.
IMAGE = "image"


def patient_by(rule: str | None, address: str) -> str | None:
    """The patient of the image at `address`; None where the rule finds none in it.

    Args:
        rule: `image`, also where None was stated; or a regular expression whose first group, or all of it, is the
            patient.
        address: the image's path below the folder.
    """
    if rule is None or rule == IMAGE:
        return address
    found = re.search(rule, address)
    if found is None:
        return None
    return (found.group(1) if found.re.groups else found.group(0)) or None


def rule_finding(rule: str | None, entries: Sequence[IndexEntry]) -> DataFinding:
    """What follows from the rule."""
    images = sum(entry.n_images for entry in entries)
    if rule is None or rule == IMAGE:
        sentence = (
            f"Nothing names patients, so each of {plural(images, 'image')} counts as one: where a patient has several, "
            "epsilon holds for an image alone, and a patient may be in training and in the test."
        )
        return DataFinding("image_is_patient", sentence, images)
    patients = len({entry.patient for entry in entries})
    sentence = (
        f"{plural(patients, 'patient is', 'patients are')} told apart by data.patient_rule in the names of "
        f"{plural(images, 'image')}: people with the same text there count as one."
    )
    return DataFinding("patient_from_name", sentence, patients)


def by_rule(result: Scan, rule: str | None) -> None:
    """Note in a scan by which rule its patients were told apart."""
    result.patients_assumed = rule is None
    if result.entries:
        result.findings.append(rule_finding(rule, result.entries))
