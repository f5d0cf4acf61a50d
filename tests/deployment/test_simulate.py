"""`fedgen simulate` from the shell: whole, stopped, killed and resumed; real Ray processes throughout."""

from __future__ import annotations

import signal

import pytest

from fedgen_privacy.accounting import Spend, epsilon_prv
from fedgen_privacy.ledger import Ledger

FILES = (
    "study.yaml", "run.json", "events.jsonl", "privacy.json", "audit.json", "evaluation.json", "report.html",
    "samples/labels.csv", "samples/synthetic.safetensors", "figures/samples.png", "data/index.json",
    "data/split.json", "data/findings.json", "checkpoints/round-00002.safetensors", "checkpoints/round-00002.json",
)  # fmt: skip
SITES = ["Ashford", "Brookside", "Cedarhill"]
#: Ray's own processes end by themselves, but take a moment.
ORPHANS = 60.0


def epsilons(run) -> dict[str, float]:
    return run.json("run.json")["privacy"]["epsilon"]["sites"]


@pytest.mark.slow
def test_a_whole_study(start, run_of, until) -> None:
    """The short one: every file of the run directory, and an epsilon that is the ledgers'."""
    command = start("simulate", "tiny.yaml")
    assert command.wait() == 0, command.err.read_text()
    assert command.err.read_text() == ""
    run = run_of()
    for file in FILES:
        assert (run.path / file).is_file(), file
    assert len(list((run.path / "samples").glob("*.png"))) == 12
    summary = run.json("run.json")
    assert summary["status"] == "done"
    assert summary["rounds"] == 2
    assert [site["site"] for site in summary["sites"]] == SITES
    secure = summary["secure_aggregation"]
    assert secure["enabled"] and secure["survivors"] == {"1": SITES, "2": SITES}
    assert secure["exchanges"] == [4, 4] and not secure["aborts"] and secure["bytes"]["from_sites"] > 0
    assert {line["round"]: line["sites"] for line in run.events("round")} == {
        1: SITES,
        2: SITES,
    }
    assert len(run.events("done")) == 1
    assert not run.events("dropout")
    for site, rows in run.ledgers().items():
        assert [row["round"] for row in rows] == [1, 2]
        spends = [Spend(**row["spend"]) for row in rows]
        assert epsilons(run)[site] == epsilon_prv(spends, 1e-3) <= 20
    output = command.out.read_text()
    for words in (
        "round 2/2",
        "epsilon <=",
        "report.html",
        "privacy: Training",
    ):
        assert words in output, words
    until(lambda: not command.left_over(), ORPHANS, "the end of Ray's processes")


@pytest.mark.slow
def test_killed_and_resumed_it_spends_what_an_uninterrupted_run_does(
    start, run_of, trained_rounds, until
) -> None:
    """kill -9 in the middle of training; the ledgers then hold each round once."""
    rounds = ("--set", "training.rounds=12")
    killed = start("simulate", "tiny.yaml", *rounds)
    until(lambda: trained_rounds() >= 3 or killed.process.poll() is not None, 300.0, "the third round")
    killed.process.kill()
    assert killed.wait() == -signal.SIGKILL
    assert trained_rounds() < 12
    killed.kill_session()
    assert run_of().json("run.json")["status"] == "running"
    charged = {site: len(rows) for site, rows in run_of().ledgers().items()}
    assert all(3 <= rows < 12 for rows in charged.values())

    resumed = start("simulate", "tiny.yaml", *rounds, "--resume")
    assert resumed.wait() == 0, resumed.err.read_text()
    run = run_of()
    assert run.json("run.json")["status"] == "done"
    assert run.json("run.json")["rounds"] == 12
    for site, rows in run.ledgers().items():
        assert [row["round"] for row in rows] == list(range(1, 13))
        assert len(Ledger(run.path / "sites" / site / "ledger.jsonl").spends()) == 12
        # the plan of an uninterrupted run: twelve rounds of the very same mechanism
        (spend,) = {tuple(row["spend"].items()) for row in rows}
        whole = epsilon_prv([Spend(**dict(spend))] * 12, 1e-3)
        assert epsilons(run)[site] == pytest.approx(whole)
        assert whole <= 20


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopped_by_a_signal_it_says_so_and_can_go_on(start, run_of, trained_rounds, until, number) -> None:
    rounds = ("--set", "training.rounds=40")
    stopped = start("simulate", "tiny.yaml", *rounds)
    until(lambda: trained_rounds() >= 1 or stopped.process.poll() is not None, 300.0, "the first round")
    stopped.process.send_signal(number)
    assert stopped.wait(90.0) == 130
    assert stopped.err.read_text() == (
        "fedgen: Stopped. Nothing is lost: the same command with --resume goes on from here.\n"
    )
    assert run_of().json("run.json")["status"] == "interrupted"
    assert len(run_of().events("interrupted")) == 1
    until(lambda: not stopped.left_over(), ORPHANS, "the end of Ray's processes")
    done = trained_rounds()
    assert 1 <= done < 40

    resumed = start("simulate", "tiny.yaml", *rounds, "--resume")
    until(lambda: trained_rounds() > done or resumed.process.poll() is not None, 300.0, "another round")
    assert trained_rounds() > done
    rounds_seen = [line["round"] for line in run_of().events("round")]
    assert rounds_seen == list(range(1, len(rounds_seen) + 1))


@pytest.mark.slow
def test_a_stage_can_be_run_again(start, run_of) -> None:
    command = start("simulate", "tiny.yaml", "--set", "training.rounds=1")
    assert command.wait() == 0, command.err.read_text()
    run = run_of()
    before = run.json("audit.json")
    again = start("audit", str(run.path))
    assert again.wait() == 0, again.err.read_text()
    assert run.json("audit.json") == before
    assert run.json("run.json")["status"] == "done"


@pytest.mark.slow
def test_a_site_that_fails_is_quoted(start, run_of) -> None:
    """The aggregation can only say that a site kept silent; the site's own log knows why."""
    first = start("simulate", "tiny.yaml", "--set", "training.rounds=1")
    assert first.wait() == 0, first.err.read_text()
    path = run_of().path
    ledger = path / "sites" / "Brookside" / "ledger.jsonl"
    ledger.write_text(
        ledger.read_text().replace('"round":1', '"round":2').replace('"round": 1', '"round": 2')
    )
    for file in (path / "checkpoints").glob("round-00001*"):
        file.unlink()
    for file in path.glob("sites/*/outbox/*"):
        file.unlink()
    again = start("train", str(path))
    assert again.wait() == 3
    told = again.err.read_text()
    assert told.startswith("fedgen: Site Brookside failed: ")
    assert "ledger.jsonl" in told
