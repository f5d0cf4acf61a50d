"""A site at its post: fetches messages, hands them to the worker, sends its answers, and writes both down.

This process opens one connection, outwards. It never imports torch, never opens what came, and never executes what a
coordinator sent. Polling is quick while a round is on and slow while nothing happens.
"""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, TypeVar

from fedgen.errors import FederationError, FedgenError
from fedgen.flower import Trouble
from fedgen.flower.envelope import refuse_message
from fedgen.flower.fleet import (
    Fleet,
    NotAdmittedError,
    Outgoing,
    RejectedError,
    UnreachableError,
    WaitingMessage,
)
from fedgen.run.atomic import write_atomic
from fedgen_client.folder import SiteFolder
from fedgen_client.told import AboutTask
from fedgen_client.workshop import Worker, WorkerDiedError

#: Seconds between polls: just after a reply, when the next message of a round comes; later in a round; otherwise.
EAGER_POLL, EAGER_SECONDS = 0.05, 0.5
ACTIVE_POLL = 0.1
IDLE_POLL = 5.0
#: Seconds between two notes of what the site is doing, where nothing of weight has changed.
STATUS_SECONDS = 2.0
BACKOFF = 1.5
#: Seconds between two questions whether a study is over for which budget is kept free, while nothing else happens.
SETTLE_SECONDS = 30.0
#: Seconds between two signs of life: the coordinator gives a silent site up after 60.
HEARTBEAT_SECONDS = 15.0
RECONNECT_SECONDS = (0.5, 10.0)

Say = Callable[[str], None]
T = TypeVar("T")


