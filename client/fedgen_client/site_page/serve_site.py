"""The page served to this machine, with the links that open it."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable

from starlette.types import ASGIApp

from fedgen.dashboard.access import May, OneProcess
from fedgen.dashboard.door import Door
from fedgen.errors import FedgenError
from fedgen.web.this_machine import ADDRESS, serve_here
from fedgen_client.folder import SiteFolder
from fedgen_client.site_page.coordinator_watch import CoordinatorWatch, ask
from fedgen_client.site_page.page_routes import SitePage
from fedgen_client.site_page.site_door import site_doorway
from fedgen_client.site_page.site_reader import SiteReader

#: Between two looks for a study that waits.
SECONDS = 2.0


def serve_page(
    folder: SiteFolder, port: int, read_only: bool, tell: Callable[[dict[May, str]], None]
) -> None:
    """Serve a site's page until the process is interrupted.

    Args:
        folder: of a site that has joined.
        port: 0 for a free one.
        read_only: whether nobody may decide by it.
        tell: given a link to decide (operate) and one to look (read). Its token is behind the `#`, which a browser
            sends to nobody.

    Raises:
        FederationError: the site has joined no federation.
        StudyError: the site file is not valid, or the port is taken.
    """
    folder.membership()
    folder.load_site_file()
    keys, stopped = OneProcess(), threading.Event()
    may: tuple[May, ...] = ("read",) if read_only else ("operate", "read")
    tokens: dict[May, str] = {each: keys.issue(each) for each in may}
    door = Door(keys, site_doorway())
    watch = CoordinatorWatch(lambda: ask(folder))
    reader = SiteReader(folder, watch.look)
    page = SitePage(reader, watch, door)

    def app(taken: int) -> ASGIApp:
        return page.app()

    def told(taken: int) -> None:
        entrance = f"http://{ADDRESS}:{taken}{door.way.entrance}"
        tell({each: f"{entrance}#{token}" for each, token in tokens.items()})

    try:
        watch.begin(stopped)
        threading.Thread(target=read_ahead, args=(reader, stopped), name="read-ahead", daemon=True).start()
        serve_here(app, port, told)
    finally:
        stopped.set()


def read_ahead(reader: SiteReader, stopped: threading.Event) -> None:
    """Read each study that waits for a decision once before somebody does: compiling one takes seconds, the first time.

    Args:
        reader: whose pages are read.
        stopped: ends it.
    """
    known: set[str] = set()
    # Whatever cannot be read is told to whoever opens the page.
    with contextlib.suppress(FedgenError):
        reader.site()
    while not stopped.wait(SECONDS):
        with contextlib.suppress(FedgenError):
            for study in reader.waiting():
                if study not in known:
                    known.add(study)
                    reader.study(study)
