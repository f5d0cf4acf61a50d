"""A whole federation on this machine as real processes: the commands that people type, in the order they type them.

Nothing is simulated: the coordinator serves TLS on a port, each site is a process of its own with its own folder, keys,
policy and ledger, and they know of each other what crosses the wire. Only the patients are made up.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from fedgen.data.phantom.write import native_size, write_phantom_site
from fedgen.errors import FederationError, StudyError
from fedgen.run.atomic import write_atomic
from fedgen.run.directory import RunDirectory
from fedgen.run.signals import INTERRUPTED
from fedgen.run.summary import RunSummary
from fedgen.study.study import Study
from fedgen_server.conduct_lock import is_conducted
from fedgen_server.folder import Federation

#: Seconds for a process to come up, and for a command to end.
START_SECONDS, COMMAND_SECONDS, STOP_SECONDS = 120.0, 300.0, 20.0
POLL_SECONDS = 0.2
#: Seconds in which a run that somebody stopped may be resumed, before the demonstration ends.
RESUME_SECONDS = 3600.0

SITE_FILE = """\
# Written by `fedgen-server demo`: a hospital writes its own.
cohorts:
  main:
    folder: {folder}
    maximum_epsilon: {epsilon}
    delta: {delta}
policy:
  minimum_sites: {minimum_sites}
  minimum_cohort: 20
  largest_study_epsilon: {epsilon}
