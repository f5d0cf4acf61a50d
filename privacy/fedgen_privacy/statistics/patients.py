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
