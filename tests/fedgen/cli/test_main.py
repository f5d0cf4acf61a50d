"""How `run` ends: interrupts, full disks and defects, each with its code and one sentence."""

from __future__ import annotations

import errno
import signal
import sys

import pytest

from fedgen.cli import main
from fedgen.errors import ExitCode, FedgenError, GateError


@pytest.fixture
def ends(monkeypatch, capsys):
    """`ends(error)`: exit code and stderr of a command that raises it."""
    handler = signal.getsignal(signal.SIGTERM)

    def call(error: BaseException, *arguments: str) -> tuple[int, str]:
        def fail() -> None:
            raise error

        monkeypatch.setattr(sys, "argv", ["fedgen", *arguments, "version"])
        with monkeypatch.context() as patch, pytest.raises(SystemExit) as left:
            patch.setattr(main.typer, "echo", lambda _: fail())
            patch.setattr("fedgen.cli.shell.os._exit", sys.exit)
            main.run()
        return left.value.code, capsys.readouterr().err

    yield call
    signal.signal(signal.SIGTERM, handler)


@pytest.mark.parametrize("kind", [*FedgenError.__subclasses__(), FedgenError])
def test_an_error_is_its_sentence_and_its_code(ends, kind) -> None:
    assert ends(kind("What is [wrong] and what to do.")) == (
        int(kind.exit_code),
        "fedgen: What is [wrong] and what to do.\n",
    )


def test_codes_are_those_of_the_documentation(ends) -> None:
    assert ends(GateError("No."))[0] == 6 == ExitCode.GATE


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(130)])
def test_an_interrupt_says_how_to_go_on(ends, error) -> None:
    code, text = ends(error)
    assert code == 130
    assert text == "fedgen: Stopped. Nothing is lost: give the same command again.\n"


def test_sigterm_is_an_interrupt(ends) -> None:
    ends(KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGTERM)


def test_a_full_disk(ends) -> None:
    code, text = ends(OSError(errno.ENOSPC, "No space left on device"))
    assert code == 4
    assert text.startswith("fedgen: The disk is full")


@pytest.mark.parametrize(
    "error", [RuntimeError("boom"), OSError(errno.EIO, "boom"), ZeroDivisionError("boom")]
)
def test_a_defect_asks_for_a_report(ends, error) -> None:
    code, text = ends(error)
    assert code == 1
    assert text.count("\n") == 1
    assert "This is a defect in fedgen" in text
    assert type(error).__name__ in text
    assert "Traceback" not in text


def test_debug_shows_where(ends) -> None:
    code, text = ends(RuntimeError("boom"), "--debug")
    assert code == 1
    assert "Traceback" in text
    assert "test_main.py" in text
