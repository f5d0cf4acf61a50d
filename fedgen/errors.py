"""The error family of the whole project, re-exported for the workshop and the floors above."""

from fedgen_privacy.errors import (
    DataError,
    ExitCode,
    FederationError,
    FedgenError,
    GateError,
    LockedError,
    PolicyRefusedError,
    PrivacyRefusedError,
    StudyError,
)

__all__ = [
    "DataError",
    "ExitCode",
    "FederationError",
    "FedgenError",
    "GateError",
    "LockedError",
    "PolicyRefusedError",
    "PrivacyRefusedError",
    "StudyError",
]
