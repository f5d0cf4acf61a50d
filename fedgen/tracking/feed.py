"""From the journal's events to what a tracker is told: the one place that says what may be tracked.

A tracker may be a machine elsewhere, and a run of a simulation holds patients. So nothing is told by the folder it lies
in: numbers come from rounds and from the rows over the sites, which have passed `fedgen.evidence.leave`; the pictures
are the grid of the release and those that the model drew in training; the page is the one that a release has, without a
patient; and the other files are the typed ones of `FILES`, never one of `site-only/`, `data/`, `sites/` or `figures/`
beside the grid.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from fedgen.report.handed_on import page_for_others
from fedgen.run.directory import RunDirectory
from fedgen.run.events import Done, Event, Previewed, RoundDone, StageBegun
from fedgen.run.evidence_files import AUDIT, EVALUATION
from fedgen.run.preview_file import preview_path
from fedgen.run.privacy_file import PrivacyFile
from fedgen.run.summary import RunSummary
from fedgen.run_view import RunView
from fedgen.tracking.contract import Tracked, Tracker

#: Typed files of a run that may be handed on.
FILES = ("study.yaml", RunSummary.name, PrivacyFile.name, AUDIT, EVALUATION)
#: The grid of synthetic images, and its name there.
GRID, SAMPLES = "samples.png", "samples"
#: What the model drew while it was trained, as it is named there.
PREVIEW = "preview"
#: Before the names of what was measured over all patients in one place.
POOLED = "pooled"
#: Stages whose beginning says that the grid is there.
_AFTER_SAMPLES = ("assess", "release", "report")
#: What a name may hold; both trackers that we have refuse other signs.
_OTHER = re.compile(r"[^A-Za-z0-9_. /-]+")


class Feed:
    """Tells one tracker what the events of one run say, each thing once.

    Args:
        tracker: who is told.
        run: whose journal it is.
    """

    def __init__(self, tracker: Tracker, run: RunDirectory) -> None:
        self._tracker = tracker
        self._run = run
        self._round = 0
        self._drawn = self._done = False

    def tell(self, event: Event) -> None:
        """One event of the journal, in its order."""
        if isinstance(event, RoundDone):
            self._round = event.round
            if event.round > self._tracker.last_round:
                self._tracker.numbers(of_round(event), event.round)
        elif isinstance(event, Previewed) and event.round > self._tracker.last_round:
            self._preview(event.round)
        elif isinstance(event, StageBegun) and event.stage in _AFTER_SAMPLES:
            self._samples()
        elif isinstance(event, Done):
            self._done = True

    def finish(self) -> None:
        """After the last event: what a run that is done leaves, as it stands then."""
        if not self._done:
            return
        self._samples()
        view = RunView(self._run)
        found = of_rows(view)
        if found:
            self._tracker.numbers(found, self._round)
        for name, content in files(view):
            self._tracker.file(name, content)

    def _preview(self, round: int) -> None:
        path = preview_path(self._run, round)
        # A few are kept: of an earlier start, or for who is slow, it may be gone.
        if path.exists():
            self._tracker.picture(PREVIEW, path.read_bytes(), round)

    def _samples(self) -> None:
        path = self._run.figures / GRID
        if not self._drawn and path.exists():
            self._drawn = True
            self._tracker.picture(SAMPLES, path.read_bytes(), self._round)


def of_round(event: RoundDone) -> dict[str, float]:
    """Losses, epsilon, sites and seconds of a round."""
    found = {named("loss", name): loss.value for name, loss in event.losses.items()}
    if event.epsilon is not None:
        found["privacy/epsilon"] = event.epsilon
    return {**found, "round/sites": float(len(event.sites)), "round/seconds": event.seconds}


def of_rows(view: RunView) -> dict[str, float]:
    """The values of every row by group, row and value: over the sites, and of a simulation over all patients.

    Those of single sites are not among them.
    """
    over = [((), view.rows), ((POOLED,), view.pooled)]
    return {
        named(*where, row.group, row.id, value.name): float(value.value)
        for where, rows in over
        for row in rows
        for value in row.values
        if value.value is not None
    }


def named(*parts: str) -> str:
    """A name that every tracker takes.

    >>> named("loss", "critic (patch)")
    'loss/critic _patch_'
    """
    return "/".join(_OTHER.sub("_", part).replace("/", "_").strip() or "_" for part in parts)


def files(view: RunView) -> Iterator[tuple[str, bytes]]:
    """Files that may be handed on, by name."""
    for name in FILES:
        path = view.run.path / name
        if path.is_file():
            yield name, path.read_bytes()
    yield "report.html", page_for_others(view).encode()


def tracked(run: RunDirectory) -> Tracked:
    """What a tracker is told of a run at its beginning."""
    view = RunView(run)
    study = view.study
    assert study is not None
    return Tracked(view.name, run.path, study.study.name, dict(_flat(study.model_dump(mode="json"))))


def _flat(values: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, str]]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{above}{key}.")
        elif value is not None:
            yield f"{above}{key}", str(value)
