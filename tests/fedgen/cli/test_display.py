"""What is printed while a run goes on, on a terminal and into a file."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from fedgen.api.display import Display, describe
from fedgen.api.loud import loud
from fedgen.federation.coordinator.rounds import RoundReport


def report(**changes) -> RoundReport:
    values = {
        "round": 2, "rounds": 5, "losses": {"vae": (1.5, 0.25)}, "epsilon": 3.0001, "sites": ("north", "south"),
        "missing": {}, "seconds": 1.0,
    }  # fmt: skip
    return RoundReport(**{**values, **changes})


def test_a_round_in_words() -> None:
    assert describe(report()) == "vae loss 1.500 ± 0.250, epsilon <= 3.01, 2 sites"
    plain = report(losses={"g": (1.0, 0.0), "d": (2.0, 0.0)}, epsilon=None, sites=("north",))
    assert describe(plain) == "g loss 1.000, d loss 2.000, no privacy, 1 site"


@pytest.mark.parametrize("epsilon", [0.001, 2.994, 2.996, 9.9999])
def test_the_bound_shown_is_a_bound(epsilon) -> None:
    shown = float(describe(report(epsilon=epsilon)).split("<= ")[1].split(",")[0])
    assert epsilon <= shown < epsilon + 0.01


def output(terminal: bool) -> str:
    file = io.StringIO()
    with Display(Console(file=file, force_terminal=terminal, width=200, color_system=None)) as display:
        watcher = display.watcher
        watcher.stage("train")
        for done in range(0, 41, 2):
            watcher.finishing(done, 40)
        watcher.round(report(missing={"east": "no answer"}))
        watcher.stage("synthesize")
        watcher.images(3, 8)
        watcher.stage("assess")
        # Sites work at the same time, and each is said once.
        for title in ("Copy detection", "Fidelity"):
            for site in ("north", "east"):
                watcher.measured(site, title)
        watcher.stage("report")
    return file.getvalue()


def test_a_file_gets_a_line_a_round() -> None:
    lines = output(terminal=False).splitlines()
    assert lines == [
        "Training",
        *(f"  finishing the model: {tenth}0 %".replace(" 00", " 0") for tenth in range(11)),
        "  round 2/5  vae loss 1.500 ± 0.250, epsilon <= 3.01, 2 sites",
        "  round 2 went on without east: no answer",
        "Sampling",
        "Auditing and evaluating",
        "  north",
        "  east",
        "Writing the report",
    ]


def test_a_terminal_gets_bars() -> None:
    text = output(terminal=True)
    for words in (
        "Training",
        "5/5",
        "Finishing the model",
        "40/40",
        "epsilon <= 3.01",
        "went on without east",
        "8/8",
        "east: Fidelity",
        "Writing the report",
    ):
        assert words in text, words


def test_nothing_off_is_nothing_said_but_for_secure_aggregation(tiny_study) -> None:
    assert [sentence.split()[1] for sentence in loud(tiny_study())] == ["aggregation.secure"]
