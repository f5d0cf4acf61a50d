"""The pretend patients of a hospital, with its scanner."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from fedgen.data.phantom.patient import Patient, draw_patient
from fedgen.data.phantom.scanner import Scanner


@dataclass(frozen=True)
class Cohort:
    """Who is to be imaged.

    Attributes:
        site: name of the hospital.
        scanner: its own.
        labels: class of each patient.
        rng: of patients and images, in the order in which they are made.
    """

    site: str
    scanner: Scanner
    labels: tuple[str, ...]
    rng: np.random.Generator

    def patients(self) -> Iterator[Patient]:
        """Each of them, drawn when asked for."""
        for number, label in enumerate(self.labels):
            yield draw_patient(self.site, number, label, self.rng)
