"""Secure aggregation: the coordinator learns the sum of the sites' vectors and nothing else.

The protocol of Bonawitz et al., "Practical Secure Aggregation for Privacy-Preserving Machine Learning" (CCS 2017),
in its variant against an active coordinator. Read in the order of a session: `roster` and `parameters` (what a
site approved), `messages`, `client` (a site) and `server` (the coordinator); `keyholder` holds a site's sessions over
the rounds of a study; below them `keys`, `sharing`, `shamir`, `masks` and `encoding`. What it hides
from whom: docs/explanation/secure-aggregation.md.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fedgen_privacy.secagg.client import Client
    from fedgen_privacy.secagg.encoding import Total
    from fedgen_privacy.secagg.errors import MessageError, Phase, SecAggAborted
    from fedgen_privacy.secagg.keyholder import Advertisement, Keyholder, MaskedVector
    from fedgen_privacy.secagg.parameters import Parameters, default_threshold
    from fedgen_privacy.secagg.roster import Identity, Roster
    from fedgen_privacy.secagg.server import Server

__all__ = [
    "Advertisement",
    "Client",
    "Identity",
    "Keyholder",
    "MaskedVector",
    "MessageError",
    "Parameters",
    "Phase",
    "Roster",
    "SecAggAborted",
    "Server",
    "Total",
    "default_threshold",
]

#: Where each name is: imported when it is first asked for, since an identity is needed where nothing is summed.
_HOMES = {
    "Advertisement": "keyholder",
    "Client": "client",
    "Identity": "roster",
    "Keyholder": "keyholder",
    "MaskedVector": "keyholder",
    "MessageError": "errors",
    "Parameters": "parameters",
    "Phase": "errors",
    "Roster": "roster",
    "SecAggAborted": "errors",
    "Server": "server",
    "Total": "encoding",
    "default_threshold": "parameters",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return globals().setdefault(name, getattr(import_module(f"{__name__}.{_HOMES[name]}"), name))
