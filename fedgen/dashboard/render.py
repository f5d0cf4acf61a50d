"""The parts of a run's page as HTML, by their id: first all together, later one at a time as they change."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fedgen.dashboard.live_pictures import live_curves
from fedgen.dashboard.page_look import environment
from fedgen.dashboard.page_state import PageState
from fedgen.dashboard.words import PHASES, STAGES
from fedgen.run.events import Event

#: In the order of the page, each a template of that name in `templates/live/`.
PARTS = ("now", "actions", "sites", "phase", "curves", "samples", "evidence", "costs", "log")


def parts(
    state: PageState, events: Sequence[Event], root: str, may_operate: bool, secret: str
) -> Mapping[str, str]:
    """Every part.

    Args:
        state: of the run.
        events: for its curves.
        root: path of the page.
        may_operate: whether who watches may stop and resume.
        secret: of the forms.
    """
    given = {
        "s": state,
        "root": root,
        "may_operate": may_operate,
        "csrf": secret,
        "stages": STAGES,
        "phases": PHASES,
        "curves": live_curves(events, state.target),
    }
    made = environment()
    return {id: made.get_template(f"live/{id}.html").render(given) for id in PARTS}
