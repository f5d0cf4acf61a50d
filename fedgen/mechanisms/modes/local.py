"""Mode `local`: each site adds the whole noise by itself, in every step (DP-SGD, Abadi et al. 2016)."""

from __future__ import annotations

from fedgen.mechanisms.averaging import Averaging

EVERYBODY = (
    "the coordinator, every other site, and anyone who sees the model or the synthetic images, "
    "whatever else they know"
)


class LocalNoise(Averaging):
    """Private steps at each site, Gaussian noise in floating point."""

    name = "local"
    private = True
    accountant = "PRV"

    def _holds_against(self) -> str:
        return EVERYBODY

    def _limits(self) -> tuple[str, ...]:
        return (
            "Noise is added in floating point, whose own leakage (Mironov 2012) is not part of the accounting.",
        )
