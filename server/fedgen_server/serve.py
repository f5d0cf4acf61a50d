"""The coordinator's long-lived process: Flower's SuperLink with our routes, on one port, over TLS."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager
from functools import partial

import uvicorn
from starlette.middleware import Middleware

from fedgen.errors import FederationError, StudyError
from fedgen.flower.state import open_state
from fedgen.flower.superlink import presence, register_node, superlink_app
from fedgen.run.lock import held
from fedgen.run.memory import return_large_buffers
from fedgen_server.folder import Federation
from fedgen_server.guard import Guard
from fedgen_server.page_on_port import PageBeside, federation_page
from fedgen_server.routes import router
from fedgen_server.sightings import Sightings

#: Seconds: Python lets a thread that computes keep the others waiting for ten times as long, and each request passes
#: between threads a dozen times.
SWITCH_SECONDS = 0.0005
#: Seconds for requests that are being answered when the server is told to stop.
GRACE_SECONDS = 5


def serve(federation: Federation) -> None:
    """Serve until SIGINT or SIGTERM.

    Raises:
        StudyError: the certificate would be refused by the sites.
        LockedError: another server works on this folder.
        FederationError: the port is taken or may not be used.
    """
    return_large_buffers()
    federation.check_certificate()
    with _alone(federation), _listening(federation) as listening:
        paths, config = federation.paths, federation.config
        database = paths.database
        os.close(os.open(database, os.O_CREAT | os.O_WRONLY, 0o600))
        database.chmod(0o600)
        state = open_state(database)
        seen = Sightings(partial(presence, state), federation.sites.active, paths.sightings)
        server: uvicorn.Server | None = None
        page = federation_page(federation, seen, lambda: server is not None and server.should_exit)
        app = superlink_app(
            database,
            routers=[router(federation, partial(register_node, state), seen.note)],
            guards=[Middleware(Guard, message_bytes=config.message_bytes), Middleware(PageBeside, page=page)],
            health_address=None if config.health_port is None else f"127.0.0.1:{config.health_port}",
        )
        sys.setswitchinterval(SWITCH_SECONDS)
        federation.log.write("started", host=config.host, port=config.port)
        try:
            server = uvicorn.Server(
                uvicorn.Config(
                    app,
                    ssl_certfile=str(paths.certificate),
                    ssl_keyfile=str(paths.key),
                    log_level="warning",
                    access_log=False,
                    server_header=False,
                    timeout_graceful_shutdown=GRACE_SECONDS,
                )
            )
            server.run(sockets=[listening])
        finally:
            seen.keep()
            federation.log.write("stopped")


def _alone(federation: Federation) -> AbstractContextManager[None]:
    busy = f"Another `fedgen-server start` serves {federation.paths.folder}: stop it first."
    return held(federation.paths.server_lock, wait=0.0, busy=busy)


@contextlib.contextmanager
def _listening(federation: Federation) -> Iterator[socket.socket]:
    host, port = federation.config.host, federation.config.port
    try:
        (family, kind, protocol, _, address), *_ = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    except OSError as error:
        raise StudyError(
            f"federation.yaml: host {host!r} is no address of this machine ({error}): correct it."
        ) from None
    with socket.socket(family, kind, protocol) as found:
        # A server that was killed leaves connections behind that would keep the port for a minute.
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            found.bind(address)
        except OSError as error:
            raise FederationError(_taken(host, port, error)) from None
        yield found


def _taken(host: str, port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"Port {port} is taken by another program: stop that, or change port in federation.yaml."
    if error.errno == errno.EACCES:
        return (
            f"Port {port} may not be used by this user: use one above 1023 and a reverse proxy, or allow it "
            "(CAP_NET_BIND_SERVICE)."
        )
    return f"Host {host!r} and port {port} cannot be used ({error.strerror}): correct federation.yaml."
