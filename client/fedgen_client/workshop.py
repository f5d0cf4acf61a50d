"""The supervisor's end of the worker: started when there is work, kept warm, replaced when it dies or grows."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from socket import socketpair
from typing import Any, TypeVar

from fedgen.errors import FederationError
from fedgen_client.frames import Answered, Frame, Handed, Noted, Ready, receive_noted, send
from fedgen_client.told import Told

F = TypeVar("F", bound=Frame)

#: Seconds for imports, on a slow disk and a busy machine.
START_SECONDS = 180.0
POLL_SECONDS = 0.2

#: glibc otherwise maps and faults the per-record gradients anew in every step.
ALLOCATOR = {
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": "4294967296",
    "MALLOC_MMAP_THRESHOLD_": "4294967296",
}


class WorkerDiedError(FederationError):
    """The worker ended in the middle of a message; the next one gets a new worker."""


@dataclass(frozen=True)
class Worked:
    """An answer of the worker.

    Attributes:
        header, tree, objects: the reply, as `fedgen.flower.fleet.Outgoing` has them.
        seconds: it took.
        told: about it.
    """

    header: bytes
    tree: bytes
    objects: dict[str, bytes]
    seconds: float
    told: Told


class Worker:
    """The one worker process of a site.

    Args:
        folder: the site's folder.
        memory: bytes at which it is replaced between messages; None for never.
        note: told what the worker says that it is at.
    """

    def __init__(
        self, folder: Path, memory: int | None, note: Callable[[str], None] = lambda said: None
    ) -> None:
        self._folder, self._memory, self._note = folder, memory, note
        self._process: subprocess.Popen[bytes] | None = None
        self._pipe: Connection | None = None
        self._grown = False

    @property
    def running(self) -> bool:
        """Whether the process is there."""
        return self._process is not None and self._process.poll() is None

    def answer(
        self, run_id: int, node_id: int, message_id: str, objects: dict[str, bytes], stopped: Any
    ) -> Worked:
        """Let the worker answer a message, starting it where it is not there.

        Args:
            stopped: a `threading.Event`; when it is set the worker is killed, and nothing is lost by it.

        Raises:
            WorkerDiedError: it ended, or was stopped, before it answered.
        """
        if not self.running:
            self._start(stopped)
        asked = Handed(run_id=run_id, node_id=node_id, message_id=message_id, objects=list(objects))
        answer, (header, tree, *parts) = self._ask(asked, list(objects.values()), stopped)
        self._grown = self._memory is not None and answer.memory > self._memory
        return Worked(
            header=header,
            tree=tree,
            objects=dict(zip(answer.objects, parts, strict=True)),
            seconds=answer.seconds,
            told=answer.told,
        )

    def rest(self) -> bool:
        """End the process if it has grown above its limit; True where it was. The next message starts another."""
        if self._grown:
            self.end()
            return True
        return False

    def end(self) -> None:
        """End the process; what it was doing is on disk or was not begun."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        if self._pipe is not None:
            self._pipe.close()
        self._process = self._pipe = None
        self._grown = False

    def _start(self, stopped: Any) -> None:
        self.end()
        ours, theirs = socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "fedgen_client.worker", str(self._folder), str(theirs.fileno())],
                pass_fds=(theirs.fileno(),),
                stdin=subprocess.DEVNULL,
                env={**ALLOCATOR, **os.environ},
            )
        self._pipe = Connection(ours.detach())
        self._await(Ready, stopped, START_SECONDS)

    def _ask(self, asked: Handed, content: list[bytes], stopped: Any) -> tuple[Answered, list[bytes]]:
        if self._pipe is None:
            raise WorkerDiedError("The worker is not there.")
        try:
            send(self._pipe, asked, content)
        except OSError as error:
            raise self._died() from error
        return self._await(Answered, stopped, None)

    def _await(self, form: type[F], stopped: Any, seconds: float | None) -> tuple[F, list[bytes]]:
        # The coordinator's deadline, not ours, says how long an answer may take; only the start has one here.
        end = None if seconds is None else time.monotonic() + seconds
        if self._pipe is None:
            raise WorkerDiedError("The worker is not there.")
        try:
            while True:
                while not self._pipe.poll(POLL_SECONDS):
                    if stopped.is_set():
                        self.end()
                        raise WorkerDiedError("The worker was stopped.")
                    if end is not None and time.monotonic() > end:
                        self.end()
                        raise WorkerDiedError(f"The worker did not start within {seconds:.0f} s.")
                frame, content = receive_noted(self._pipe, form)
                if not isinstance(frame, Noted):
                    return frame, content
                self._note(frame.note)
        except (EOFError, OSError) as error:
            raise self._died() from error

    def _died(self) -> WorkerDiedError:
        code = None if self._process is None else self._process.wait()
        self.end()
        how = "was killed, perhaps for want of memory" if code == -9 else f"ended with status {code}"
        return WorkerDiedError(f"The worker {how} in the middle of a message.")
