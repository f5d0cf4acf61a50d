"""The `fedgen` command: a thin shell around the stages."""

from __future__ import annotations

import errno
import os
import signal
import sys
import warnings
from types import FrameType
from typing import Annotated, NoReturn

import typer
from rich.console import Console

from fedgen import __version__
from fedgen.cli import data, models, privacy, runs, study
from fedgen.errors import ExitCode, FedgenError

#: What shells report for a program stopped by Ctrl-C: 128 + SIGINT.
INTERRUPTED = 130
#: A defect of fedgen itself, which no other code stands for.
DEFECT = 1

app = typer.Typer(
    help="Federated, private training of medical image generators, with audited synthetic data.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(study.app, name="study")
app.add_typer(data.app, name="data")
app.add_typer(privacy.app, name="privacy")
app.command("models")(models.models)
runs.add_to(app)


@app.callback()
def options(
    debug: Annotated[bool, typer.Option("--debug", help="Show a traceback with every error.")] = False,
) -> None:
    """Options before the command."""
    del debug  # read from the command line in `run`, so that errors while parsing are covered too


@app.command("version")
def print_version() -> None:
    """Print the version."""
    typer.echo(__version__)


def run() -> None:
    """Entry point: turns every error into one sentence and an exit code."""
    debug = "--debug" in sys.argv[1:]
    if not debug:
        # Libraries warn about their own future; a hospital's screen is no place for that.
        warnings.simplefilter("ignore")
    signal.signal(signal.SIGTERM, _stop)
    try:
        app(standalone_mode=True)
    except FedgenError as error:
        _fail(str(error), int(error.exit_code), debug)
    except SystemExit as left:
        # typer turns an interrupt into this exit without a word
        if left.code != INTERRUPTED:
            raise
        _stopped(debug)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            _defect(error, debug)
        _fail("The disk is full: free some space and continue with --resume.", ExitCode.DATA, debug)
    except Exception as error:
        _defect(error, debug)


def _stopped(debug: bool) -> NoReturn:
    try:
        _fail(
            "Stopped. Nothing is lost: the same command with --resume goes on from here.", INTERRUPTED, debug
        )
    finally:
        # Everything is on disk, and an orderly exit would wait for Flower's and Ray's threads, which an interrupt
        # can leave waiting for each other. Ray's processes die with this one.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(INTERRUPTED)


def _stop(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _defect(error: Exception, debug: bool) -> NoReturn:
    _fail(
        f"This is a defect in fedgen ({type(error).__name__}: {error}): run again with `fedgen --debug` and report it.",
        DEFECT,
        debug,
    )


def _fail(sentence: str, code: int, debug: bool) -> NoReturn:
    console = Console(stderr=True)
    if debug:
        console.print_exception()
    console.print(f"fedgen: {sentence}", style="red", markup=False, highlight=False, soft_wrap=True)
    sys.exit(int(code))
