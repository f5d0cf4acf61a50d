"""Verify a split on the images themselves, whoever made it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fedgen.data.duplicates import across_patients
from fedgen.data.findings import DataFinding, listing, plural
from fedgen.data.site_data import Part, SiteData
from fedgen.data.ties import Likeness
from fedgen.errors import DataError


def check_split(patients: Sequence[str], parts: NDArray[np.int64], likeness: Likeness) -> list[DataFinding]:
    """Check that nothing of a held-out patient is in training.

    Args:
        patients: identity of the patient of each of the N images, of all sites.
        parts: (N,) `Part` of each image.
        likeness: of the same N images.

    Returns:
        A finding where images of different parts and patients are nearly the same.

    Raises:
        DataError: a patient is in two parts, or equal images are in two parts.
    """
    names, numbers = np.unique(np.asarray(patients), return_inverse=True)
    lowest, highest = np.full(len(names), len(Part)), np.full(len(names), -1)
    np.minimum.at(lowest, numbers, parts)
    np.maximum.at(highest, numbers, parts)
    split = names[lowest != highest]
    if len(split):
        raise DataError(
            f"{plural(len(split), 'patient is', 'patients are')} in two parts of the split: "
            "split by patient, so that each is in one part at all sites."
        )
    exact = likeness.equal
    crossing = exact[parts[exact[:, 0]] != parts[exact[:, 1]]]
    if len(crossing):
        raise DataError(
            f"{plural(len(crossing), 'image of one part equals', 'images of one part equal')} one of another: "
            "keep patients who share images together (`fedgen data inspect` lists them)."
        )
    near = across_patients(likeness.near, patients)
    count = int((parts[near[:, 0]] != parts[near[:, 1]]).sum())
    if not count:
        return []
    sentence = (
        f"{plural(count, 'pair of images', 'pairs of images')} of different patients in different parts "
        "look nearly the same: see whether one person has two identities (`fedgen data inspect` lists them)."
    )
    return [DataFinding("near_duplicates_across_parts", sentence, count)]


def part_findings(sites: Sequence[SiteData]) -> list[DataFinding]:
    """Parts of a site that are empty or lack a class the site has."""
    empty, missing = [], []
    for site in sites:
        classes = set(site.labels.tolist())
        for part in Part:
            inside = set(site.part(part).labels.tolist())
            name = part.name.lower()
            if not inside:
                empty.append(f"{site.site} ({name})")
            elif classes - inside:
                missing.append(f"{site.site} ({name})")
    findings = []
    if empty:
        sentence = (
            f"{plural(len(empty), 'part is', 'parts are')} empty because the site has too few patients: "
        )
        findings.append(DataFinding("empty_part", f"{sentence}{listing(empty)}.", len(empty)))
    if missing:
        sentence = f"{plural(len(missing), 'part lacks', 'parts lack')} a class its site has: "
        findings.append(
            DataFinding("class_missing_from_part", f"{sentence}{listing(missing)}.", len(missing))
        )
    return findings
