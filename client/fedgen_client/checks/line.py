"""One finding of a check."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fedgen.errors import ExitCode, FedgenError

#: Worst first: what protects patients comes before what merely does not work.
SEVERITY = (ExitCode.INVALID, ExitCode.REFUSED, ExitCode.DATA, ExitCode.FEDERATION)


@dataclass(frozen=True)
class CheckLine:
    """A finding.

    Attributes:
        about: what was looked at, in a word or two.
        text: what was found, and what to do where something has to be mended.
        code: DONE where all is well, else the exit code that the problem stands for.
    """

    about: str
    text: str
    code: ExitCode = ExitCode.DONE

    @property
    def ok(self) -> bool:
        """Whether nothing has to be mended."""
        return self.code is ExitCode.DONE


def mend(about: str, error: FedgenError) -> CheckLine:
    """A line for an error, which says itself what to do."""
    return CheckLine(about, str(error), error.exit_code)


def worst(lines: Sequence[CheckLine]) -> ExitCode:
    """The exit code of a check with these findings."""
    found = {line.code for line in lines}
    return next((code for code in SEVERITY if code in found), ExitCode.DONE)
