"""A fake identity, and the head that goes with it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fedgen.data.phantom.anatomy import Head

_FAMILY = (
    "Adler",
    "Berg",
    "Costa",
    "Diaz",
    "Evans",
    "Fischer",
    "Garcia",
    "Haddad",
    "Ito",
    "Jansen",
    "Kim",
    "Lopez",
)
_GIVEN = ("Alex", "Bo", "Chris", "Dana", "Eli", "Finn", "Gray", "Hana", "Indy", "Jo", "Kit", "Lee")


@dataclass(frozen=True)
class Patient:
    """A fake identity with its head and the heights of its slices."""

    identity: str
    name: str
    birth_date: str
    sex: str
    label: str
    head: Head
    levels: tuple[float, ...]


def draw_patient(site: str, number: int, label: str, rng: np.random.Generator) -> Patient:
    """The `number`-th patient of a site, from 0, with one class for all slices."""
    levels = np.linspace(-0.6, 0.6, 4) + rng.uniform(-0.1, 0.1, 4)
    chosen = np.sort(rng.permutation(4)[: rng.integers(1, 5)])
    return Patient(
        identity=f"{site[:3].upper()}-{number + 1:04d}",
        name=f"{rng.choice(_FAMILY)}^{rng.choice(_GIVEN)}",
        birth_date=f"{rng.integers(1935, 2000)}{rng.integers(1, 13):02d}{rng.integers(1, 29):02d}",
        sex=str(rng.choice(["F", "M"])),
        label=label,
        head=Head.draw(rng, lesion=label == "lesion"),
        levels=tuple(levels[chosen].tolist()),
    )
