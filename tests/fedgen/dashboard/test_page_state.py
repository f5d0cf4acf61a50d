"""What a page shows is what the events say, and no event is without words."""

from __future__ import annotations

import typing

import pytest

from fedgen.dashboard.look_at import no_preview, phase_now
from fedgen.dashboard.site_lines import site_lines
from fedgen.dashboard.tail import Tail
from fedgen.dashboard.words import PHASES, sentence, tone_of
from fedgen.run.atomic import write_atomic
from fedgen.run.directory import RunDirectory
from fedgen.run.events import (
    Aborted,
    AskedSite,
    Damaged,
    Dropout,
    Event,
    Interrupted,
    Joined,
    LeftOut,
    NotPreviewed,
    PhaseBegun,
    Previewed,
    RoundDone,
    SessionAbort,
    StageBegun,
    Waiting,
)
from fedgen.run.preview_file import preview_path
from fedgen.run.summary import RunSummary, update_summary
from fedgen.study.load import load_study
from fedgen.study.study import Study
from fedgen_privacy.secagg import Phase
from tests.fedgen.dashboard.conftest import KEY, SITES, One, answered, asked, finished, whole_round

#: Values for whatever fields an event has.
VALUES = {
    "stage": "train", "round": 3, "losses": {}, "epsilon": None, "sites": ("a",), "seconds": 1.0, "done": 1,
    "total": 10, "site": "a", "reason": "because", "code": 5, "line": 7, "attempt": 1, "phase": "mask",
    "bytes": {"to_sites": 1, "from_sites": 2}, "images": 8,
    "question": "ab",
}  # fmt: skip


@pytest.mark.parametrize("kind", typing.get_args(Event), ids=lambda kind: kind.__name__)
def test_every_event_has_words(kind: type) -> None:
    fields = {name: VALUES[name] for name in kind.model_fields if name in VALUES}
    if kind.__name__ == "Asked":
        fields["sites"] = asked(3, "a").sites
    event = kind(**fields)
    assert sentence(event)
    assert tone_of(event) in ("pass", "review", "fail", "unknown")


def test_every_phase_has_words() -> None:
    assert {phase.value for phase in Phase} <= set(PHASES) | {"aborted", "done", "finished"}


def test_a_run_in_the_middle_of_a_round(one: One) -> None:
    state = one.state(KEY)
    assert state is not None
    assert (state.standing, state.stage, state.round, state.rounds) == ("running", "train", 2, 5)
    assert (state.epsilon, state.eta_seconds, state.seconds_a_round) == (1.0, 12.0, 4.0)
    assert state.phase is not None and state.phase.phase == "mask"
    assert state.phase.awaited == ("east", "south")
    sites = {site.site: site for site in state.sites}
    assert list(sites) == [*SITES, "west"]
    assert [site.site for site in state.sites if site.slowest] == ["south"]
    assert [site.site for site in state.sites if site.answering] == ["east", "south"]
    assert sites["north"].to_site == 12000 and sites["north"].rounds == 2
    assert sites["west"].seen is not None and not sites["west"].seen.connected
    assert sites["east"].seen is None
    assert state.log[-1].text.startswith("Round 3: north sent its update")


def test_a_run_that_nobody_drives_was_killed(one: One) -> None:
    one.conducted = False
    state = one.state(KEY)
    assert (
        state is not None and state.standing == "killed" and state.eta_seconds is None and state.phase is None
    )


def test_a_run_that_is_gone_on_with_is_starting_until_it_says_so(one: One, run: RunDirectory) -> None:
    for status in ("interrupted", "failed"):
        update_summary(run, RunSummary(status=status))
        state = one.state(KEY)
        assert state is not None and state.standing == "starting"
    update_summary(run, RunSummary(status="running"))
    assert one.state(KEY).standing == "running"  # type: ignore[union-attr]


def test_the_newest_picture_of_the_training_is_shown_until_the_release_is_there(
    one: One, run: RunDirectory
) -> None:
    run.all_events([Previewed(round=round, images=8, seconds=0.1) for round in (1, 2)])
    # What was drawn and is not there is not shown.
    assert one.state(KEY).preview is None  # type: ignore[union-attr]
    write_atomic(preview_path(run, 2), b"picture")
    state = one.state(KEY)
    assert state is not None and state.no_preview is None
    assert state.preview is not None and (state.preview.round, state.preview.images) == (2, 8)


