"""Patients who must share a part of the split, because they may be one person or share a picture, and why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from fedgen.data.duplicates import Pairs, across_patients, exact_groups, near_pairs, pairs_of_groups, telling
from fedgen.data.findings import DataFinding, plural
from fedgen.data.fingerprint import Fingerprints
from fedgen.data.index import PatientIndex
from fedgen.data.people import one_person

Groups = tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Likeness:
    """Which of N images are one picture.

    Attributes:
        equal: (pairs, 2) images that are equal, each group as pairs of its first with every other one.
        near: (pairs, 2) images that are nearly equal, see `duplicates.near_pairs`.
    """

    equal: Pairs
    near: Pairs

    @classmethod
    def of(cls, fingerprints: Fingerprints) -> Likeness:
        """Every pair is compared."""
        return cls(pairs_of_groups(exact_groups(fingerprints)), near_pairs(fingerprints))


def tied_patients(index: PatientIndex, patients: Sequence[str], likeness: Likeness) -> Groups:
    """Groups of patients who must share a part: connected by a picture, by the form of their identities, or by a study.

    Args:
        index: the patients.
        patients: identity of the patient of each of the N images.
        likeness: of the same N images.

    Returns:
        Groups of two or more patients, each sorted, in alphabetical order.
    """
    pictures = np.concatenate(
        [across_patients(likeness.equal, patients), telling(likeness.near, patients)]
    ).tolist()
    links = [(patients[i], patients[j]) for i, j in pictures]
    links += [(group[0], other) for group in one_person(index.entries) for other in group[1:]]
    return connected(links)


def connected(links: Sequence[tuple[str, str]]) -> Groups:
    """The connected components of links between names; each sorted, in alphabetical order."""
    if not links:
        return ()
    names, numbers = np.unique(np.array(links, dtype=object).ravel(), return_inverse=True)
    ends = numbers.reshape(-1, 2)
    graph = coo_array((np.ones(len(ends)), (ends[:, 0], ends[:, 1])), shape=(len(names),) * 2)
    _, component = connected_components(graph, directed=False)
    groups: dict[int, list[str]] = {}
    for name, number in zip(names.tolist(), component.tolist(), strict=True):
        groups.setdefault(number, []).append(name)
    return tuple(sorted(tuple(sorted(group)) for group in groups.values() if len(group) > 1))


def picture_findings(
    patients: Sequence[str], labels: NDArray[np.int64], likeness: Likeness
) -> list[DataFinding]:
    """Patients who share pictures, and equal pictures of different classes.

    Args:
        patients: identity of the patient of each of the N images.
        labels: (N,) class of each.
        likeness: of the same N images.
    """
    pairs = np.concatenate([across_patients(likeness.equal, patients), telling(likeness.near, patients)])
    groups = connected([(patients[i], patients[j]) for i, j in pairs.tolist()])
    findings = []
    if groups:
        count = sum(len(group) for group in groups)
        sentence = (
            f"{plural(count, 'patient')} share equal or nearly equal images with another and were kept in one part "
            f"(in {plural(len(groups), 'group')}): each group may be one person under several identities; "
            "`fedgen data inspect` lists them."
        )
        findings.append(DataFinding("joined_patients", sentence, count))
    return [*findings, *other_label_findings(labels, likeness.equal)]


def other_label_findings(labels: NDArray[np.int64], equal: Pairs) -> list[DataFinding]:
    """Equal images of different classes, at least one of which is wrong."""
    count = int((labels[equal[:, 0]] != labels[equal[:, 1]]).sum())
    if not count:
        return []
    sentence = (
        f"{plural(count, 'image equals', 'images equal')} another one of a different class, pixel for pixel: correct "
        "the labels, for one of the two is wrong."
    )
    return [DataFinding("equal_images_other_labels", sentence, count)]
