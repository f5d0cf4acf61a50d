"""The one room that imports Flower's non-public packages: a hospital's connection, and a coordinator's SuperLink.

Flower 1.42 has no public way to hold a Fleet connection without executing the coordinator's bundle, nor to serve its
SuperLink with routes of one's own. Each module says which private names it needs and why; a contract test
(tests/deployment/federation/test_contract.py) runs them against the real thing, and `flwr` is pinned to 1.42.
"""

import os
from enum import StrEnum

# Flower reads these when it is imported: nothing of ours reports home or installs anything.
os.environ.setdefault("FLWR_TELEMETRY_ENABLED", "0")
os.environ.setdefault("FLWR_DISABLE_UPDATE_CHECK", "1")
os.environ.setdefault("FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION", "1")


class Trouble(StrEnum):
    """What a site's supervisor says of a message that its worker could not answer; nothing else of an error is told."""

    TOO_LARGE = "its message is larger than the site takes, or did not arrive whole"
    WORKER_ENDED = "the site's worker ended in the middle of it"
