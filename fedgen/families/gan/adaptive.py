"""When a private GAN's generator has its turn: the adaptive rule of Bie et al. 2023 ("Private GANs, Revisited").

Under DP the discriminator learns slowly, and a generator that steps too often outruns it. The rule reads how
often the discriminator recognises the generator's fakes, and gives it more steps where that is too rarely.

It reads fakes and the discriminator, never data: post-processing of what the private steps released. And it
decides over the generator's steps alone, so what a round costs in the accountant does not depend on it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

#: Discriminator steps for each generator step, as the published code goes through them.
RATES = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000)


@dataclass(frozen=True)
class ScheduleState:
    """What the rule remembers.

    Attributes:
        rate: discriminator steps for each generator step now.
        waited: local steps since the generator's last turn.
        turns: generator steps since the rate last changed.
        accuracy: moving average of the discriminator's accuracy on fakes; None before the first turn.
    """

    rate: int
    waited: int = 0
    turns: int = 0
    accuracy: float | None = None

    @classmethod
    def of(cls, memory: Mapping[str, Tensor], rate: int) -> ScheduleState:
        """From what `tensors` returned, or the start at `rate` where nothing is remembered."""
        if not memory:
            return cls(rate)
        accuracy = memory.get("accuracy")
        return cls(
            rate=int(memory["rate"]),
            waited=int(memory["waited"]),
            turns=int(memory["turns"]),
            accuracy=None if accuracy is None else float(accuracy),
        )

    def tensors(self) -> dict[str, Tensor]:
        """Named scalars, int64 and float64."""
        counts = {"rate": self.rate, "waited": self.waited, "turns": self.turns}
        memory = {name: torch.tensor(count, dtype=torch.int64) for name, count in counts.items()}
        if self.accuracy is not None:
            memory["accuracy"] = torch.tensor(self.accuracy, dtype=torch.float64)
        return memory


@dataclass(frozen=True)
class AdaptiveRule:
    """The rule; every method is pure.

    Attributes:
        threshold: accuracy on fakes at or below which the discriminator gets more steps; 0.6 at epsilon 10 and
            0.7 at epsilon 1 in the published code.
        grace: generator steps after a change in which the rate stays.
        beta: of the accuracy's moving average.
    """

    threshold: float
    grace: int = 200
    beta: float = 0.99

    def due(self, state: ScheduleState) -> bool:
        """Whether the generator has its turn at this local step, after the discriminator's."""
        return state.waited + 1 >= state.rate

    def wait(self, state: ScheduleState) -> ScheduleState:
        """After a local step without a turn."""
        return replace(state, waited=state.waited + 1)

    def turn(self, state: ScheduleState, accuracy: float) -> ScheduleState:
        """After the generator's turn, at which the discriminator recognised a share `accuracy` of its fakes."""
        before = accuracy if state.accuracy is None else state.accuracy
        average = self.beta * before + (1 - self.beta) * accuracy
        turns = state.turns + 1
        if turns < self.grace or average > self.threshold:
            return ScheduleState(state.rate, 0, turns, average)
        return ScheduleState(next_rate(state.rate), 0, 0, average)


def next_rate(rate: int) -> int:
    """The next of `RATES` above `rate`; the last one stays.

    >>> next_rate(1), next_rate(3), next_rate(5000)
    (2, 5, 5000)
    """
    return min((r for r in RATES if r > rate), default=rate)
