"""What a mechanism promises: by which accountant, against whom, and what the promise does not say."""

from __future__ import annotations

import math
from dataclasses import dataclass

_PUBLIC = "The number of training patients of each site is treated as public."
_UNPAID = (
    "Audit and evaluation results depend on the patients' data and are not covered by the training's epsilon."
)
_PAID = (
    "Of audit and evaluation nothing leaves a site but noised sums, whose cost is part of the epsilon: which patients "
    "train, audit and test is taken as fixed, and figures that a simulation draws of patients are not covered."
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


def limits(*, noised_evidence: bool) -> tuple[str, ...]:
    """What no promise with noise says.

    Args:
        noised_evidence: whether audit and evaluation are told with noise.
    """
    return (_PUBLIC, _PAID if noised_evidence else _UNPAID)


#: Of a mechanism without noise.
NOTHING = Statement(None, None, None, NOBODY, ())


def rounded_up(epsilon: float) -> float:
    """The next hundredth, upwards: a printed epsilon must not be below the true one."""
    return math.ceil(epsilon * 100) / 100
