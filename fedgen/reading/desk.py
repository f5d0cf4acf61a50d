"""The page at which a reader sits: the next images, a form, and nothing that tells which is which."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Mapping
from functools import cache
from importlib.resources import files
from urllib.parse import parse_qs

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from fedgen.errors import StudyError
from fedgen.reading.book import CHOICES, AnsweredAlreadyError, Book
from fedgen.reading.guarded import Guarded
from fedgen.reading.trials import Shown
from fedgen.study.reading_section import BEST_MARK
from fedgen.web.this_machine import ADDRESS, serve_here

#: An image as PNG.
Picture = Callable[[Shown], bytes]
_STATIC = {"read.css": "text/css", "read.js": "text/javascript"}


class Desk:
    """One reader's sitting.

    Args:
        book: the reading.
        reader: a pseudonym.
        picture: an image that is shown.
        done: called when the last trial has its answer, before the reader is told.
    """

    def __init__(self, book: Book, reader: str, picture: Picture, done: Callable[[], None]) -> None:
        self._book, self._reader, self._picture, self._done = book, reader, picture, done
        self._trials = book.trials(reader)
        self._since: dict[int, float] = {}

    def app(self, token: str) -> Guarded:
        """The application, behind its token."""
        routes = [
            Route(f"/{token}/", self._page, methods=["GET"]),
            Route(f"/{token}/answer", self._answer, methods=["POST"]),
            Route(f"/{token}/image/{{trial:int}}/{{side:int}}.png", self._image, methods=["GET"]),
            Route(f"/{token}/{{name}}", _static, methods=["GET"]),
        ]
        return Guarded(Starlette(routes=routes), token)

    def _page(self, request: Request) -> Response:
        number = self._book.next(self._reader)
        total, plan = len(self._trials), self._book.plan
        if number is None:
            return HTMLResponse(_environment().get_template("done.html").render(total=total))
        self._since.setdefault(number, time.monotonic())
        return HTMLResponse(
            _environment().get_template("read.html").render(
                number=number, total=total, reader=self._reader, mode=plan.mode, form=plan.form,
                choices=CHOICES[plan.mode], sides=range(len(self._trials[number])), best=BEST_MARK,
            )
        )  # fmt: skip

    def _image(self, request: Request) -> Response:
        trial, side = int(request.path_params["trial"]), int(request.path_params["side"])
        # Only what is on the page now: nobody leafs back through it, or ahead.
        if trial != self._book.next(self._reader) or side >= len(self._trials[trial]):
            return PlainTextResponse("There is no such image now.\n", 404)
        return Response(self._picture(self._trials[trial][side]), media_type="image/png")

    async def _answer(self, request: Request) -> Response:
        try:
            fields = parse_qs((await request.body()).decode("ascii"), strict_parsing=True, max_num_fields=64)
            trial, choice, marks = _given(fields, self._book.plan.form)
        except (ValueError, KeyError):
            return PlainTextResponse("This is no answer: go back, and fill in everything.\n", 400)
        return await run_in_threadpool(self._keep, trial, choice, marks)

    def _keep(self, trial: int, choice: str, marks: Mapping[str, tuple[int, ...]]) -> Response:
        since = self._since.get(trial)
        seconds = None if since is None else round(time.monotonic() - since, 1)
        try:
            self._book.write(self._reader, trial, choice, marks, seconds)
        except AnsweredAlreadyError as error:
            return PlainTextResponse(f"{error}\n", 409)
        except StudyError as error:
            return PlainTextResponse(f"{error}\n", 400)
        if self._book.next(self._reader) is None:
            self._done()
        return RedirectResponse("./", 303)


def _given(
    fields: Mapping[str, list[str]], form: tuple[str, ...]
) -> tuple[int, str, dict[str, tuple[int, ...]]]:
    """What was filled in.

    Raises:
        KeyError, ValueError: something is missing, twice, or no number.
    """
    (trial,), (choice,) = fields["trial"], fields["choice"]
    marks: dict[str, tuple[int, ...]] = {}
    for index, quality in enumerate(form):
        sides = [fields[name] for side in range(2) if (name := f"mark-{index}-{side}") in fields]
        if any(len(each) != 1 for each in sides):
            raise ValueError("a mark is given once")
        marks[quality] = tuple(int(each[0]) for each in sides)
    return int(trial), choice, marks


def _static(request: Request) -> Response:
    name = str(request.path_params["name"])
    if name not in _STATIC:
        return PlainTextResponse("There is nothing here.\n", 404)
    content = files("fedgen.reading").joinpath("templates", name).read_bytes()
    return Response(content, media_type=_STATIC[name])


@cache
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("fedgen.reading", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def serve(desk: Desk, port: int, tell: Callable[[str], None]) -> None:
    """Serve the page to this machine alone, until the process is interrupted.

    Args:
        desk: the reader's.
        port: 0 for a free one.
        tell: given the link.

    Raises:
        StudyError: the port is taken.
    """
    token = secrets.token_urlsafe(24)
    serve_here(lambda _: desk.app(token), port, lambda taken: tell(f"http://{ADDRESS}:{taken}/{token}/"))
