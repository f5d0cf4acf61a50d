"""Errors every floor of fedgen raises: one sentence (what, where, what to do) and an exit code.

The family lives on the lowest floor so that the vault can refuse in the same words as the workshop.
The codes are explained one by one in docs/reference/exit-codes.md.
"""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """What a fedgen command returns to the shell."""

    DONE = 0
    INVALID = 2
    REFUSED = 3
    DATA = 4
    FEDERATION = 5
    GATE = 6


class FedgenError(Exception):
    """Base of every error a user can see; `str(error)` is one complete sentence."""

    exit_code: ExitCode = ExitCode.INVALID
    #: The same sentence without names of files, which often are patients'; None where it has none.
    outline: str | None = None

    @property
    def for_log(self) -> str:
        """The sentence as a log or a run directory may keep it."""
        return str(self) if self.outline is None else self.outline


class StudyError(FedgenError):
    """The study or site file, or the way a command was called, is not valid (exit 2)."""


class PrivacyRefusedError(FedgenError):
    """What was asked cannot be done with the privacy that was promised, or policy forbids it (exit 3)."""

    exit_code = ExitCode.REFUSED


class PolicyRefusedError(PrivacyRefusedError):
    """A site's policy forbids what a study asks (exit 3); the text says nothing about data and may be told others."""


class DataError(FedgenError):
    """The data cannot be used as asked (exit 4)."""

    exit_code = ExitCode.DATA


class FederationError(FedgenError):
    """The federation failed: a deadline passed, too few sites, an aborted aggregation (exit 5)."""

    exit_code = ExitCode.FEDERATION


class LockedError(FedgenError):
    """Another process is at what only one at a time may be at; once it has ended, the same can be done (exit 5)."""

    exit_code = ExitCode.FEDERATION


class GateError(FedgenError):
    """The release gate was not passed (exit 6)."""

    exit_code = ExitCode.GATE
