"""A row of a table: one configuration, as changes of a study."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Where = Literal["none", "distributed", "local"]


@dataclass(frozen=True)
class Row:
    """A family with its options, and what protects the patients.

    Attributes:
        label: which table it is in.
        title: of the family in it.
        kind: of the family in a study.
        where: the mode; none is no privacy.
        epsilon: None where there is none.
        changes: of the study, beside those of privacy.
        batch: patients in a step where all sites take it together, expected; a statistic asks every patient once.
        on_prior: whether it stands on the public prior that is given.
        without: a site that takes no part; empty where all do.
    """

    label: str
    title: str
    kind: str
    where: Where
    epsilon: float | None
    changes: tuple[str, ...] = ()
    batch: int = 8
    on_prior: bool = False
    without: str = ""

    @property
    def name(self) -> str:
        """Of its files."""
        words = (self.label, self.title, self.where, f"{self.epsilon or 0:g}", self.without)
        return "-".join(word.replace(",", "").replace(" ", "-") for word in words if word)

    @property
    def privacy(self) -> str:
        """For a table."""
        return "no privacy" if self.epsilon is None else f"{self.epsilon:g}"

    def asked(self, patients: int) -> list[str]:
        """All changes of the study.

        Args:
            patients: that train, of all sites: a public number.
        """
        together = self.where == "distributed"
        changes = [
            *self.changes,
            f"model.family={self.kind}",
            f"privacy.mode={self.where}",
            f"privacy.epsilon={self.epsilon or 3.0}",
            f"privacy.sampling_rate={min(1.0, self.batch / patients) if together else 'null'}",
            # The noise of a sum that may miss a site is larger.
            "aggregation.tolerated_dropouts=0",
            "aggregation.minimum_sites=3",
        ]
        return [*changes, f"training.batch_patients={self.batch}"] if together else changes


def levels(epsilons: Sequence[float]) -> list[tuple[Where, float | None]]:
    """No privacy, then each epsilon in mode distributed, then in mode local."""
    modes: tuple[Where, ...] = ("distributed", "local")
    return [("none", None), *((mode, epsilon) for mode in modes for epsilon in epsilons)]
