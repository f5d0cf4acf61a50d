"""A coordinator's ServerApp over a grid in memory: it trains, waits no longer than it may, and trusts no node."""

from __future__ import annotations

import json
import threading
import time

import numpy as np
import pytest
import torch
from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Error, RecordDict

from fedgen.errors import ExitCode, FederationError
from fedgen.federation.coordinator.aggregation import PlainAggregator
from fedgen.federation.coordinator.rounds import train
from fedgen.federation.exchange.contract import ask
from fedgen.federation.exchange.direct import DirectExchange
from fedgen.federation.exchange.flower import FlowerExchange, server_app, wait_for_nodes
from fedgen.federation.site.site import Site
from fedgen.protocol.messages import Describe, Refusal
from fedgen.recipe import Recipe
from fedgen.run.directory import RunDirectory
from fedgen.study.show import study_hash
from fedgen_privacy.ledger import Ledger

PLAIN = {"mode": "none"}


@pytest.fixture
def run(tmp_path) -> RunDirectory:
    return RunDirectory.create(tmp_path, "run")


def drive(study, run, grid, **options):
    """Run the ServerApp's main as Flower does, and return what was trained."""
    values = {"sites": len(grid.apps), "connect_deadline": 1.0, "on_round": None, **options}
    trained = []

    def main(exchange: FlowerExchange) -> None:
        trained.append(train(Recipe.of(study), exchange, PlainAggregator(), run, values["on_round"]))

    app = server_app(main, values["sites"], values["connect_deadline"], threading.Event())
    app(grid, Context(1, 0, {}, RecordDict(), {}))
    return trained[0]


def events(run, kind):
    lines = [json.loads(line) for line in run.events.read_text(encoding="utf-8").splitlines()]
    return [line for line in lines if line["event"] == kind]


def exchange_of(grid) -> FlowerExchange:
    return FlowerExchange(grid, sorted(grid.apps), threading.Event())


def test_it_trains_as_without_a_transport(tiny_study, tiny_site, memory, run, tmp_path) -> None:
    study = tiny_study(privacy=PLAIN)
    reports = []
    trained = drive(study, run, memory(study).grid, on_round=reports.append)
    assert [report.sites for report in reports] == [("east", "north", "south")] * 3
    assert [site.site for site in trained.sites] == ["east", "north", "south"]
    sites = [
        Site(Recipe.of(study), tiny_site(n, p), tmp_path / "other" / n)
        for n, p in (("east", 6), ("north", 9), ("south", 9))
    ]
    expected = train(
        Recipe.of(study), DirectExchange(sites), PlainAggregator(), RunDirectory.create(tmp_path, "other")
    )
    assert torch.equal(trained.checkpoint.model, expected.checkpoint.model)
    assert not events(run, "left_out")


def test_messages_carry_the_deadline_of_their_round(tiny_study, memory, run) -> None:
    study = tiny_study(privacy=PLAIN, aggregation={"deadline": 77.0})
    made = memory(study)
    drive(study, run, made.grid)
    assert {message.metadata.ttl for message in made.grid.sent[3:]} == {77.0}
    assert {message.metadata.message_type for message in made.grid.sent} == {"query.fedgen"}


def test_it_charges_each_site_a_row_a_round(tiny_study, memory, run, tmp_path) -> None:
    study = tiny_study()
    drive(study, run, memory(study).grid)
    for name in ("east", "north", "south"):
        assert [row.round for row in Ledger(tmp_path / "sites" / name / "ledger.jsonl")] == [1, 2, 3]


def is_round(message, number: int) -> bool:
    text = message.content.config_records["message"]["json"]
    return json.loads(text)["message"].get("round") == number


def test_a_silent_node_is_missed_by_name_and_taken_back(tiny_study, memory, run) -> None:
    study = tiny_study(privacy=PLAIN, aggregation={"deadline": 3.0})
    made = memory(study)
    made.grid.fault = lambda node, m: None if node == made.nodes["north"] and is_round(m, 2) else m
    reports = []
    drive(study, run, made.grid, on_round=reports.append)
    assert reports[1].missing == {"north": "no answer within aggregation.deadline"}
    assert reports[2].missing == {}


def test_an_error_of_flower_is_a_refusal_without_its_reason(tiny_study, memory, run) -> None:
    study = tiny_study(privacy=PLAIN)
    made = memory(study)
    error = Error(code=2, reason="ValueError in /data/Meier^Anna")
    made.grid.fault = lambda node, m: error if node == made.nodes["north"] and is_round(m, 2) else m
    reports = []
    drive(study, run, made.grid, on_round=reports.append)
    assert reports[1].missing == {"north": "refused with exit code 5 (Flower error 2)"}
    assert "Meier" not in run.events.read_text()


def reply(text, vector=None):
    arrays = {} if vector is None else {"vector": Array(np.asarray(vector))}
    return RecordDict({"message": ConfigRecord({"json": text}), "arrays": ArrayRecord(arrays)})


