"""Stopping a simulation: who is told, in what order, and who handles signals afterwards. No Ray is started."""

from __future__ import annotations

import logging
import signal
import threading

import pytest

from fedgen.federation.simulation import engine
from fedgen.federation.simulation.simulate_training import STOP_SIGNALS, _quiet_flower, stopping


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


@pytest.mark.parametrize("number", STOP_SIGNALS)
def test_a_signal_sets_the_event_before_it_interrupts(handlers, number) -> None:
    """Flower joins its threads on the way out, and they only end once the event is set."""
    event = threading.Event()
    with pytest.raises(KeyboardInterrupt), stopping(event):
        try:
            signal.raise_signal(number)
        except KeyboardInterrupt:
            assert event.is_set()
            raise
    assert signal.getsignal(number) is handlers[number]


def test_leaving_sets_the_event_and_puts_the_handlers_back(handlers) -> None:
    event = threading.Event()
    with stopping(event):
        assert not event.is_set()
        assert all(signal.getsignal(number) is not handlers[number] for number in STOP_SIGNALS)
    assert event.is_set()
    assert all(signal.getsignal(number) is handlers[number] for number in STOP_SIGNALS)


def test_an_ignored_signal_stays_ignored(handlers) -> None:
    """A shell ignores Ctrl-C for what it starts in the background."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    event = threading.Event()
    with stopping(event):
        signal.raise_signal(signal.SIGINT)
        assert not event.is_set()
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN


def test_another_thread_sets_no_handlers(handlers) -> None:
    seen = []

    def work():
        with stopping(threading.Event()):
            seen.append({number: signal.getsignal(number) for number in STOP_SIGNALS})

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [handlers]


@pytest.fixture
def ray_calls(monkeypatch):
    """What is asked of Ray; like the real one, starting it takes SIGTERM over."""
    calls = []

    def init(**options):
        calls.append("init")
        signal.signal(signal.SIGTERM, signal.SIG_IGN)

    monkeypatch.setattr(engine.ray, "init", init)
    monkeypatch.setattr(engine.ray, "shutdown", lambda: calls.append("shutdown"))
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
