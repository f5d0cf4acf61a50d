"""A coordinator's SuperLink: Flower's Fleet API and nothing else of Flower's, with our routes beside it.

Private names used: what `fleet_api` names, the gRPC health server, and the link state behind them, in which nodes
are registered by key (`state`).

Flower's own factory (`flwr.superlink.main.create_app`) also mounts the Control API, which without an account plugin
lets whoever reaches the port start a run with code of theirs, and the Runtime API, which hands out tasks. Neither is
mounted here, no SuperExec is started, and nothing installs dependencies: what is not there needs no lock
(docs/decisions/009).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from fastapi import APIRouter, FastAPI
from flwr.common.constant import NOOP_ACCOUNT_NAME, NOOP_FLWR_AID
from flwr.server.superlink.linkstate import LinkState
from flwr.supercore.constant import NodeStatus
from flwr.supercore.grpc_health import run_health_server_grpc_no_tls
from starlette.middleware import Middleware

from fedgen.flower.fleet_api import fleet_routes
from fedgen.flower.state import StateFactory, open_state


def superlink_app(
    database: Path,
    routers: Sequence[APIRouter] = (),
    guards: Sequence[Middleware] = (),
    health_address: str | None = None,
) -> FastAPI:
    """The application that a SuperLink serves.

    Args:
        database: SQLite file of its state.
        routers: ours, beside Flower's.
        guards: ours, before everything else.
        health_address: `host:port` of the gRPC health service (grpc.health.v1), None for none.
    """
    # Opened now, so that a damaged file is found before anything is served.
    state = open_state(database)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        server = None if health_address is None else run_health_server_grpc_no_tls(health_address)
        yield
        if server is not None:
            server.stop(grace=1)

    app = FastAPI(
        title="fedgen coordinator",
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        lifespan=lifespan,
        middleware=list(guards),
        routes=fleet_routes(state),
    )
    # Where Flower's authentication looks for it.
    app.state.linkstate_factory = StateFactory(state)
    for router in routers:
        app.include_router(router)
    return app


@dataclass(frozen=True)
class Presence:
    """Whether a node is connected, and when it last came or went (ISO time, UTC; None for never)."""

    online: bool
    last_seen: str | None


def presence(state: LinkState) -> dict[int, Presence]:
    """Of every node that was ever admitted, by id."""
    return {
        node.node_id: Presence(
            node.status == NodeStatus.ONLINE, node.last_deactivated_at or node.last_activated_at or None
        )
        for node in state.get_node_info()
    }


def register_node(state: LinkState, public_key: bytes, name: str) -> int:
    """Admit the holder of a key; returns its node id, the same where it is admitted already."""
    known = state.get_node_id_by_public_key(public_key)
    if known is not None:
        return known
    return state.create_node(NOOP_FLWR_AID, NOOP_ACCOUNT_NAME, public_key, 0, name=name)


def remove_node(state: LinkState, public_key: bytes) -> bool:
    """Admit the holder of a key no longer; False where it was not admitted."""
    node_id = state.get_node_id_by_public_key(public_key)
    if node_id is None:
        return False
    state.delete_node(NOOP_FLWR_AID, node_id)
    return True
