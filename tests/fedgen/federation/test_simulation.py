"""Stopping a simulation: who is told, in what order, and who handles signals afterwards. No Ray is started."""

from __future__ import annotations

import logging
import signal
import threading

import pytest

from fedgen.errors import FederationError
from fedgen.federation.simulation import engine, ray_processes
from fedgen.federation.simulation.virtual_sites import _quiet_flower
from fedgen.run.signals import STOP_SIGNALS


@pytest.fixture
def handlers():
    """Python's own handler for Ctrl-C and one like the command's for SIGTERM; put back afterwards."""
    before = {number: signal.getsignal(number) for number in STOP_SIGNALS}

    def stop(number, frame):
        raise KeyboardInterrupt

    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, stop)
    yield {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: stop}
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def ray_calls(monkeypatch):
    """What is asked of Ray; like the real one, starting it takes SIGTERM over."""
    calls = []

    def init(**options):
        calls.append("init")
        signal.signal(signal.SIGTERM, signal.SIG_IGN)

    monkeypatch.setattr(ray_processes.ray, "init", init)
    monkeypatch.setattr(ray_processes.ray, "shutdown", lambda: calls.append("shutdown"))
    return calls


def test_ray_is_stopped_after_training_and_never_keeps_sigterm(handlers, ray_calls) -> None:
    with engine.ray_engine(2):
        assert signal.getsignal(signal.SIGTERM) is handlers[signal.SIGTERM]
    assert ray_calls == ["init", "shutdown"]
    assert signal.getsignal(signal.SIGTERM) is handlers[signal.SIGTERM]


def test_an_interrupt_leaves_ray_to_the_end_of_the_process(handlers, ray_calls) -> None:
    with pytest.raises(KeyboardInterrupt), engine.ray_engine(2):
        raise KeyboardInterrupt
    assert ray_calls == ["init"]
    assert signal.getsignal(signal.SIGTERM) is handlers[signal.SIGTERM]


def test_a_machine_too_busy_for_ray_is_told_so(handlers, monkeypatch) -> None:
    def init(**options):
        raise Exception("The current node timed out during startup.\nMore.")

    monkeypatch.setattr(ray_processes.ray, "init", init)
    with (
        pytest.raises(FederationError, match=r"timed out during startup\.\): this machine is too busy"),
        engine.ray_engine(2),
    ):
        pytest.fail("there is no Ray")


def test_a_ray_that_is_not_ours_is_neither_used_nor_stopped(handlers, ray_calls, monkeypatch) -> None:
    monkeypatch.setattr(ray_processes.ray, "is_initialized", lambda: True)
    with pytest.raises(FederationError, match="runs in this program already"), engine.ray_engine(2):
        pytest.fail("it is somebody else's")
    assert ray_calls == []


def test_flower_is_quiet_but_for_errors_until_the_run_is_stopped(caplog) -> None:
    logger, stop = logging.getLogger("flwr"), threading.Event()
    level, filters = logger.level, list(logger.filters)
    propagate, logger.propagate = logger.propagate, True
    try:
        with _quiet_flower(stop):
            logger.warning("chatter")
            logger.error("a worker died")
            stop.set()
            logger.error("killed workers are no news")
        logger.error("a last word of a thread")
    finally:
        logger.setLevel(level)
        logger.filters, logger.propagate = filters, propagate
    assert [record.message for record in caplog.records] == ["a worker died"]
