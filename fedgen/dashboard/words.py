"""Every event of a run in plain words, for the log of a page."""

from __future__ import annotations

from typing import Literal

from fedgen.report import numbers
from fedgen.run.events import (
    Aborted,
    Asked,
    Assessed,
    Damaged,
    Done,
    Dropout,
    Event,
    Finishing,
    Interrupted,
    Joined,
    LeftOut,
    LinkLost,
    NotAssessed,
    NotPreviewed,
    PhaseBegun,
    Previewed,
    QuestionAsked,
    RoundDone,
    SiteAnswered,
    StageBegun,
    Waiting,
)

Tone = Literal["pass", "review", "fail", "unknown"]

#: What a stage is called while it goes on.
STAGES = {
    "prepare": "Preparing data",
    "train": "Training",
    "synthesize": "Drawing the synthetic images",
    "assess": "Auditing and evaluating",
    "release": "Writing the model with its evidence",
    "report": "Writing the report",
}
#: What a phase of a round is for, in the order in which they come.
PHASES = {
    "train": "Sites train and send their updates, each seen by the coordinator",
    "advertise": "Sites send the keys of this round",
    "share": "Each site gives the others shares of its secrets, so that the sum survives whoever drops out",
    "mask": "Sites train and send their updates, masked",
    "confirm": "Sites confirm to each other who is in the sum",
    "unmask": "Sites give what opens the sum, and nothing else",
}


def tone_of(event: Event) -> Tone:
    """How grave it is."""
    if isinstance(event, Aborted | Damaged):
        return "fail"
    if isinstance(event, Dropout | LeftOut | NotAssessed | NotPreviewed | LinkLost | Interrupted):
        return "review"
    if isinstance(event, Done | RoundDone | Assessed):
        return "pass"
    return "unknown"


def sentence(event: Event) -> str:
    """What happened, without its time and its kind.

    >>> sentence(Dropout(site="north", round=3, reason="no answer"))
    'Round 3 goes on without north: no answer'
    """
    match event:
        case StageBegun(stage=stage):
            return STAGES.get(stage, stage)
        case RoundDone():
            return _round(event)
        case PhaseBegun(round=round, attempt=attempt, phase=phase, sites=sites):
            again = f", attempt {attempt}" if attempt > 1 else ""
            return f"Round {round}{again}: {PHASES.get(phase, phase)} ({_listed(sites)})"
        case SiteAnswered(site=site, round=round, seconds=seconds):
            return f"Round {round}: {site} sent its update after {numbers.seconds(seconds)}"
        case Finishing(done=done, total=total):
            return f"Making the released model of the trained one: {100 * done // total} %"
        case Previewed(round=round, images=images):
            return f"The model after round {round} has drawn {images} images"
        case NotPreviewed(round=round, reason=reason):
            return f"The model after round {round} could not be drawn, and the training goes on without: {reason}"
        case Asked(round=round, sites=sites):
            return f"Round {round}: {_listed(site.site for site in sites)} asked to train, and charged for it"
        case Dropout(site=site, round=round, reason=reason):
            return f"Round {round} goes on without {site}: {reason}"
        case LeftOut(site=site, reason=reason):
            return f"{site} takes no part: {reason}"
        case Joined(site=site, round=round):
            return f"{site} came late and takes part from round {round} on"
        case Waiting(reason=reason) | LinkLost(reason=reason):
            return _capital(reason)
        case QuestionAsked(sites=sites, kept=kept):
            before = f"; {_listed(kept)} answered before" if kept else ""
            return f"The sites in the model are asked about the release: {_listed(sites)}{before}"
        case Assessed(site=site):
            return f"{site} has audited and evaluated the release"
        case NotAssessed(site=site, reason=reason):
            return f"{site} sent no numbers about the release: {reason}"
        case Aborted(reason=reason, code=code):
            return f"Stopped with exit code {code}: {reason}"
        case Interrupted():
            return "Stopped by a person or by the system; it goes on when it is resumed"
        case Done():
            return "Every stage has finished"
        case Damaged(line=line):
            return f"Line {line} of the journal is no event of this version: restore the file from a backup"


def _round(event: RoundDone) -> str:
    losses = [
        f"{name} {numbers.number(loss.value)}" + (f" ± {numbers.number(loss.std)}" if loss.std else "")
        for name, loss in event.losses.items()
    ]
    spent = [] if event.epsilon is None else [f"\u03b5 at most {numbers.epsilon(event.epsilon)}"]
    told = ", ".join([*losses, *spent, f"{len(event.sites)} sites", numbers.seconds(event.seconds)])
    return f"Round {event.round} is finished: {told}"


def _listed(names: object) -> str:
    return ", ".join(map(str, names))  # type: ignore[call-overload]


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
