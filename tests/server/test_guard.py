"""Only the Fleet API and our own routes exist on the port, in one spelling, with bodies up to a limit."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any
from urllib.parse import unquote

import pytest
from flwr.supercore.protobuf.translation import PROTOBUF_REQUEST_TYPES
from starlette.middleware import Middleware

from fedgen.flower.superlink import superlink_app
from fedgen.protocol.enrolment import MAX_REQUEST_BYTES, ErrorReply
from fedgen_server.guard import Guard, is_reachable
from fedgen_server.routes import router

LIMIT = 1000


class Echo:
    """An application that answers with the length of what it got, and remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.asked.append(scope["path"])
        length, more = 0, True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ConnectionError("the body was cut off")
            length += len(message.get("body", b""))
            more = message.get("more_body", False)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": json.dumps(length).encode()})


def ask(
    app: Any, raw: str, method: str = "POST", body: Sequence[bytes] = (b"",), announced: bytes | None = None
) -> tuple[int, Any]:
    """Status and JSON of one request, with the scope as uvicorn makes it of the request line's path."""
    path, _, query = raw.partition("?")
    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": method,
        "scheme": "https",
        "path": unquote(path),
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": [
            (b"content-type", b"application/protobuf"),
            *([] if announced is None else [(b"content-length", announced)]),
        ],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 2),
    }
    parts = [
        {"type": "http.request", "body": part, "more_body": number < len(body) - 1}
        for number, part in enumerate(body)
    ]
    sent: list[Any] = []

    async def receive() -> Any:
        return parts.pop(0) if parts else {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(app(scope, receive, send))
    content = b"".join(message.get("body", b"") for message in sent[1:])
    return sent[0]["status"], json.loads(content) if content else None


REACHABLE = [
    ("POST", "/v1/fleet/pull-messages"),
    ("POST", "/v1/fleet/activate-node"),
    ("POST", "/v1/fleet/push-object?x=1"),
    ("GET", "/fedgen/v1/health"),
    ("POST", "/fedgen/v1/join"),
    ("GET", f"/fedgen/v1/studies/{'0a' * 32}"),
]
BLOCKED = [
    ("POST", path)
    for path in (
        "/v1/control/start-run",
        "/v1/runtime/acquire-task",
        "/v1/runtime/create-task",
        "/v1/runtime/pull-messages",
        "/v1/runtime/responses",
        "/v1/fleet/../control/start-run",
        "/v1/fleet/%2e%2e/control/start-run",
        "/v1/fleet/..%2fcontrol/start-run",
        "/v1/fleet/%70ull-messages",
        "/v1/fleet%2fpull-messages",
        "/v1/fleet/./pull-messages",
        "//v1/fleet/pull-messages",
        "/v1//fleet/pull-messages",
        "/v1/fleet//pull-messages",
        "/v1/fleet/pull-messages/",
        "/v1/fleet/pull-messages%0a",
        "/v1/fleet/pull-messages%00",
        "/v1/fleet/pull-messages/../../control/start-run",
        "/v1/fleet/pull-messages;/control",
        "/v1/fleet/PULL-MESSAGES",
        "/v1/fleet/",
        "/v1/fleet",
        "/V1/fleet/pull-messages",
        "v1/fleet/pull-messages",
        "http://x/v1/fleet/pull-messages",
        "/fedgen/v1/../../v1/control/start-run",
        "/fedgen/v1//join",
        "/fedgen/v1/join/",
        "/fedgen/v1/%6aoin",
        "/fedgen/v1",
        "/fedgen/v2/join",
        "/fedgen/v1join",
        "",
        "*",
    )
] + [
    ("GET", path) for path in ("/", "/docs", "/redoc", "/openapi.json", "/health", "/v1/fleet/pull-messages")
]


@pytest.mark.parametrize(("method", "path"), REACHABLE)
def test_what_sites_need_is_reachable(method: str, path: str) -> None:
    app = Echo()
    assert ask(Guard(app, LIMIT), path, method) == (200, 0)
    assert len(app.asked) == 1


@pytest.mark.parametrize(("method", "path"), BLOCKED)
def test_everything_else_does_not_exist(method: str, path: str) -> None:
    app = Echo()
    status, reply = ask(Guard(app, LIMIT), path, method)
    assert status == 404
    assert ErrorReply.model_validate(reply).error.endswith(".")
    assert app.asked == []


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "TRACE", "CONNECT", "post"])
@pytest.mark.parametrize("path", ["/v1/fleet/pull-messages", "/fedgen/v1/join"])
def test_no_other_method(method: str, path: str) -> None:
    assert ask(Guard(Echo(), LIMIT), path, method)[0] == 404