"""

Say = Callable[[str], None]


@dataclass
class Processes:
    """What the demonstration started; all of it ends with it.

    Attributes:
        folder: they all work in it, so that the commands read as a person would type them.
        logs: where outputs go that nobody needs to read.
        say: told each command, after a dollar sign.
    """

    folder: Path
    logs: Path
    say: Say
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def start(self, name: str, program: str, arguments: Sequence[str], *, shown: bool = False) -> None:
        """Start a process that goes on."""
        self.say(f"$ {program} {shlex.join(arguments)} &")
        if shown:
            self.running[name] = subprocess.Popen(
                _command(program, arguments), start_new_session=True, cwd=self.folder
            )
            return
        with (self.logs / f"{name}.log").open("wb") as out:
            self.running[name] = subprocess.Popen(
                _command(program, arguments),
                stdout=out,
                stderr=out,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
                cwd=self.folder,
            )

    def run(self, program: str, arguments: Sequence[str]) -> str:
        """Run a command to its end; returns its standard output.

        Raises:
            FederationError: it failed; its own sentence is told.
        """
        self.say(f"$ {program} {shlex.join(arguments)}")
        done = subprocess.run(
            _command(program, arguments),
            capture_output=True,
            text=True,
            timeout=COMMAND_SECONDS,
            check=False,
            cwd=self.folder,
        )
        if done.returncode != 0:
            told = (done.stderr.strip() or done.stdout.strip()).splitlines()
            raise FederationError(
                f"`{program} {arguments[0]}` ended with {done.returncode}: {' '.join(told[-3:])}"
            )
        return done.stdout

    def check(self) -> None:
        """Raise FederationError where a process that should go on has ended."""
        for name, process in self.running.items():
            if process.poll() not in (None, 0):
                raise FederationError(
                    f"The process {name} ended with {process.returncode}: see {self.logs / f'{name}.log'}."
                )

    def wait(self, name: str) -> int:
        """Wait for a process to end by itself, as long as the others go on; returns its exit code."""
        process = self.running[name]
        while process.poll() is None:
            self.check()
            time.sleep(POLL_SECONDS)
        return process.wait()

    def stop(self) -> None:
        """End everything, politely first."""
        for process in self.running.values():
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        end = time.monotonic() + STOP_SECONDS
        for process in self.running.values():
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(max(0.0, end - time.monotonic()))
            with contextlib.suppress(ProcessLookupError, PermissionError):
                # Also what it started itself.
                os.killpg(process.pid, signal.SIGKILL)


def demonstrate(
    study: Study,
    names: Sequence[str],
    study_arguments: Sequence[str],
    out: Path,
    say: Say,
    start: Path | None = None,
) -> Path:
    """Train `study` over one process a site, with TLS, authentication, policies, ledgers and secure aggregation on.

    Args:
        study: with a phantom.
        names: of the sites.
        study_arguments: how `fedgen-server run` is told of the same study.
        out: a new folder for everything.
        say: told each command, and what a site reads of what the study stands on.
        start: file of the study's pretrained weights or of its prior, which every site is given.

    Returns:
        the run folder, with its report.

    Raises:
        FederationError: a process failed.
        StudyError: the study has no phantom.
    """
    if study.data.phantom is None:
        raise StudyError("The demonstration makes up its patients: choose a study with data.phantom.")
    out.mkdir(parents=True)
    logs = out / "logs"
    logs.mkdir()
    coordinator = out / "coordinator"
    at = ["--folder", "coordinator"]
    with _processes(out, logs, say) as processes:
        address = f"127.0.0.1:{_free_port()}"
        processes.run(
            "fedgen-server",
            ["init", "coordinator", "--name", "demo", "--address", address, "--host", "127.0.0.1"],
        )
        processes.start("coordinator", "fedgen-server", ["start", *at])
        # Looked up here and not by `fedgen-server status`, which would start over and over while others begin.
        federation = Federation.open(coordinator)
        _until(federation.is_served, processes, "the server")
        say(f"watch it: {processes.run('fedgen-server', ['page', *at]).strip()}")
        for name in names:
            own = out / "sites" / name
            data = out / "data" / name
            size = native_size(study.data.image_size)
            write_phantom_site(data, study.data.phantom, name, study.study.seed, size)
            own.mkdir(parents=True)
            write_atomic(own / "site.yaml", _site_file(study, data).encode())
            token = processes.run("fedgen-server", ["invite", name, *at]).strip()
            processes.run("fedgen-client", ["join", token, "--folder", f"sites/{name}"])
            processes.run("fedgen-client", ["check", "--folder", f"sites/{name}"])
        given = [] if start is None else ["--prior", str(start.absolute())]
        processes.start("run", "fedgen-server", ["run", *study_arguments, *given, *at], shown=True)
        _until(federation.studies.open, processes, "the study")
        for name in names:
            own = out / "sites" / name
            asked = ["approve", study.study.name, "--yes", *given, "--folder", f"sites/{name}"]
            read = processes.run("fedgen-client", asked)
            write_atomic(logs / f"{name}-approves.log", read.encode())
            if name == names[0]:
                for line in _paragraph(read, "stands on"):
                    say(line)
            processes.start(name, "fedgen-client", ["start", "--once", "--folder", f"sites/{name}"])
        code = processes.wait("run")
        if code not in (0, INTERRUPTED):
            raise FederationError(
                f"`fedgen-server run` ended with {code}: its message is above, all logs are in {logs}."
            )
        (run,) = (coordinator / "runs").iterdir()
        if code == INTERRUPTED:
            del processes.running["run"]
            _until_resumed(RunDirectory(run), processes)
        for name in names:
            processes.run("fedgen-client", ["ledger", "--folder", f"sites/{name}"])
    return run


def _until_resumed(run: RunDirectory, processes: Processes) -> None:
    """Wait until a run that somebody stopped has been resumed and is done, however often it is stopped again.

    Raises:
        FederationError: a process ended, the resumed run failed, or nobody resumed it.
    """
    processes.say(
        "The run was stopped, and nothing is lost: Resume… on the page goes on with it. Ctrl-C ends the demonstration."
    )
    end = time.monotonic() + RESUME_SECONDS
    while (status := RunSummary.read(run).status) != "done" or is_conducted(run):
        processes.check()
        if is_conducted(run):
            end = time.monotonic() + RESUME_SECONDS
        elif status == "failed":
            raise FederationError(f"The resumed run failed: see {run.path / 'resume.log'}.")
        elif time.monotonic() > end:
            raise FederationError(
                f"Nobody resumed the run within {RESUME_SECONDS / 60:.0f} minutes. Nothing is lost: start the "
                f"coordinator and the sites again with the commands above, in {processes.folder}."
            )
        time.sleep(POLL_SECONDS)


def _command(program: str, arguments: Sequence[str]) -> list[str]:
    module = {"fedgen-server": "fedgen_server.cli", "fedgen-client": "fedgen_client.cli"}[program]
    return [sys.executable, "-m", module, *arguments]


def _paragraph(text: str, heading: str) -> list[str]:
    """The lines of one of the paragraphs that `fedgen-client approve` prints; none where it is not there."""
    lines = text.splitlines()
    first = next((number for number, line in enumerate(lines) if line.startswith(heading)), len(lines))
    rest = itertools.takewhile(lambda line: line.startswith(" "), lines[first + 1 :])
    return [*lines[first : first + 1], *rest]


def _site_file(study: Study, data: Path) -> str:
    return SITE_FILE.format(
        folder=json.dumps(str(data.absolute())),
        epsilon=study.privacy.epsilon,
        delta=study.privacy.delta,
        minimum_sites=study.aggregation.minimum_sites,
    )


def _until(condition: Callable[[], object], processes: Processes, what: str) -> None:
    end = time.monotonic() + START_SECONDS
    while not condition():
        processes.check()
        if time.monotonic() > end:
            raise FederationError(f"Waited {START_SECONDS:.0f} s for {what}: see {processes.logs}.")
        time.sleep(POLL_SECONDS)


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@contextlib.contextmanager
def _processes(folder: Path, logs: Path, say: Say) -> Iterator[Processes]:
    processes = Processes(folder, logs, say)
    try:
        yield processes
    finally:
        processes.stop()
