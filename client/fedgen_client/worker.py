"""The site's worker: the one process that owns torch, the device and the patients' images.

It runs the ClientApp that is installed here (`fedgen_client.app`) on messages that its supervisor hands it, and knows
neither the coordinator's address nor any key of the connection. Started as `python -m fedgen_client.worker FOLDER FD`.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from multiprocessing.connection import Connection
from pathlib import Path

from fedgen.run.garbage import look_less_often
from fedgen.run.hints import speak_as
from fedgen_client.frames import Answered, Handed, Noted, Ready, receive, send
from fedgen_client.hints import WORKER


def work(folder: Path, pipe: Connection) -> None:
    """Answer messages until the supervisor is gone."""
    # Here, so that the supervisor's import of this module stays light.
    from flwr.app import Context, RecordDict

    from fedgen.flower.envelope import identify, open_message, seal_message
    from fedgen_client.app import app_of
    from fedgen_client.folder import SiteFolder
    from fedgen_client.hospital import Hospital

    hospital = Hospital(SiteFolder(folder), lambda title: send(pipe, Noted(note=title)))
    app = app_of(hospital, hospital.unread)
    send(pipe, Ready())
    while True:
        asked, content = receive(pipe, Handed)
        started = time.monotonic()
        identify(asked.run_id, asked.node_id)
        message = open_message(asked.message_id, dict(zip(asked.objects, content, strict=True)))
        context = Context(
            run_id=asked.run_id, node_id=asked.node_id, node_config={}, state=RecordDict(), run_config={}
        )
        header, tree, parts = seal_message(app(message, context))
        answered = Answered(
            objects=list(parts),
            memory=resident(),
            seconds=time.monotonic() - started,
            told=hospital.told(),
        )
        send(pipe, answered, [header, tree, *parts.values()])


def resident() -> int:
    """Bytes of memory this process holds now; 0 where the system does not say."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except (OSError, ValueError, IndexError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


def main(arguments: list[str]) -> None:
    """Entry point of the process."""
    folder, descriptor = Path(arguments[0]), int(arguments[1])
    # Ctrl-C in a terminal reaches both processes; the supervisor decides what becomes of this one.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    speak_as(WORKER)
    look_less_often()
    pipe = Connection(descriptor)
    with contextlib.suppress(EOFError, BrokenPipeError, ConnectionResetError):
        work(folder, pipe)


if __name__ == "__main__":
    main(sys.argv[1:])
