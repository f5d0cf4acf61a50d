"""How a command of fedgen ends: every error as one sentence on standard error, and an exit code."""

from __future__ import annotations

import errno
import io
import os
import signal
import sys
import warnings
from dataclasses import dataclass
from typing import NoReturn

import typer

from fedgen.errors import ExitCode, FedgenError
from fedgen.run.garbage import look_less_often
from fedgen.run.hints import Hints, hints, speak_as
from fedgen.run.signals import INTERRUPTED, interrupt

#: A defect of fedgen itself, which no other code stands for.
DEFECT = 1


@dataclass(frozen=True)
class Shell:
    """The outermost layer of a program.

    Attributes:
        name: of the program, which begins every sentence.
        words: what a person is told to do next; a command with better ones says so itself.
    """

    name: str
    words: Hints

    def run(self, app: typer.Typer) -> None:
        """Run a command line; `--debug` anywhere on it adds tracebacks."""
        debug = "--debug" in sys.argv[1:]
        if not debug:
            # Libraries warn about their own future; a hospital's screen is no place for that.
            warnings.simplefilter("ignore")
        # A file's name need not be UTF-8: what cannot be printed is printed as an escape, as on standard error.
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(errors="backslashreplace")
        speak_as(self.words)
        signal.signal(signal.SIGTERM, interrupt)
        look_less_often()
        try:
            app(standalone_mode=True)
        except FedgenError as error:
            self._fail(str(error), int(error.exit_code), debug)
        except SystemExit as left:
            # typer turns an interrupt into this exit without a word
            if left.code != INTERRUPTED:
                raise
            self._stopped(debug)
        except OSError as error:
            if error.errno != errno.ENOSPC:
                self._defect(error, debug)
            self._fail(f"The disk is full: free some space and {hints().again}.", ExitCode.DATA, debug)
        except Exception as error:
            self._defect(error, debug)

    def _stopped(self, debug: bool) -> NoReturn:
        try:
            self._fail(f"Stopped. Nothing is lost: {hints().stopped}.", INTERRUPTED, debug)
        finally:
            # Everything is on disk, and an orderly exit would wait for Flower's and Ray's threads, which an interrupt
            # can leave waiting for each other. Ray's processes die with this one.
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(INTERRUPTED)

    def _defect(self, error: Exception, debug: bool) -> NoReturn:
        self._fail(
            f"This is a defect in fedgen ({type(error).__name__}: {error}): run again with `{self.name} --debug` and "
            "report it.",
            DEFECT,
            debug,
        )

    def _fail(self, sentence: str, code: int, debug: bool) -> NoReturn:
        # Here, since a command that ends well may not need it.
        from rich.console import Console

        console = Console(stderr=True)
        if debug:
            console.print_exception()
        console.print(f"{self.name}: {sentence}", style="red", markup=False, highlight=False, soft_wrap=True)
        sys.exit(int(code))
