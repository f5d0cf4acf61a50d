"""Seconds of an exchange with all sites: from the tasks handed over to the last answer decoded.

An exchange without a vector is `Describe`, asked again: the site looks whether its policy, its approval and the
manifest are as they were, makes the keys of a session, and answers. An exchange with vectors is `TrainRound`, asked
again: the model goes down, and the site, which trained that round the first time, checks the model's hash and sends
the very update that it kept on its disk. Neither trains, and both are what a site does in a real study.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from deployment.ours import READY_SECONDS, Ours
from deployment.processes import ProcessError
from deployment.study import MILLION, Size, study_of
from fedgen.federation.exchange.contract import ask
from fedgen.protocol.messages import Answer, Describe, RoundUpdate, SiteDescription, Task, TrainRound
from fedgen.recipe import Recipe
from fedgen.study.show import study_hash
from fedgen.study.study import Study
from fedgen.training.vector import vector_sha256
from fedgen_server.exchange import FleetExchange

ANSWER_SECONDS = 900.0
AGAIN_SECONDS = 0.2


def empty(ours: Ours, count: int) -> list[float]:
    """Seconds of `count` exchanges without a vector."""
    study = study_of("messages", len(ours.sites), 1, secure=True)
    with ours.exchange(study) as exchange:
        _described(ours, exchange, study)
        task = Describe(study_sha256=study_hash(study), round=1)
        return [_timed(exchange, dict.fromkeys(ours.sites, task), SiteDescription) for _ in range(count)]


def vectors(
    ours: Ours, count: int, size: Size = MILLION, before: Callable[[int], None] = lambda number: None
) -> list[float]:
    """Seconds of `count` exchanges with the model one way and an update the other.

    Args:
        ours: the federation.
        count: how many are timed; one goes before, for which the sites train.
        size: of the model.
        before: called with an exchange's number before it; the one that is not timed has 0.
    """
    study = study_of("vectors", len(ours.sites), 1, secure=False, size=size)
    model = Recipe.of(study).initial_checkpoint().model
    with ours.exchange(study) as exchange:
        _described(ours, exchange, study)
        task = TrainRound(
            study_sha256=study_hash(study), round=1, model_sha256=vector_sha256(model), model=model
        )
        tasks = dict.fromkeys(ours.sites, task)
        # The first time they train.
        seconds = []
        for number in range(count + 1):
            before(number)
            seconds.append(_timed(exchange, tasks, RoundUpdate))
        return seconds[1:]


def _described(ours: Ours, exchange: FleetExchange, study: Study) -> None:
    """Ask until every site takes part."""
    waiting = set(ours.sites)
    told: Mapping[str, Answer] = {}
    end = time.monotonic() + READY_SECONDS
    task = Describe(study_sha256=study_hash(study), round=1)
    while waiting:
        left = end - time.monotonic()
        if left <= 0:
            raise ProcessError(f"{sorted(waiting)} did not take part: {told}")
        told = ask(exchange, dict.fromkeys(sorted(waiting), task), left)
        waiting -= {site for site, answer in told.items() if isinstance(answer, SiteDescription)}
        if waiting:
            time.sleep(AGAIN_SECONDS)


def _timed(exchange: FleetExchange, tasks: Mapping[str, Task], kind: type[Answer]) -> float:
    started = time.perf_counter()
    answers = ask(exchange, tasks, ANSWER_SECONDS)
    seconds = time.perf_counter() - started
    wrong = {site: answers.get(site) for site in tasks if not isinstance(answers.get(site), kind)}
    if wrong:
        raise ProcessError(f"not answered as they should: {wrong}")
    return seconds
