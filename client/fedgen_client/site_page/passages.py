"""The site log as a person reads it: what entered, what left and what was decided, and how much of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fedgen.run.journal import DAMAGED, Entry
from fedgen_client.plain import printable
from fedgen_client.site_page.site_state import Direction, Passage, StudyTraffic

#: What each kind of message is, by the direction that it has.
_IN: Mapping[str, str] = {
    "manifest": "A study, signed by the coordinator",
    "describe": "The question whether this site takes part",
    "train_round": "The model of a round, to train on here",
    "train_masked": "The model of a round, to train on here",
    "secure_step": "A step of secure aggregation",
    "assess": "Synthetic images, to be compared with patients here",
    "assess_model": "The finished model, to be judged here",
}
_OUT: Mapping[str, str] = {
    "join": "The request to join, with this site's public keys",
    "site_description": "Number of training patients, noise and public keys for the next sum",
    "round_update": "This site's change of the model, not masked",
    "masked_update": "This site's change of the model, masked",
    "secure_reply": "A step of secure aggregation, encrypted for the other sites",
    "assessment": "Numbers of audit and evaluation, of all patients together",
    "refusal": "A refusal, and no number",
}
_HERE: Mapping[str, str] = {
    "joined": "Joined the federation",
    "approved": "Approved",
    "denied": "Denied",
    "refused": "Refused",
    "connected": "Connected to the coordinator",
    "reachable": "The coordinator answers again",
    "unreachable": "The coordinator does not answer",
    "undelivered": "An answer could not be delivered",
    "turned_away": "The coordinator has no more to do with a message: its run was stopped, or is over",
    "update": "Trained",
    "clipped": "Numbers that were too large were cut before they were masked",
    "unmasked": "Helped to open the sum of all sites",
    "failed": "Failed here, by a defect",
    "moved": "The coordinator has another address",
    "withdrawn": "Patients withdrew",
    "released": "Budget that was kept free is free again",
    "written": "A row of a reader study was written to a file, to be handed over",
    DAMAGED: "This line of the log is damaged",
}
_STEPS = ("secure_step", "secure_reply")
_DIRECTIONS: Mapping[str, Direction] = {"received": "in", "sent": "out"}


def passage(entry: Entry, number: int, names: Mapping[str, str]) -> Passage:
    """A line of the log in words.

    Args:
        entry: the line.
        number: of it, from 1.
        names: study hash to name.
    """
    event, kind = str(entry["event"]), str(entry.get("kind", ""))
    direction: Direction = _DIRECTIONS.get(event, "here")
    study = str(entry.get("study", ""))
    size, sha256 = entry.get("bytes"), entry.get("sha256")
    return Passage(
        number=number,
        time=printable(str(entry["time"]).replace("T", " ")[:19]),
        direction=direction,
        words=printable(_words(event, kind, direction, entry)),
        study=printable(str(entry.get("name") or names.get(study, study[:12])), 80),
        note=printable("; ".join(_notes(entry)), 400),
        size=size if isinstance(size, int) else None,
        sha256=sha256 if isinstance(sha256, str) else None,
        refused=event in ("refused", "denied", "failed", DAMAGED)
        or entry.get("decision") in ("refused", "lost"),
        step=event == "unmasked" or kind in _STEPS,
    )


def _words(event: str, kind: str, direction: Direction, entry: Entry) -> str:
    known = {"in": _IN, "out": _OUT}.get(direction)
    words = (
        _HERE.get(event, event.replace("_", " "))
        if known is None
        else known.get(kind, kind.replace("_", " "))
    )
    if known is not None and not words:
        words = "A message" if direction == "in" else "An answer"
    if entry.get("round") is not None:
        words += f", round {entry['round']}"
    if entry.get("phase"):
        words += f" ({str(entry['phase']).replace('_', ' ')})"
    return words


def _notes(entry: Entry) -> list[str]:
    found = []
    if entry.get("by"):
        found.append(f"by {entry['by']}")
    if entry.get("cohort"):
        found.append(f"cohort {entry['cohort']}")
    if isinstance(entry.get("epsilon"), int | float):
        found.append(f"epsilon at most {entry['epsilon']:.4g}")
    if entry.get("patients") is not None:
        found.append(f"patients: {entry['patients']}")
    if entry.get("to"):
        found.append(f"to {entry['to']}")
    if entry.get("reason"):
        found.append(str(entry["reason"]))
    return found


def drawn_together(passages: Sequence[Passage], most: int) -> tuple[Passage, ...]:
    """The latest lines, the latest first, without steps, and each that says the same as a later one counted there.

    A coordinator that waits for a decision asks every two seconds: nothing else would be seen.
    """
    found: dict[tuple[str, ...], Passage] = {}
    for each in reversed(passages):
        same = (each.direction, each.words, each.study, each.note)
        later = found.get(same)
        if each.step or (later is None and len(found) == most):
            continue
        found[same] = (
            each if later is None else later.model_copy(update={"times": later.times + 1, "since": each.time})
        )
    return tuple(found.values())


def traffic(passages: Sequence[Passage]) -> tuple[StudyTraffic, ...]:
    """How much passed, by study in the order of their first lines; what is of no study comes last."""
    sums: dict[str, dict[str, Any]] = {}
    for each in passages:
        if each.size is None:
            continue
        into = sums.setdefault(each.study, {"entered": 0, "left": 0, "bytes_in": 0, "bytes_out": 0})
        way = ("entered", "bytes_in") if each.direction == "in" else ("left", "bytes_out")
        # A row that was written to a file leaves by a person's hand; it is counted as having left.
        into[way[0]] += 1
        into[way[1]] += each.size
    return tuple(StudyTraffic(study=name, **sums[name]) for name in sorted(sums, key=lambda name: name == ""))
