"""The application of a page: a run as it stands, its stream, and the two things that may be done to it."""

from __future__ import annotations

from collections.abc import Callable
from importlib.resources import files

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import (
    FileResponse,
    HTMLResponse,
    PlainTextResponse,
    RedirectResponse,
    Response,
    StreamingResponse,
)
from starlette.routing import Route

from fedgen.dashboard.access import Pass
from fedgen.dashboard.addresses import METRICS, ROOT
from fedgen.dashboard.door import Door, nothing
from fedgen.dashboard.page_look import environment, icon, sheet
from fedgen.dashboard.page_state import PageState
from fedgen.dashboard.prometheus_text import TYPE, metrics
from fedgen.dashboard.render import parts
from fedgen.dashboard.stream import Parts, frames
from fedgen.dashboard.watched import SAMPLES, Watched
from fedgen.errors import FedgenError
from fedgen.run.directory import RunDirectory
from fedgen.run.preview_file import preview_path

Answer = Callable[[Request, Pass], Response]


class LivePage:
    """The page of some runs.

    Args:
        watched: the runs.
        door: who may see them.
        ending: whether the server is told to stop, so that no stream keeps it.
    """

    def __init__(self, watched: Watched, door: Door, ending: Callable[[], bool] = lambda: False) -> None:
        self._watched, self._door, self._ending = watched, door, ending

    def app(self) -> Starlette:
        """The application; its answers need `SafeHeaders` around them."""
        get = {
            f"{ROOT}/look.css": lambda *_: Response(sheet(), media_type="text/css"),
            f"{ROOT}/icon.svg": lambda *_: Response(icon(), media_type="image/svg+xml"),
            f"{ROOT}/live.js": lambda *_: Response(_live(), media_type="text/javascript"),
            f"{ROOT}/session": lambda *_: Response(status_code=204),
            f"{ROOT}/run/{{key}}": self._run,
            f"{ROOT}/state/{{key}}": self._state,
            f"{ROOT}/stream/{{key}}": self._stream,
            f"{ROOT}/samples/{{key}}": self._samples,
            f"{ROOT}/preview/{{key}}": self._preview,
            f"{ROOT}/report/{{key}}": self._report,
        }
        routes = [
            Route(ROOT, self._first, methods=["GET"]),
            Route(METRICS, self._metrics, methods=["GET"]),
            Route(f"{ROOT}/enter", self._door.enter, methods=["POST"]),
            Route(f"{ROOT}/leave", self._leave, methods=["POST"]),
            Route(f"{ROOT}/stop/{{key}}", self._stop, methods=["POST"]),
            Route(f"{ROOT}/resume/{{key}}", self._resume, methods=["POST"]),
            *(Route(path, self._guarded(answer), methods=["GET"]) for path, answer in get.items()),
        ]
        return Starlette(routes=routes, exception_handlers={404: _absent, 405: _absent})

    def _guarded(self, answer: Answer) -> Callable[[Request], Response]:
        def guarded(request: Request) -> Response:
            who = self._door.who(request)
            if who is None:
                return nothing(request.url.path)
            try:
                return answer(request, who)
            except FedgenError as error:
                return PlainTextResponse(f"{error}\n", 500)

        return guarded

    def _first(self, request: Request) -> Response:
        who = self._door.who(request)
        if who is None:
            return self._door.entry()
        keys = self._watched.runs()
        return self._page(request, who, keys[0] if keys else None)

    def _run(self, request: Request, who: Pass) -> Response:
        return self._page(request, who, str(request.path_params["key"]))

    def _page(self, request: Request, who: Pass, key: str | None) -> Response:
        made = self._parts(key, who, self._door.secret(request)) if key is not None else {}
        states = [state for each in self._watched.runs() if (state := self._watched.state(each)) is not None]
        if key is not None and not made:
            return nothing(request.url.path)
        template = environment().get_template("run.html" if made else "no_run.html")
        return HTMLResponse(
            template.render(
                root=ROOT,
                title=self._watched.title,
                key=key,
                parts=made,
                runs=states,
                sightings=self._watched.sightings(),
                may=who.may,
                csrf=self._door.secret(request),
            )
        )

    def _parts(self, key: str, who: Pass, secret: str) -> Parts:
        state = self._watched.state(key)
        if state is None:
            return {}
        return parts(state, self._watched.events(key), ROOT, who.may == "operate", secret)

    def _found(self, request: Request) -> PageState | None:
        return self._watched.state(str(request.path_params["key"]))

    def _state(self, request: Request, who: Pass) -> Response:
        state = self._found(request)
        if state is None:
            return nothing(request.url.path)
        return Response(state.model_dump_json(), media_type="application/json")

    def _stream(self, request: Request, who: Pass) -> Response:
        key, secret = str(request.path_params["key"]), self._door.secret(request)
        if self._watched.folder(key) is None:
            return nothing(request.url.path)
        return StreamingResponse(
            frames(
                lambda: self._parts(key, who, secret),
                lambda: self._door.who(request) is not None,
                self._ending,
            ),
            media_type="text/event-stream",
            # A proxy that keeps the stream back until it is long would show nothing.
            headers={"X-Accel-Buffering": "no"},
        )

    def _samples(self, request: Request, who: Pass) -> Response:
        folder = self._watched.folder(str(request.path_params["key"]))
        path = None if folder is None else folder / "figures" / SAMPLES
        if path is None or not path.is_file():
            return nothing(request.url.path)
        return FileResponse(path, media_type="image/png")

    def _preview(self, request: Request, who: Pass) -> Response:
        state, folder = self._found(request), self._watched.folder(str(request.path_params["key"]))
        if state is None or state.preview is None or folder is None:
            return nothing(request.url.path)
        return FileResponse(preview_path(RunDirectory(folder), state.preview.round), media_type="image/png")

    def _report(self, request: Request, who: Pass) -> Response:
        folder = self._watched.folder(str(request.path_params["key"]))
        path = None if folder is None else folder / "report.html"
        if path is None or not path.is_file():
            return nothing(request.url.path)
        # As a file to keep: the report has its own styles, which the policy of a page here does not let be.
        return FileResponse(path, media_type="text/html", filename=f"{path.parent.name}-report.html")

    def _metrics(self, request: Request) -> Response:
        if self._door.machine(request) is None:
            return nothing(request.url.path)
        states = [state for key in self._watched.runs() if (state := self._watched.state(key)) is not None]
        return Response(metrics(states, self._watched.sightings()), headers={"Content-Type": TYPE})

    async def _leave(self, request: Request) -> Response:
        if await self._door.form(request) is None:
            return nothing(request.url.path)
        return self._door.leave(request)

    async def _stop(self, request: Request) -> Response:
        return await self._act(request, self._watched.stop)

    async def _resume(self, request: Request) -> Response:
        return await self._act(request, self._watched.resume)

    async def _act(self, request: Request, act: Callable[[str, str], str]) -> Response:
        key, who = str(request.path_params["key"]), await run_in_threadpool(self._door.who, request)
        fields = None if who is None else await self._door.form(request)
        if who is None or fields is None or self._watched.folder(key) is None:
            return nothing(request.url.path)
        if who.may != "operate":
            return _told(
                "This link only reads: ask whoever runs the server for one that also operates.", key, 403
            )
        try:
            await run_in_threadpool(act, key, who.id)
        except FedgenError as error:
            return _told(str(error), key, 409)
        return RedirectResponse(f"{ROOT}/run/{key}", 303)


def _told(sentence: str, key: str, status: int) -> Response:
    page = environment().get_template("told.html")
    return HTMLResponse(page.render(root=ROOT, said=sentence, back=f"{ROOT}/run/{key}"), status)


async def _absent(request: Request, error: Exception) -> Response:
    return nothing(request.url.path)


def _live() -> str:
    return files("fedgen.dashboard").joinpath("templates", "live.js").read_text("utf-8")
