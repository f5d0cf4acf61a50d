"""A site whose worker sends back what came, with a marker: everything of the real site but the training.

python echo_site.py FOLDER [--clock SECONDS] [--slow SECONDS] [--full]
"""

from __future__ import annotations

import argparse
import datetime
import errno
import os
import sys
import threading
import time
import types
from pathlib import Path


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--clock", type=float, default=0.0)
    parser.add_argument("--half", action="store_true", help="die in the middle of the first upload")
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--slow", type=float, default=0.0)
    asked = parser.parse_args()

    from flwr.app import ConfigRecord, Message, RecordDict

    from fedgen.errors import FedgenError
    from fedgen.flower import fleet
    from fedgen.flower.envelope import identify, open_message, seal_message
    from fedgen_client import supervisor
    from fedgen_client.coordinator import pinned_ca
    from fedgen_client.folder import SiteFolder
    from fedgen_client.told import Told
    from fedgen_client.trust import pinned
    from fedgen_client.workshop import Worked

    if asked.full:
        from fedgen_privacy import durable

        def refuse(handle: int) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        durable.os = types.SimpleNamespace(**{**vars(os), "fsync": refuse})
    if asked.clock:
        from flwr.supernode import node_auth_http_interceptor as interceptor

        real = interceptor.now
        interceptor.now = lambda: real() + datetime.timedelta(seconds=asked.clock)

    class Echo:
        running = False

        def __init__(self, *arguments):
            self.times = 0

        def answer(self, run_id, node_id, message_id, objects, stopped):
            identify(run_id, node_id)
            message = open_message(message_id, objects)
            self.times += 1
            time.sleep(asked.slow)
            content = RecordDict({"echo": ConfigRecord({"times": self.times})})
            if "arrays" in message.content.array_records:
                content["arrays"] = message.content.array_records["arrays"]
            header, tree, parts = seal_message(Message(content, reply_to=message))
            return Worked(header, tree, parts, asked.slow, Told(active_seconds=30.0))

        def rest(self):
            return False

        def end(self):
            pass

    if asked.half:
        push = fleet.FleetHttpClient.PushObject

        def die(*arguments):
            push(*arguments)
            os._exit(9)

        fleet.FleetHttpClient.PushObject = die
    supervisor.Worker = Echo
    folder = SiteFolder(asked.folder)
    member = folder.membership()
    connection = fleet.Fleet(
        member.address, pinned(pinned_ca(folder)), folder.node_private_pem(), member.node_id
    )
    stopped = threading.Event()
    try:
        supervisor.Supervisor(
            folder, connection, lambda: None, lambda: None, lambda text: print(text, flush=True), stopped
        ).serve()
    except FedgenError as error:
        print(error, flush=True)
        sys.exit(int(error.exit_code))
    finally:
        assert "torch" not in sys.modules


main()
