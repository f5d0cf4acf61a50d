"""Mode `none`: no noise, no clipping, no promise. It exists to compare with."""

from __future__ import annotations

from fedgen.mechanisms.averaging import Averaging
from fedgen.mechanisms.statement import NOBODY


class NoPrivacy(Averaging):
    """Plain steps at each site."""

    name = "none"
    private = False
    accountant = None

    def _holds_against(self) -> str:
        return NOBODY

    def _limits(self) -> tuple[str, ...]:
        return ()
