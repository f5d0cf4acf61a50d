"""The page over real HTTP: who may see it, what it takes, and that it goes on where it was."""

from __future__ import annotations

import http.client
import re
import socket
import threading
from collections.abc import Callable, Iterator
from urllib.parse import urlencode

import pytest
import uvicorn

from fedgen.reading.book import Book
from fedgen.reading.desk import Desk
from fedgen.web.this_machine import ADDRESS, ThisMachine, quiet

TOKEN = "a-token-of-this-test"
Reply = tuple[int, dict[str, str], bytes]


class Served:
    """A desk on a port of this machine."""

    def __init__(self, book: Book, done: Callable[[], None]) -> None:
        self.socket = socket.socket()
        self.socket.bind((ADDRESS, 0))
        self.socket.listen()
        self.port = int(self.socket.getsockname()[1])
        desk = Desk(book, "ann", lambda shown: f"PNG of {shown}".encode(), done)
        self.server = uvicorn.Server(quiet(ThisMachine(desk.app(TOKEN), self.port)))
        self.thread = threading.Thread(target=self.server.run, kwargs={"sockets": [self.socket]})
        self.thread.start()

    def ask(self, method: str, path: str, body: str | None = None, **headers: str) -> Reply:
        connection = http.client.HTTPConnection(ADDRESS, self.port, timeout=20)
        told = {"Host": f"{ADDRESS}:{self.port}", **{k.replace("_", "-"): v for k, v in headers.items()}}
        # As it is, so that what no browser sends can be sent.
        connection.putrequest(method, path, skip_host=True)
        content = None if body is None else body.encode()
        if content is not None:
            told.setdefault("Content-Length", str(len(content)))
        for name, value in told.items():
            connection.putheader(name, value)
        connection.endheaders(content)
        reply = connection.getresponse()
        found = reply.status, {k.lower(): v for k, v in reply.getheaders()}, reply.read()
        connection.close()
        return found

    def get(self, path: str = "", **headers: str) -> Reply:
        return self.ask("GET", f"/{TOKEN}/{path}", **headers)

    def answer(self, trial: int, choice: str = "left", **headers: str) -> Reply:
        marks = {f"mark-{quality}-{side}": 3 for quality in range(2) for side in range(2)}
        return self.ask(
            "POST", f"/{TOKEN}/answer", urlencode({"trial": trial, "choice": choice, **marks}), **headers
        )

    def stop(self) -> None:
        self.server.should_exit = True
        self.thread.join(20)
        self.socket.close()


@pytest.fixture
def serve() -> Iterator[Callable[..., Served]]:
    """`serve(book)`: its pages, until the test is over."""
    running: list[Served] = []

    def start(book: Book, done: Callable[[], None] = lambda: None) -> Served:
        running.append(Served(book, done))
        return running[-1]

    yield start
    for served in running:
        served.stop()


def test_it_lets_nobody_in_without_the_link_or_from_elsewhere(serve, begin) -> None:
    served = serve(begin())
    assert served.get()[0] == 200
    local = f"localhost:{served.port}"
    assert served.get(Host=local)[0] == 200
    for path in ("/", "", "/wrong/", f"/{TOKEN}x/", f"//{TOKEN}/", "/read.css", "/../plan.json"):
        assert served.ask("GET", path or "/")[0] == 403, path
    for host in ("example.org", f"example.org:{served.port}", ADDRESS, f"{ADDRESS}:{served.port + 1}", ""):
        assert served.get(Host=host)[0] == 403, host
    assert served.answer(0, Origin="http://example.org")[0] == 403
    assert served.answer(0, Origin="null")[0] == 403
    assert served.ask("PUT", f"/{TOKEN}/answer", "x")[0] == 405
    assert served.ask("DELETE", f"/{TOKEN}/")[0] == 405


