"""The coordinator's own routes beneath `/fedgen/v1/`: enrolment, studies and status, beside Flower's Fleet API."""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from typing import Any, NoReturn

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse, PlainTextResponse
from fastapi.routing import APIRoute
from pydantic import BaseModel, ValidationError
from starlette.concurrency import run_in_threadpool

import fedgen
from fedgen.errors import ExitCode, FedgenError, PrivacyRefusedError, StudyError
from fedgen.protocol.enrolment import (
    PREFIX,
    ErrorReply,
    JoinRequest,
    SiteReply,
    StudiesReply,
    TimeReply,
)
from fedgen.protocol.signing import TIME, verify_request
from fedgen_server.enrol import Register, join
from fedgen_server.folder import Federation
from fedgen_server.study_status import federation_status

MALFORMED, UNSIGNED, FORBIDDEN, ABSENT, BROKEN = 400, 401, 403, 404, 500


class RefusedError(Exception):
    """A request that is answered with a status and a sentence."""

    def __init__(self, status: int, error: FedgenError) -> None:
        super().__init__(str(error))
        self.status = status
        self.code = error.exit_code


_log = logging.getLogger(__name__)


class Route(APIRoute):
    """A route whose errors are `ErrorReply`, and which is no part of Flower's API description."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """As FastAPI's, with our errors turned into replies."""
        handler = super().get_route_handler()

        async def answer(request: Request) -> Response:
            try:
                return await handler(request)
            except RefusedError as refused:
                return _error(refused.status, str(refused), refused.code)
            except FedgenError as error:
                # A fault of the coordinator's own folder: its text names files here, and is for its operator.
                _log.error("%s", error)
                return _error(BROKEN, "The coordinator has a fault: ask its operator.", ExitCode.FEDERATION)

        return answer


#: Told of a site's signed request: whose, its clock as it says, its User-Agent, and when.
Noticed = Callable[[str, str, str, datetime], None]


def _unnoticed(site: str, its_time: str, agent: str, now: datetime) -> None:
    """Nobody is told."""


def router(federation: Federation, register: Register, noticed: Noticed = _unnoticed) -> APIRouter:
    """The routes.

    Args:
        federation: whose.
        register: admits a node's public key (PEM) under a site's name and gives its node id; the same key again
            gives the same id.
        noticed: told of each signed request.
    """
    routes = APIRouter(prefix=PREFIX, route_class=Route, include_in_schema=False)

    @routes.get("/health")
    async def fedgen_health() -> dict[str, str]:
        return {"status": "ok", "fedgen": fedgen.__version__}

    @routes.get("/time")
    async def fedgen_time() -> Response:
        return _reply(TimeReply(time=datetime.now(UTC), fedgen=fedgen.__version__))

    @routes.get("/ca")
    def fedgen_ca() -> Response:
        return PlainTextResponse(federation.paths.ca.read_text("ascii"), media_type="application/x-pem-file")

    @routes.post("/join")
    async def fedgen_join(request: Request) -> Response:
        body = await request.body()
        return _reply(await run_in_threadpool(_join, federation, body, register))

    @routes.get("/site")
    async def fedgen_site(request: Request) -> Response:
        site = await _signer(federation, request, noticed)
        return _reply(SiteReply(site=site, active=site in federation.sites.active()))

    @routes.get("/studies")
    async def fedgen_studies(request: Request) -> Response:
        site = await _member(federation, request, noticed)
        entries = await run_in_threadpool(federation.studies.open)
        return _reply(
            StudiesReply(studies=[entry.signed for entry in entries.values() if site in entry.sites])
        )

    @routes.get("/studies/{sha256}")
    async def fedgen_study(request: Request, sha256: str) -> Response:
        site = await _member(federation, request, noticed)
        try:
            entry = await run_in_threadpool(federation.studies.find, sha256)
        except StudyError as error:
            raise RefusedError(ABSENT, error) from None
        # What a site has no part in is to it as what does not exist.
        if entry is None or site not in entry.sites:
            _refuse(ABSENT, StudyError(f"There is no study {sha256[:12]} for {site}: ask the coordinator."))
        return _reply(entry.signed)

    @routes.get("/status")
    async def fedgen_status(request: Request) -> Response:
        site = await _member(federation, request, noticed)
        return _reply(await run_in_threadpool(federation_status, federation, site))

    return routes


def _join(federation: Federation, body: bytes, register: Register) -> BaseModel:
    try:
        return join(federation, JoinRequest.model_validate_json(body), register)
    except ValidationError as error:
        places = ", ".join(sorted({".".join(map(str, detail["loc"])) or "body" for detail in error.errors()}))
        _refuse(
            MALFORMED,
            StudyError(
                f"The request to join is not of the form that this coordinator knows ({places}): use its version "
                f"of fedgen, {fedgen.__version__}."
            ),
        )
    except StudyError as error:
        _refuse(MALFORMED, error)
    except PrivacyRefusedError as error:
        _refuse(FORBIDDEN, error)


async def _signer(federation: Federation, request: Request, noticed: Noticed) -> str:
    """The site, member or removed, that signed the request."""
    body = await request.body()
    keys = await run_in_threadpool(federation.sites.identity_keys)
    now = datetime.now(UTC)
    try:
        site = verify_request(keys, request.headers, request.method, request.url.path, body, now)
    except PrivacyRefusedError as error:
        _refuse(UNSIGNED, error)
    noticed(site, request.headers[TIME], request.headers.get("user-agent", ""), now)
    return site


async def _member(federation: Federation, request: Request, noticed: Noticed) -> str:
    site = await _signer(federation, request, noticed)
    if site not in federation.sites.active():
        _refuse(
            FORBIDDEN,
            PrivacyRefusedError(f"{site} was removed from this federation: ask the coordinator why."),
        )
    return site


def _refuse(status: int, error: FedgenError) -> NoReturn:
    raise RefusedError(status, error) from None


def _reply(model: BaseModel) -> Response:
    return Response(model.model_dump_json(), media_type="application/json")


def _error(status: int, sentence: str, code: ExitCode) -> Response:
    return JSONResponse(ErrorReply(error=sentence, code=int(code)).model_dump(), status)
