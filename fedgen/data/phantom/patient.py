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
#: When all images are made.
IMAGED = "20240102"
_GIVEN = ("Alex", "Bo", "Chris", "Dana", "Eli", "Finn", "Gray", "Hana", "Indy", "Jo", "Kit", "Lee")


@dataclass(frozen=True)
class Patient:
    """A fake identity with its head and the heights of its slices; older brains are smaller, men's heads larger."""

    identity: str
    name: str
    birth_date: str
    sex: str
    label: str
    head: Head
    levels: tuple[float, ...]

    @property
    def age(self) -> int:
        """In years, on the day of the images."""
        year, month, day = (int(self.birth_date[part]) for part in (slice(4), slice(4, 6), slice(6, 8)))
        today = tuple(int(IMAGED[part]) for part in (slice(4), slice(4, 6), slice(6, 8)))
        return today[0] - year - ((month, day) > today[1:])


def draw_patient(site: str, number: int, label: str, rng: np.random.Generator) -> Patient:
    """The `number`-th patient of a site, from 0, with one class for all slices."""
    levels = np.linspace(-0.6, 0.6, 4) + rng.uniform(-0.1, 0.1, 4)
    chosen = np.sort(rng.permutation(4)[: rng.integers(1, 5)])
    name = f"{rng.choice(_FAMILY)}^{rng.choice(_GIVEN)}"
    spread, month, day = int(rng.integers(0, 65)), int(rng.integers(1, 13)), int(rng.integers(1, 29))
    coin = str(rng.choice(["F", "M"]))
    head = Head.draw(rng, lesion=label == "lesion")
    return Patient(
        identity=f"{site[:3].upper()}-{number + 1:04d}",
        name=name,
        birth_date=f"{_birth_year(head, spread)}{month:02d}{day:02d}",
        sex=_sex(head, coin),
        label=label,
        head=head,
        levels=tuple(levels[chosen].tolist()),
    )


def _birth_year(head: Head, spread: int) -> int:
    """From 1939 to 1999: the more atrophy the earlier, and by chance (0 to 64)."""
    return 1999 - round(50 * head.atrophy + 10 * spread / 64)


def _sex(head: Head, coin: str) -> str:
    """M for a large head, F for a small one, the coin's between."""
    size = (head.width - 0.72) / 0.04 + (head.length - 0.86) / 0.04
    return coin if abs(size) < 0.4 else "FM"[size > 0]