def test_why_no_picture_of_the_training_comes(study: Study) -> None:
    assert no_preview(study, 5, []) is None
    assert "switched off" in str(no_preview(study, 0, []))
    failed = NotPreviewed(round=4, reason="the memory is full.")
    assert "the memory is full." in str(no_preview(study, 5, [StageBegun(stage="train"), failed]))
    # Whoever goes on with it tries again.
    assert no_preview(study, 5, [failed, StageBegun(stage="train")]) is None
    assert "one sum" in str(no_preview(load_study("demo"), 5, []))
    assert "stay with the patient" in str(no_preview(load_study("demo_translation"), 5, []))


def test_why_it_stopped(one: One, run: RunDirectory) -> None:
    run.event(Aborted(round=3, reason="Round 3 had 2 of the 3 sites it needs.", code=5))
    update_summary(run, RunSummary(status="failed"))
    one.conducted = False
    state = one.state(KEY)
    assert state is not None
    assert (state.standing, state.problem) == ("failed", "Round 3 had 2 of the 3 sites it needs.")


def test_who_is_waited_for(one: One, run: RunDirectory) -> None:
    run.event(Waiting(reason="waiting for west (not connected)"))
    state = one.state(KEY)
    assert state is not None and state.waiting == "waiting for west (not connected)"


def test_the_culprit_of_a_session_that_was_tried_again(one: One, run: RunDirectory) -> None:
    abort = SessionAbort(attempt=1, phase="mask", reason="a share does not open", sites=("south",))
    run.event(finished(3, aborts=[abort]))
    state = one.state(KEY)
    assert state is not None
    assert [(each.round, each.phase, each.sites) for each in state.aborts] == [(3, "mask", ("south",))]


def test_a_repeated_round_counts_once_as_it_last_was(one: One, run: RunDirectory) -> None:
    run.all_events([StageBegun(stage="train"), finished(2, ("east", "north"))])
    state = one.state(KEY)
    assert state is not None and state.round == 2
    assert {site.site: site.rounds for site in state.sites}["south"] == 1


@pytest.mark.parametrize("end", [Interrupted(), Aborted(reason="x", code=1), StageBegun(stage="synthesize")])
def test_no_phase_goes_on_after(end: Event) -> None:
    begun = PhaseBegun(round=1, attempt=1, phase="mask", sites=SITES)
    assert phase_now([begun]) is not None
    assert phase_now([begun, end]) is None
    assert phase_now([*whole_round(1)]) is None


def test_who_has_answered_is_not_known_of_a_phase_without_updates() -> None:
    now = phase_now([PhaseBegun(round=1, attempt=2, phase="unmask", sites=SITES)])
    assert now is not None and now.awaited is None and now.attempt == 2


def test_a_site_that_dropped_and_one_that_was_left_out_say_why() -> None:
    events = [
        LeftOut(site="west", reason="has not approved"),
        *whole_round(1),
        Dropout(site="south", round=2, reason="no answer"),
        finished(2, ("east", "north")),
    ]
    lines = {line.site: line for line in site_lines((), events, None, {})}
    assert (lines["south"].part, lines["south"].why) == ("out", "no answer")
    assert (lines["west"].part, lines["west"].why) == ("left_out", "has not approved")
    assert lines["east"].why is None
    joined = site_lines((), [*events, Joined(site="west", round=3), asked(3, "west")], None, {})
    assert {line.site: line.part for line in joined}["west"] == "out"


@pytest.mark.parametrize(
    ("seconds", "slowest"),
    [((1.0, 1.0, 1.2), None), ((1.0, 1.1, 3.0), "south"), ((0.01, 0.01, 0.05), None), ((5.0,), None)],
)
def test_the_slowest_is_one_whom_the_others_wait_for(seconds: tuple[float, ...], slowest: str | None) -> None:
    events = [answered(1, site, taken) for site, taken in zip(SITES, seconds, strict=False)]
    lines = site_lines((), events, None, {})
    assert next((line.site for line in lines if line.slowest), None) == slowest


def test_a_tail_reads_each_line_once_and_none_that_is_half_written(run: RunDirectory) -> None:
    tail, before = Tail(run), len(run.events_so_far())
    assert len(tail.events()) == before
    with run.events.open("ab") as journal:
        journal.write(b'{"time": "x", "event"')
    assert len(tail.events()) == before
    with run.events.open("ab") as journal:
        journal.write(b': "nothing"}\n')
    run.event(finished(3))
    found = tail.events()
    assert isinstance(found[before], Damaged) and found[before].line == before + 1
    assert isinstance(found[-1], RoundDone)
    assert tail.events() == run.events_so_far()


def test_a_run_without_a_journal_has_no_events(tmp_path) -> None:
    assert Tail(RunDirectory(tmp_path)).events() == []


def test_what_a_site_states_is_what_the_page_shows() -> None:
    assert {"patients", "epsilon"} <= set(AskedSite.model_fields)
