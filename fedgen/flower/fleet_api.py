"""Flower's Fleet API as a site needs it: its own authentication and handlers, with nothing around them.

Private names used: the handlers of the Fleet API, the authentication of a node's request, the protobufs, and the
catalogue of errors. Not used are the router, the middlewares and the dependencies that Flower puts around them: each
request passed between threads a dozen times and took half a dozen transactions, and the server, not the sites, was what
an exchange waited for. Here a request is one step in a worker thread and one transaction.

Left out altogether: registering by oneself, and `get-run` and `get-fab`, with which a node would fetch code.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from flwr.proto.fleet_pb2 import (
    ActivateNodeRequest,
    DeactivateNodeRequest,
    PullMessagesRequest,
    PushMessagesRequest,
)
from flwr.proto.heartbeat_pb2 import SendNodeHeartbeatRequest
from flwr.proto.message_pb2 import ConfirmMessageReceivedRequest, PullObjectRequest, PushObjectRequest
from flwr.server.superlink.linkstate import LinkState
from flwr.supercore.error import FlowerError
from flwr.supercore.error.catalog import API_ERROR_MAP
from flwr.supercore.utils import uint64_to_int64
from flwr.superlink.routers.fleet.node_auth import authenticate_node
from flwr.superlink.servicer.fleet import fleet_handlers
from google.protobuf.message import DecodeError
from sqlalchemy.exc import OperationalError
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

PROTOBUF = "application/protobuf"
Handler = Callable[[Any, LinkState], Any]

_log = logging.getLogger(__name__)


def _activate_node(request: ActivateNodeRequest, state: LinkState) -> Any:
    # A site that was killed still counts as connected for a minute, and Flower connects nobody twice. Were the site to
    # disconnect itself first, whoever waits for its reply could look in between, and be told that it is gone.
    node_id = state.get_node_id_by_public_key(request.public_key)
    if node_id is None:
        # Flower would say that it cannot be connected now, as of one that is; whoever was removed is never taken back.
        raise HTTPException(401, "not a member")
    state.deactivate_node(node_id)
    return fleet_handlers.activate_node(request, state)


def _pull_messages(request: PullMessagesRequest, state: LinkState) -> Any:
    # Flower claims messages by writing, each time it is asked; most of the time there is none.
    waiting = state.query(
        "SELECT 1 FROM message_ins WHERE dst_node_id = :node AND delivered_at = '' LIMIT 1",
        {"node": uint64_to_int64(request.node.node_id)},
    )
    if not waiting:
        return fleet_handlers.PullMessagesResponse()
    return fleet_handlers.pull_messages(request, state, state.object_store)


def _confirm(request: ConfirmMessageReceivedRequest, state: LinkState) -> Any:
    return fleet_handlers.confirm_message_received(request, state, state.object_store)


CALLS: dict[str, tuple[type[Any], Handler]] = {
    "activate-node": (ActivateNodeRequest, _activate_node),
    "deactivate-node": (DeactivateNodeRequest, fleet_handlers.deactivate_node),
    "send-node-heartbeat": (SendNodeHeartbeatRequest, fleet_handlers.send_node_heartbeat),
    "pull-messages": (PullMessagesRequest, _pull_messages),
    "push-messages": (PushMessagesRequest, fleet_handlers.push_messages),
    "pull-object": (PullObjectRequest, fleet_handlers.pull_object),
    "push-object": (PushObjectRequest, fleet_handlers.push_object),
    "confirm-message-received": (ConfirmMessageReceivedRequest, _confirm),
}


def fleet_routes(state: LinkState) -> list[BaseRoute]:
    """The routes beneath `/v1/fleet/`.

    Args:
        state: what they work on.
    """
    return [Route(f"/v1/fleet/{name}", _endpoint(state, name), methods=["POST"]) for name in CALLS]


def _endpoint(state: LinkState, name: str) -> Callable[[Request], Any]:
    kind, handler = CALLS[name]

    def work(request: Request, body: bytes) -> bytes:
        message = kind.FromString(body)
        request.state.protobuf_request = message
        # One transaction for who asks and what is done: SQLite waits for its lock once, and writes once.
        with state.session():
            authenticate_node(request)
            return bytes(handler(message, state).SerializeToString())

    async def answer(request: Request) -> Response:
        body = await request.body()
        try:
            content = await run_in_threadpool(work, request, body)
        except DecodeError:
            return JSONResponse({"detail": "not a message of this version"}, 400)
        except HTTPException as error:
            return JSONResponse({"detail": error.detail}, error.status_code)
        except FlowerError as error:
            _log.info("%s: %s", name, error.message)
            spec = API_ERROR_MAP[error.code]
            return JSONResponse(error.to_json(spec.public_message), spec.http_status_code)
        except OperationalError:
            # Another process has held the database for longer than SQLite waits; the site asks again.
            _log.warning("%s: the database is busy", name)
            return JSONResponse({"detail": "busy"}, 503)
        return Response(content, media_type=PROTOBUF)

    return answer
