"""A coordinator's ServerApp: the workshop's rounds over the sites that connect."""

from __future__ import annotations

import threading
from collections.abc import Callable

from flwr.serverapp import ServerApp

from fedgen.federation.aggregation import Aggregator
from fedgen.federation.coordinator import RoundReport, Trained, train
from fedgen.federation.flower import FlowerExchange, server_app
from fedgen.run.directory import RunDirectory
from fedgen.study.study import Study


def app_of(
    study: Study,
    run: RunDirectory,
    aggregator: Aggregator,
    *,
    sites: int,
    connect_deadline: float,
    on_round: Callable[[RoundReport], None] | None = None,
    on_trained: Callable[[Trained], None] | None = None,
) -> ServerApp:
    """The ServerApp that waits for `sites` sites and trains `study` into `run`.

    It raises FederationError where too few sites connect within `connect_deadline` seconds.
    """

    def main(exchange: FlowerExchange) -> None:
        trained = train(study, exchange, aggregator, run, on_round)
        if on_trained is not None:
            on_trained(trained)

    return server_app(main, sites, connect_deadline, threading.Event())
