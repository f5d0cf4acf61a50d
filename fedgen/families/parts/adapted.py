"""A family on frozen weights: the same networks, contributions and sampler, with low-rank adapters on some layers."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from fedgen.errors import DataError
from fedgen.families.contract import Attack, Contribution, Family, Told, unheard
from fedgen.families.parts.adapter_options import Adapters
from fedgen.families.parts.adapters import attach
from fedgen.task.records import Records


class AdaptedFamily(Family):
    """`inner` with its weights frozen.

    Args:
        inner: the family without adapters.
        options: the adapters.
        start: the frozen weights by `network/parameter`, all of them; None where they are not at hand.
        blank: whether networks may be made without them, frozen at random weights, to be counted and timed.
    """

    def __init__(
        self, inner: Family, options: Adapters, start: Mapping[str, Tensor] | None, *, blank: bool = False
    ) -> None:
        self.inner = inner
        self.options = options
        self._start = start
        self._blank = blank
        self.batch = inner.batch

    def networks(self) -> dict[str, nn.Module]:
        """The inner family's networks on the frozen weights, with adapters that change nothing yet.

        Raises:
            DataError: the frozen weights are not at hand.
            StudyError: a network has no layer for an adapter.
        """
        if self._start is None and not self._blank:
            raise DataError(
                "The study trains adapters on pretrained weights, which are not here: put the file of "
                "model.pretrained.sha256 in its place, named pretrained.safetensors."
            )
        networks = self.inner.networks()
        if self._start is not None:
            with torch.no_grad():
                for network, module in networks.items():
                    for name, parameter in module.named_parameters():
                        # What the family itself never trains is in no file of weights.
                        if parameter.requires_grad:
                            parameter.copy_(self._start[f"{network}/{name}"])
        attach(networks, self.options)
        return networks

    def contributions(self) -> tuple[Contribution, ...]:
        """As the inner family."""
        return self.inner.contributions()

    def finished(
        self, networks: dict[str, nn.Module], rng: torch.Generator, told: Told = unheard
    ) -> dict[str, nn.Module]:
        """As the inner family."""
        return self.inner.finished(networks, rng, told)

    def sample(
        self, networks: Mapping[str, nn.Module], given: Mapping[str, Tensor], n: int, rng: torch.Generator
    ) -> Tensor:
        """As the inner family."""
        return self.inner.sample(networks, given, n, rng)

    def sample_unfinished(
        self, networks: Mapping[str, nn.Module], given: Mapping[str, Tensor], n: int, rng: torch.Generator
    ) -> Tensor:
        """As the inner family."""
        return self.inner.sample_unfinished(networks, given, n, rng)

    def score(self, networks: Mapping[str, nn.Module], records: Records, rng: torch.Generator) -> Tensor:
        """As the inner family."""
        return self.inner.score(networks, records, rng)

    def attacks(self) -> Mapping[str, Attack]:
        """As the inner family."""
        return self.inner.attacks()

    def remarks(self, networks: Mapping[str, nn.Module]) -> tuple[str, ...]:
        """As the inner family."""
        return self.inner.remarks(networks)