class Supervisor:
    """The running site.

    Args:
        folder: the site's folder, locked by the caller.
        fleet: its connection.
        refresh: fetches the studies that the coordinator offers.
        settle: lets go of the budget that was kept free for studies that are over.
        say: told in words what happens, for a terminal or the journal.
        stopped: set it to end everything.
    """

    def __init__(
        self,
        folder: SiteFolder,
        fleet: Fleet,
        refresh: Callable[[], None],
        settle: Callable[[], None],
        say: Say,
        stopped: threading.Event,
    ) -> None:
        self._folder, self._fleet, self._say, self._stopped = folder, fleet, say, stopped
        self._refresh, self._settle = refresh, settle
        self._settled_at = -SETTLE_SECONDS
        site_file = folder.load_site_file()
        self._runtime = site_file.runtime
        self._node_id = folder.membership().node_id
        self._log = folder.journal
        self._worker = Worker(
            folder.path, self._runtime.worker_memory, lambda title: say(f"Measured: {title}.")
        )
        self._active_until = 0.0
        self._worked_at = time.monotonic()
        self._told_at = -STATUS_SECONDS
        self._untold: dict[str, Any] | None = None
        self._unreachable = False
        self._forgotten = threading.Event()
        self._refused: NotAdmittedError | None = None
        self._done: Callable[[], bool] = lambda: False

    def serve(self, done: Callable[[], bool] = lambda: False) -> None:
        """Work until stopped, or until `done` says, between messages, that there is nothing more to wait for.

        Raises:
            NotAdmittedError: the coordinator does not admit this site any more.
            RejectedError: what answers there is no coordinator, or of another version.
        """
        self._done = done
        beat = threading.Thread(target=self._beat, name="heartbeat", daemon=True)
        try:
            self._connect()
            beat.start()
            self._loop()
        except _StoppedError:
            return
        finally:
            self._worker.end()
            self._stopped.set()
            if beat.ident is not None:
                beat.join(5.0)
            self._fleet.close()
            self._status("stopped", now=True)

    def _loop(self) -> None:
        wait = EAGER_POLL
        while not self._stopped.is_set():
            if self._refused is not None:
                raise self._refused
            if self._forgotten.is_set():
                self._connect()
                continue
            try:
                incoming = self._patiently(self._fleet.receive)
                if incoming is not None:
                    self._handle(incoming)
                    wait = EAGER_POLL
                    continue
            except RejectedError as error:
                # A run that ended while a message of it was here; what is there next has nothing to do with it.
                self._note("turned_away", reason=str(error))
                self._status("waiting")
            self._rest()
            if self._done():
                return
            wait = self._pause(wait)
            self._stopped.wait(wait)

    def _pause(self, last: float) -> float:
        now = time.monotonic()
        if now < self._worked_at + EAGER_SECONDS:
            return EAGER_POLL
        return ACTIVE_POLL if now < self._active_until else min(last * BACKOFF, IDLE_POLL)

    def _patiently(self, call: Callable[[], T]) -> T:
        """Do what needs the coordinator, for as long as it is away; what is under way is not lost by that."""
        pause = RECONNECT_SECONDS[0]
        while True:
            try:
                result = call()
            except UnreachableError as error:
                self._away(error)
                if self._stopped.wait(pause):
                    raise _StoppedError from None
                pause = min(2 * pause, RECONNECT_SECONDS[1])
                continue
            if self._unreachable:
                self._back()
            return result

    def _handle(self, incoming: WaitingMessage) -> None:
        objects: dict[str, bytes] = {}
        try:
            self._patiently(lambda: self._fleet.pull(incoming, self._runtime.message_bytes, objects))
        except RejectedError as error:
            self._note("received", sha256=incoming.message_id, decision="refused", reason=str(error))
            self._say(str(error))
            self._refuse(incoming, Trouble.TOO_LARGE)
            return
        size = sum(map(len, objects.values()))
        self._status("working")
        try:
            worked = self._worker.answer(
                incoming.run_id, self._node_id, incoming.message_id, objects, self._stopped
            )
        except WorkerDiedError as error:
            self._note("received", bytes=size, sha256=incoming.message_id, decision="lost", reason=str(error))
            if not self._stopped.is_set():
                self._say(f"{error} It is started anew with the next message.")
                self._refuse(incoming, Trouble.WORKER_ENDED)
            return
        told = worked.told
        asked, answered = _fields(told.task), _fields(told.answer)
        reply = Outgoing(incoming.run_id, worked.header, worked.tree, worked.objects)
        received = {"bytes": size, "sha256": incoming.message_id, **asked}
        # Written before it is sent: the log may name a message that did not arrive, never miss one that did.
        self._log.write_all(
            [
                *told.events,
                {"event": "received", **received},
                {"event": "sent", **_size(reply), **answered},
            ]
        )
        try:
            self._patiently(lambda: self._fleet.send(reply, worked.seconds))
        except RejectedError as error:
            self._note("undelivered", reason=str(error), **asked)
        # Not before, because the coordinator waits for the reply and not for this.
        self._patiently(lambda: self._fleet.confirm(incoming))
        self._active_until = time.monotonic() + told.active_seconds
        self._worked_at = time.monotonic()
        if told.said:
            self._say(told.said)
        # A site that refuses every two seconds, since nobody has decided yet, is not at work.
        self._status("waiting", now=answered.get("decision") == "refused", **answered)
        if told.unknown is not None:
            self._look()

    def _look(self) -> None:
        try:
            self._refresh()
        except FedgenError as error:
            # The coordinator asks again, and then so do we.
            self._note("unreachable", reason=str(error))

    def _look_for_ended(self) -> None:
        if time.monotonic() < self._settled_at + SETTLE_SECONDS:
            return
        self._settled_at = time.monotonic()
        try:
            self._settle()
        except FedgenError as error:
            self._note("unreachable", reason=str(error))

    def _refuse(self, incoming: WaitingMessage, reason: Trouble) -> None:
        reply = Outgoing(incoming.run_id, *refuse_message(incoming.header, reason))
        self._note("sent", **_size(reply), decision="refused", reason=reason)
        self._patiently(lambda: self._fleet.send(reply, 0.0))

    def _rest(self) -> None:
        self._tell_status()
        if self._worker.rest():
            self._say(
                "The worker had grown above runtime.worker_memory and is started anew with the next message."
            )
        idle = time.monotonic() - max(self._worked_at, self._active_until)
        if idle > 0:
            self._look_for_ended()
        if self._worker.running and idle > self._runtime.idle_seconds:
            self._worker.end()
            self._status("idle", now=True)

    def _connect(self) -> None:
        self._patiently(self._fleet.connect)
        self._forgotten.clear()
        self._note("connected")
        self._say("Connected to the coordinator.")
        self._look()
        self._look_for_ended()
        self._status("waiting", now=True)

    def _away(self, error: UnreachableError) -> None:
        """Say once that the coordinator does not answer, however often it is tried."""
        if not self._unreachable:
            self._unreachable = True
            self._note("unreachable", reason=str(error))
            self._say(f"{error} Trying again until it does.")
            self._status("unreachable", now=True)

    def _back(self) -> None:
        self._unreachable = False
        self._note("reachable")
        self._say("The coordinator answers again.")
        self._live()

    def _live(self) -> None:
        try:
            if not self._fleet.heartbeat():
                self._forgotten.set()
        except NotAdmittedError as error:
            self._refused = error
        except FederationError:
            # The next message finds out, and says so.
            return

    def _beat(self) -> None:
        while not self._stopped.wait(HEARTBEAT_SECONDS):
            self._live()

    def _note(self, event: str, **fields: Any) -> None:
        self._log.write(event, **fields)

    def _status(self, state: str, *, now: bool = False, **fields: Any) -> None:
        """Put down for `status.json` what the site does; in a quick succession of messages only now and then."""
        self._untold = {"time": datetime.now(UTC).isoformat(), "state": state, **fields}
        self._tell_status(now)

    def _tell_status(self, now: bool = False) -> None:
        # What was passed over is told once there is a rest: whoever waits must not be taken for at work.
        if self._untold is None or not (now or time.monotonic() >= self._told_at + STATUS_SECONDS):
            return
        self._told_at = time.monotonic()
        write_atomic(self._folder.status, (json.dumps(self._untold) + "\n").encode())
        self._untold = None


class _StoppedError(Exception):
    """The site was told to stop while the coordinator was away."""


def _fields(about: AboutTask | None) -> dict[str, Any]:
    return {} if about is None else about.model_dump(exclude_unset=True)


def _size(reply: Outgoing) -> dict[str, Any]:
    digest = hashlib.sha256(reply.header)
    for name in sorted(reply.objects):
        digest.update(name.encode())
    return {"bytes": sum(map(len, reply.objects.values())), "sha256": digest.hexdigest()}
