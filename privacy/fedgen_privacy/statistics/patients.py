"""From values of images to values of patients, the unit of every test."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

Aggregate = Literal["mean", "max"]


def per_patient(
    values: NDArray[np.float64], patients: NDArray[np.int64], how: Aggregate
) -> NDArray[np.float64]:
    """One value a patient, in ascending order of the patient numbers.

    Args:
        values: (N,) one value an image.
        patients: (N,) patient number of each image.
        how: `mean`, or `max` for the image that gives the patient away most.

    Returns:
        (P,) array.

    Raises:
        ValueError: the shapes differ or there is no image.
    """
    if values.ndim != 1 or values.shape != patients.shape:
        raise ValueError(f"values {values.shape} and patients {patients.shape} must be equal vectors")
    if values.size == 0:
        raise ValueError("there is no image")
    order = np.argsort(patients, kind="stable")
    _, start, count = np.unique(patients[order], return_index=True, return_counts=True)
    if how == "max":
        return np.maximum.reduceat(values[order], start)
    return np.add.reduceat(values[order], start) / count


def one_image_each(patients: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
    """Index of one image of each patient, uniform among the patient's images; shape (P,), by patient number.

    Images of a patient resemble each other, so a test that counted each of them as a new observation
    would be too sure of itself.
    """
    shuffled = rng.permutation(patients.size)
    _, first = np.unique(patients[shuffled], return_index=True)
    return shuffled[first]


def exchanged(
    owners: NDArray[np.int64],
    inside: NDArray[np.bool_],
    members: int,
    non_members: int,
    permutations: int,
    rng: np.random.Generator,
) -> tuple[float | None, float, float]:
    """Permutation test over patients: are the images that point at a patient at members more than by chance?

    Where what made the images does not depend on who was held out, any choice of as many patients for the members
    would have drawn as many images.

    Args:
        owners: (k,) the patient that each image points at.
        inside: (k,) whether that patient is a member.
        members, non_members: how many there are.
        permutations: of patients.
        rng: source of the permutations.

    Returns:
        Share of the images that point at a member (None without an image), the share that would by chance, and the
        one-sided p-value.
    """
    total = members + non_members
    if owners.size == 0:
        return None, members / total, 1.0
    _, count = np.unique(owners, return_counts=True)
    # Patients at whom nothing points add nothing, and who they are does not matter.
    drawn = np.zeros(total, dtype=np.int64)
    drawn[: count.size] = count
    outside = int(np.count_nonzero(~inside))
    at_most = sum(
        int(drawn[rng.choice(total, non_members, replace=False, shuffle=False)].sum()) <= outside
        for _ in range(permutations)
    )
    return float(inside.mean()), members / total, (1 + at_most) / (1 + permutations)
