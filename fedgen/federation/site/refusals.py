"""What others are told of an error at a site: never its text, unless that is about the study or the policy alone."""

from __future__ import annotations

from fedgen.errors import FedgenError, PolicyRefusedError
from fedgen.protocol.messages import MAX_NAMES, MAX_REASON, Refusal
from fedgen_privacy.ledger import BudgetExceededError
from fedgen_privacy.secagg import SecAggAborted


def refusal(site: str, error: FedgenError) -> Refusal:
    """What others are told of an error at a site."""
    about = tuple(s for s in error.sites if s != site) if isinstance(error, SecAggAborted) else ()
    return Refusal(
        site=site, code=error.exit_code, reason=_outline(error)[:MAX_REASON], about=about[:MAX_NAMES]
    )


def _outline(error: FedgenError) -> str:
    # An abort's phase and culprits are the protocol's own, not the data's; its text may quote a weight or a loss.
    if isinstance(error, SecAggAborted):
        named = f" (concerning {', '.join(error.sites)})" if error.sites else ""
        return (
            f"secure aggregation aborted in phase {error.phase.value}{named}; the site's log has the reason"
        )
    if isinstance(error, PolicyRefusedError):
        return str(error)
    if isinstance(error, BudgetExceededError):
        return "what is left of the privacy budget of this site's patients does not suffice"
    return f"{type(error).__name__}; the site's log has the reason"
