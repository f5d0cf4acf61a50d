"""What a mechanism promises: by which accountant, against whom, and what the promise does not say."""

from __future__ import annotations

from dataclasses import dataclass

#: Holds of every mechanism with noise.
LIMITS = (
    "The number of training patients of each site is treated as public.",
    "Audit and evaluation results depend on the patients' data and are not covered by the training's epsilon.",
)
NOBODY = "nobody"


@dataclass(frozen=True)
class Statement:
    """The promise about what was spent at one site.

    Attributes:
        epsilon: by the accountant that is reported; None without privacy.
        epsilon_rdp: by RDP; None without privacy.
        accountant: its name; None without privacy.
        holds_against: whom the promise holds against.
        limits: sentences of what it does not say.
    """

    epsilon: float | None
    epsilon_rdp: float | None
    accountant: str | None
    holds_against: str
    limits: tuple[str, ...]


#: Of a mechanism without noise.
NOTHING = Statement(None, None, None, NOBODY, ())