@pytest.mark.parametrize(
    "content",
    [RecordDict(), reply("{"), reply("[" * 100_000), reply('{"kind": "describe"}'), reply("{}", np.zeros(3))],
)
def test_nonsense_from_a_node_is_a_refusal(tiny_study, memory, content) -> None:
    study = tiny_study(privacy=PLAIN)
    made = memory(study)
    from flwr.app import Message

    made.grid.apps[made.nodes["north"]] = lambda message, context: Message(content, reply_to=message)
    answers = ask(
        exchange_of(made.grid),
        dict.fromkeys(("50", "60", "70"), Describe(study_sha256=study_hash(study), round=1)),
        1.0,
    )
    assert sum(isinstance(answer, Refusal) for answer in answers.values()) == 1
    assert {"east", "south"} < set(answers)


def test_a_node_cannot_take_another_name_later(tiny_study, memory, run) -> None:
    study = tiny_study(privacy=PLAIN)
    made = memory(study)
    exchange = exchange_of(made.grid)
    task = Describe(study_sha256=study_hash(study), round=1)
    ask(exchange, dict.fromkeys(exchange.sites(), task), 1.0)
    assert list(exchange.sites()) == ["east", "north", "south"]
    made.sites["north"].name = "south"
    answers = ask(exchange, dict.fromkeys(exchange.sites(), task), 1.0)
    assert set(answers) == {"east", "north", "south"}


def test_two_nodes_of_one_name_are_refused(tiny_study, memory) -> None:
    study = tiny_study(privacy=PLAIN)
    made = memory(study)
    made.sites["north"].name = "south"
    with pytest.raises(FederationError, match="Two nodes call themselves south"):
        ask(
            exchange_of(made.grid),
            dict.fromkeys(("50", "60", "70"), Describe(study_sha256=study_hash(study), round=1)),
            1.0,
        )


def test_a_node_that_does_not_describe_itself_is_left_out_by_its_id(
    tiny_study, memory, run, monkeypatch
) -> None:
    monkeypatch.setattr("fedgen.federation.coordinator.rounds.DESCRIBE_DEADLINE", 0.3)
    monkeypatch.setattr("fedgen.federation.coordinator.rounds.LATE_DEADLINE", 0.1)
    study = tiny_study(privacy=PLAIN)
    made = memory(study)
    made.grid.fault = lambda node, m: (
        m if node != 60 or '"kind":"describe"' not in m.content.config_records["message"]["json"] else None
    )
    trained = drive(study, run, made.grid)
    assert len(trained.sites) == 2
    (line,) = events(run, "left_out")
    assert line["site"] == "60"
    # It may come late, so it is asked again, ever more rarely, and for nothing else.
    later = [m for m in made.grid.sent[3:] if m.metadata.dst_node_id == 60]
    assert len(later) == 1
    assert '"kind":"describe"' in later[0].content.config_records["message"]["json"]


def test_messages_flower_did_not_take_end_the_round(tiny_study, memory) -> None:
    """It logs a refused push and returns fewer ids."""
    study = tiny_study(privacy=PLAIN)
    made = memory(study)
    made.grid.push_messages = lambda messages: []
    with pytest.raises(FederationError, match="0 of 3 messages"):
        ask(
            exchange_of(made.grid),
            dict.fromkeys(("50", "60", "70"), Describe(study_sha256=study_hash(study), round=1)),
            1.0,
        )


def test_a_deadline_is_kept(tiny_study, memory) -> None:
    study = tiny_study(privacy=PLAIN)
    made = memory(study, lambda node, message: None)
    started = time.monotonic()
    task = Describe(study_sha256=study_hash(study), round=1)
    assert ask(exchange_of(made.grid), {"50": task}, 0.3) == {}
    assert 0.3 <= time.monotonic() - started < 5


def test_a_stopped_run_waits_no_longer(tiny_study, memory) -> None:
    study = tiny_study(privacy=PLAIN)
    made = memory(study, lambda node, message: None)
    stop = threading.Event()
    stop.set()
    task = Describe(study_sha256=study_hash(study), round=1)
    with pytest.raises(FederationError, match="The run was stopped: start it again"):
        ask(FlowerExchange(made.grid, [50], stop), {"50": task}, 60.0)


def test_too_few_nodes_end_with_a_sentence(tiny_study, memory, run) -> None:
    made = memory(tiny_study(privacy=PLAIN))
    started = time.monotonic()
    with pytest.raises(FederationError, match=r"3 of 4 sites connected within 0\.2 s") as failed:
        wait_for_nodes(made.grid, 4, 0.2)
    assert failed.value.exit_code == ExitCode.FEDERATION
    assert 0.2 <= time.monotonic() - started < 5
    with pytest.raises(FederationError, match="3 of 4"):
        drive(tiny_study(privacy=PLAIN), run, made.grid, sites=4, connect_deadline=0.1)
    assert wait_for_nodes(made.grid, 3, 0.2) == [50, 60, 70]


def test_nodes_that_come_late_are_waited_for(tiny_study, memory) -> None:
    made = memory(tiny_study(privacy=PLAIN))
    seen = iter([[], [50], [50, 60], [60, 50, 70]])
    made.grid.get_node_ids = lambda: next(seen)
    assert wait_for_nodes(made.grid, 3, 30.0) == [50, 60, 70]
