"""What the first site that failed said itself: on one machine a person may read it, and it says what to mend.

In a real federation a site's own sentence never leaves it, because error texts can quote patients.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path

from fedgen.errors import ExitCode, FederationError, FedgenError
from fedgen.federation.coordinator.aggregation import TooFewSitesError
from fedgen.run.journal import Entry, Journal
from fedgen_privacy.secagg import SecAggAborted


class SiteFailedError(FederationError):
    """A site's own sentence and exit code, in place of what its silence did to the round."""

    def __init__(self, site: str, sentence: str, code: ExitCode) -> None:
        super().__init__(f"Site {site} failed: {sentence}")
        self.exit_code = code


@contextlib.contextmanager
def noting_failure(folder: Path) -> Iterator[None]:
    """Write down why a virtual site cannot be made; one that is there writes its log itself."""
    try:
        yield
    except FedgenError as error:
        Journal(folder / "log.jsonl").write("refused", reason=error.for_log, code=int(error.exit_code))
        raise


def in_its_own_words(error: FedgenError, sites: Mapping[str, Path], since: datetime) -> FedgenError:
    """The first failure that a site wrote down, if `error` says that too few sites took part; else `error`.

    Args:
        error: what ended the training.
        sites: the virtual sites' folders by name.
        since: what was written down before has been overcome.
    """
    if not isinstance(error, TooFewSitesError | SecAggAborted):
        return error
    found = [(line["time"], site, line) for site, folder in sites.items() for line in _failures(folder)]
    first = min((entry for entry in found if datetime.fromisoformat(entry[0]) >= since), default=None)
    if first is None:
        return error
    _, site, line = first
    failed = SiteFailedError(site, line["reason"], ExitCode(line.get("code", error.exit_code)))
    failed.__cause__ = error
    return failed


def _failures(folder: Path) -> Iterator[Entry]:
    journal = Journal(folder / "log.jsonl")
    return (entry for entry in journal.entries() if entry["event"] in ("refused", "failed"))
