"""Being told to stop: who is told, in what order, and who handles signals afterwards."""

from __future__ import annotations

import signal
import threading

import pytest

from fedgen.run.signals import INTERRUPTED, STOP_SIGNALS, finishing, interrupt, kept, stopping


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


def test_what_the_block_sets_is_gone_after_it(handlers) -> None:
    with pytest.raises(ZeroDivisionError), kept(*STOP_SIGNALS):
        for number in STOP_SIGNALS:
            signal.signal(number, signal.SIG_IGN)
        raise ZeroDivisionError
    assert {number: signal.getsignal(number) for number in STOP_SIGNALS} == handlers


@pytest.mark.parametrize("number", STOP_SIGNALS)
def test_a_service_is_asked_once_and_ended_the_second_time(handlers, number) -> None:
    event = threading.Event()
    with finishing(event) as asked:
        assert not asked.is_set()
        signal.raise_signal(number)
        assert event.is_set() and asked.is_set()
        with pytest.raises(SystemExit) as left:
            signal.raise_signal(number)
        assert left.value.code == INTERRUPTED == 130
    assert signal.getsignal(number) is handlers[number]


def test_a_service_that_ends_by_itself_was_not_asked(handlers) -> None:
    with finishing(threading.Event()) as asked:
        pass
    assert not asked.is_set()
    assert {number: signal.getsignal(number) for number in STOP_SIGNALS} == handlers


def test_sigterm_becomes_an_interrupt(handlers) -> None:
    signal.signal(signal.SIGTERM, interrupt)
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGTERM)