def test_every_answer_says_that_nothing_is_loaded_from_elsewhere(serve, begin) -> None:
    served = serve(begin())
    for reply in (served.get(), served.get("read.js"), served.get("nothing"), served.ask("GET", "/wrong/")):
        headers = reply[1]
        assert headers["content-security-policy"].startswith("default-src 'none'")
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["cache-control"] == "no-store"
        assert headers["x-content-type-options"] == "nosniff"
        assert "server" not in headers
    for name in ("", "read.css", "read.js"):
        text = served.get(name)[2].decode()
        assert not re.search(r"https?://|//[a-z]+\.[a-z]", text), name
        assert not re.search(r"\bon[a-z]+=|style=", text), "the policy would not let it run"


@pytest.mark.parametrize(
    "path",
    ["../plan.json", "..%2fplan.json", "%2e%2e/plan.json", "plan.json", "ann.jsonl", "read.html", "image/0/7.png",
     "image/1/0.png", "image/-1/0.png", "image/0/..%2f..%2fplan.json", "templates/read.css", "read.css/.."],
)  # fmt: skip
def test_no_path_leads_to_a_file_or_to_another_image(serve, begin, path) -> None:
    served = serve(begin())
    status, _, content = served.get(path)
    assert status in (403, 404)
    assert b"seed" not in content
    assert b"PNG" not in content


def test_the_page_does_not_tell_which_is_which(serve, begin) -> None:
    book = begin()
    served = serve(book)
    page = served.get()[2].decode()
    assert book.plan.seed not in page
    sources = re.findall(r'src="(image[^"]*)"', page)
    assert sources == ["image/0/0.png", "image/0/1.png"]
    assert [served.get(source)[2].decode() for source in sources] == [
        f"PNG of {each}" for each in book.trials("ann")[0]
    ]
    headers = [served.get(source)[1] for source in sources]
    assert {frozenset(each) for each in headers} == {frozenset(headers[0])}


def test_an_answer_is_kept_once_and_the_next_images_follow(serve, begin) -> None:
    book = begin()
    served = serve(book)
    status, headers, _ = served.answer(0, Origin=f"http://{ADDRESS}:{served.port}")
    assert (status, headers["location"]) == (303, "./")
    assert served.answer(0, "right")[0] == 409, "the first stays"
    assert served.answer(2)[0] == 400, "not its turn"
    assert [answer.choice for answer in book.answers("ann").values()] == ["left"]
    page = served.get()[2].decode()
    assert 'src="image/1/0.png"' in page
    assert served.get("image/0/0.png")[0] == 404, "nobody leafs back"


@pytest.mark.parametrize(
    "body",
    [
        "",
        "trial=0",
        "trial=0&choice=left",
        "trial=x&choice=left",
        "trial=0&choice=nobody",
        "choice=left&choice=left&trial=0",
        "trial=0&choice=left&mark-0-0=9&mark-0-1=1&mark-1-0=1&mark-1-1=1",
        "\x00\xff",
        "trial=0;choice=left",
    ],
)
def test_what_is_no_answer_is_kept_nowhere(serve, begin, body) -> None:
    book = begin()
    served = serve(book)
    assert served.ask("POST", f"/{TOKEN}/answer", body)[0] == 400
    assert book.answers("ann") == {}


def test_a_long_answer_is_not_read(serve, begin) -> None:
    served = serve(begin())
    assert served.ask("POST", f"/{TOKEN}/answer", "x" * 20_000)[0] == 413
    assert served.ask("POST", f"/{TOKEN}/answer", Transfer_Encoding="chunked")[0] == 413


def test_it_goes_on_where_it_was_and_ends(serve, begin) -> None:
    book, ended = begin(), []
    first = serve(book)
    for trial in range(3):
        assert first.answer(trial)[0] == 303
    first.stop()
    second = serve(begin(), lambda: ended.append(True))
    assert 'src="image/3/0.png"' in second.get()[2].decode()
    for trial in range(3, 6):
        assert ended == []
        assert second.answer(trial)[0] == 303
    assert ended == [True]
    page = second.get()[2].decode()
    assert "All 6 are read" in page
    assert not re.search(r"\d ?%|accuracy|correct", page), "a reader learns nothing of how it went"
    assert second.get("image/5/0.png")[0] == 404