def test_no_websocket() -> None:
    sent: list[Any] = []

    async def connect() -> None:
        async def receive() -> Any:
            return {"type": "websocket.connect"}

        async def send(message: Any) -> None:
            sent.append(message)

        scope = {"type": "websocket", "path": "/v1/fleet/pull-messages", "headers": []}
        await Guard(Echo(), LIMIT)(scope, receive, send)

    asyncio.run(connect())
    assert [message["type"] for message in sent] == ["websocket.close"]


@pytest.mark.parametrize("body", [(b"x" * LIMIT,), (b"x" * 600, b"x" * 400), (b"", b"")])
def test_a_body_up_to_the_limit_passes_whole(body: tuple[bytes, ...]) -> None:
    assert ask(Guard(Echo(), LIMIT), "/v1/fleet/push-object", body=body) == (200, sum(map(len, body)))


@pytest.mark.parametrize(
    ("body", "announced"),
    [
        ((b"x" * (LIMIT + 1),), None),
        ((b"x" * LIMIT, b"x"), None),
        ((b"x" * LIMIT,) * 10, None),
        ((b"x" * LIMIT,) * 10, b"10"),
        ((b"",), str(10 * LIMIT).encode()),
        ((b"",), str(LIMIT + 1).encode()),
    ],
)
def test_a_longer_body_is_refused(body: tuple[bytes, ...], announced: bytes | None) -> None:
    app = Echo()
    status, reply = ask(Guard(app, LIMIT), "/v1/fleet/push-object", body=body, announced=announced)
    assert status == 413
    assert str(LIMIT) in ErrorReply.model_validate(reply).error
    assert announced in (None, b"10") or app.asked == []


@pytest.mark.parametrize("announced", [b"ten", b"-1", b"1,2", b"", b"9" * 20, b"0x10"])
def test_a_length_that_is_none(announced: bytes) -> None:
    assert ask(Guard(Echo(), LIMIT), "/v1/fleet/push-object", announced=announced)[0] == 400


def test_our_own_routes_take_less() -> None:
    guard = Guard(Echo(), 100 * MAX_REQUEST_BYTES)
    assert ask(guard, "/fedgen/v1/join", body=(b"x" * MAX_REQUEST_BYTES,))[0] == 200
    assert ask(guard, "/fedgen/v1/join", body=(b"x" * (10 * MAX_REQUEST_BYTES),))[0] == 413


def test_the_applications_own_faults_stay_its_own() -> None:
    async def broken(scope: Any, receive: Any, send: Any) -> None:
        raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        ask(Guard(broken, LIMIT), "/v1/fleet/push-object")


def test_in_front_of_flower(federation) -> None:
    app = superlink_app(
        federation.paths.database,
        [router(federation, lambda key, site: 1)],
        [Middleware(Guard, message_bytes=LIMIT)],
    )
    fleet = [path for method, path in PROTOBUF_REQUEST_TYPES if path.startswith("/v1/fleet/")]
    assert len(fleet) >= 10
    assert all(is_reachable("POST", path) for path in fleet)
    assert ask(app, "/v1/fleet/push-object", body=(b"x" * 900,) * 10)[0] == 413
    assert ask(app, "/v1/fleet/push-object", announced=b"1001")[0] == 413
    assert ask(app, "/fedgen/v1/health", "GET")[0] == 200
    for method, path in BLOCKED:
        assert ask(app, path, method)[0] == 404
