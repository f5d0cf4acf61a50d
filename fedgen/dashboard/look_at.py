"""A run becomes what its page shows: a pure function of what was read."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence

from fedgen.dashboard.evidence_lines import rows_so_far, site_evidence
from fedgen.dashboard.page_state import (
    AbortLine,
    EvidenceOfSites,
    LogLine,
    LossNow,
    PageState,
    PhaseNow,
    PreviewNow,
    Sighting,
    Standing,
)
from fedgen.dashboard.site_lines import site_lines
from fedgen.dashboard.words import sentence, tone_of
from fedgen.run.events import (
    Aborted,
    Dropout,
    Event,
    Finishing,
    Interrupted,
    NotPreviewed,
    PhaseBegun,
    RoundDone,
    SiteAnswered,
    StageBegun,
    Waiting,
)
from fedgen.run_view import RunView
from fedgen.study.study import Study

#: Lines of the log, and aborted sessions, that a page shows.
LINES, ABORTS = 200, 5
#: Phases of which it is noted who has answered.
ANSWERED = ("mask", "train")


def page_state(
    view: RunView,
    study: Study,
    key: str,
    events: Sequence[Event],
    *,
    conducted: bool,
    roster: Sequence[str] = (),
    seen: Mapping[str, Sighting] | None = None,
    samples: bool = False,
    preview: PreviewNow | None = None,
    preview_percent: float = 0.0,
    report: bool = False,
) -> PageState:
    """What there is to show.

    Args:
        view: of the run, whose files are read.
        study: of the run.
        key: see `PageState`.
        events: of the run so far.
        conducted: whether a process drives it now.
        roster: of the study, where it is known.
        seen: what is known of sites beside their answers.
        samples, report: whether there are.
        preview: the newest picture of the model in training.
        preview_percent: of the rounds' time that such pictures may take.
    """
    rounds = {event.round: event for event in events if isinstance(event, RoundDone)}
    last = rounds[max(rounds)] if rounds else None
    standing = _standing(view.summary.status or "offered", conducted)
    phase = phase_now(events) if standing == "running" else None
    stage = next((event.stage for event in reversed(events) if isinstance(event, StageBegun)), "")
    median = statistics.median([event.seconds for event in rounds.values()]) if rounds else None
    done = 0 if last is None else last.round
    private, noised = study.privacy.private, study.evidence.privacy is not None
    evidence = site_evidence(events, view.answers, noised=noised)
    return PageState(
        study=study.study.name,
        run=view.name,
        key=key,
        family=study.model.family,
        mode=study.privacy.mode,
        secure=study.aggregation.secure,
        standing=standing,
        stage=stage,
        since=events[-1].time if events else None,
        waiting=_waiting(events) if standing == "running" else None,
        problem=_problem(events) if standing == "failed" else None,
        finishing=_finishing(events),
        round=done,
        rounds=study.total_rounds,
        seconds_a_round=median,
        eta_seconds=None
        if median is None or standing != "running" or done == study.total_rounds
        else (study.total_rounds - done) * median,
        epsilon=None if last is None else last.epsilon,
        target=study.privacy.epsilon if private else None,
        delta=study.privacy.delta if private else None,
        losses=()
        if last is None
        else tuple(
            LossNow(objective=name, value=loss.value, std=loss.std) for name, loss in last.losses.items()
        ),
        sites=site_lines(roster, events, phase, seen or {}),
        phase=phase,
        aborts=_aborts(rounds),
        dropouts=sum(isinstance(event, Dropout) for event in events),
        evidence=evidence,
        noised=noised,
        so_far=EvidenceOfSites() if noised or view.rows else rows_so_far(evidence, view.answers),
        verdict=None if view.audit is None else view.audit.verdict,
        reasons=() if view.audit is None else tuple(view.audit.reasons),
        rows=view.rows,
        samples=samples,
        preview=preview,
        no_preview=no_preview(study, preview_percent, events),
        report=report,
        log=log_lines(events),
    )


def no_preview(study: Study, percent: float, events: Sequence[Event]) -> str | None:
    """Why no picture of the model in training will come; None where one may."""
    if study.made.translates:
        return (
            "This study makes images of a patient's own, which stay with the patient: its release is the model, and "
            "none of its pictures is shown here."
        )
    if not study.steps:
        return (
            f"The family {study.model.family} is made of one sum and has no rounds to look at: its images are drawn "
            "when that has come."
        )
    if percent == 0:
        return "Pictures during the training are switched off (--previews 0): images are drawn after the last round."
    failed = next((event for event in reversed(events) if isinstance(event, NotPreviewed | StageBegun)), None)
    if isinstance(failed, NotPreviewed):
        return f"The model after round {failed.round} could not be drawn: {failed.reason}"
    return None


def _standing(status: Standing, conducted: bool) -> Standing:
    if status == "running" and not conducted:
        return "killed"
    # Of a process that goes on with it, until it says so itself.
    return "starting" if conducted and status in ("interrupted", "failed", "offered") else status


def phase_now(events: Sequence[Event]) -> PhaseNow | None:
    """The phase that has begun since the last round was over; None between rounds and in other stages."""
    answered: set[str] = set()
    for event in reversed(events):
        if isinstance(event, SiteAnswered):
            answered.add(event.site)
        elif isinstance(event, PhaseBegun):
            waits = tuple(site for site in event.sites if site not in answered)
            return PhaseNow(
                round=event.round,
                attempt=event.attempt,
                phase=event.phase,
                since=event.time,
                asked=event.sites,
                awaited=waits if event.phase in ANSWERED else None,
            )
        elif isinstance(event, RoundDone | StageBegun | Aborted | Interrupted):
            return None
    return None


def log_lines(events: Sequence[Event], after: int = 0) -> tuple[LogLine, ...]:
    """The last lines, of those that come after line `after`."""
    first = max(after, len(events) - LINES)
    return tuple(
        LogLine(
            number=number,
            time=event.time,
            event=event.event,
            tone=tone_of(event),
            text=sentence(event),
        )
        for number, event in enumerate(events[first:], first + 1)
    )


def _waiting(events: Sequence[Event]) -> str | None:
    last = events[-1] if events else None
    return last.reason if isinstance(last, Waiting) else None


def _problem(events: Sequence[Event]) -> str | None:
    return next((event.reason for event in reversed(events) if isinstance(event, Aborted)), None)


def _finishing(events: Sequence[Event]) -> float | None:
    last = events[-1] if events else None
    return last.done / last.total if isinstance(last, Finishing) else None


def _aborts(rounds: Mapping[int, RoundDone]) -> tuple[AbortLine, ...]:
    found = [
        AbortLine(
            round=number,
            attempt=abort.attempt,
            phase=abort.phase,
            reason=abort.reason,
            sites=abort.sites,
        )
        for number in sorted(rounds)
        if (secure := rounds[number].secure) is not None
        for abort in secure.aborts
    ]
    return tuple(found[-ABORTS:])
