"""A Flower grid in memory: every node is a real ClientApp around a real site."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable
from types import SimpleNamespace
from typing import Any

import pytest
from flwr.app import Context, Error, Message, RecordDict

from fedgen.federation.site.site import Site
from fedgen.recipe import Recipe
from fedgen_client.app import app_of as client_of
from fedgen_server.folder import Federation

PATIENTS = {"east": 6, "north": 9, "south": 9}


class MemoryGrid:
    """What a ServerApp uses of a grid; `fault(node, message)` may give another reply, or None for silence."""

    def __init__(self, apps: dict[int, Any], fault: Callable[[int, Message], Any] | None = None) -> None:
        self.apps = apps
        self.fault = fault or (lambda node, message: message)
        self.replies: dict[str, Message] = {}
        self.sent: list[Message] = []
        self.pushed = 0

    def get_node_ids(self) -> Iterable[int]:
        return list(self.apps)

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        ids = []
        for message in messages:
            name = str(uuid.uuid4())
            message.metadata.__dict__["_message_id"] = name
            self.sent.append(message)
            ids.append(name)
            node = message.metadata.dst_node_id
            passed = self.fault(node, message)
            if isinstance(passed, Error):
                self.replies[name] = Message(passed, reply_to=message)
            elif passed is not None:
                reply = self.apps[node](passed, Context(1, node, {}, RecordDict(), {}))
                self.replies[name] = Message(reply.content, reply_to=message)
        return ids

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        return [self.replies.pop(name) for name in message_ids if name in self.replies]


@pytest.fixture(autouse=True)
def _every_test(quick_plans: None, flower_run: None) -> None:
    """Sites are planned once; messages are of a run."""


@pytest.fixture
def memory(tiny_site, tmp_path) -> Callable[..., SimpleNamespace]:
    """`memory(study)`: a grid of the sites, named by node ids that say nothing about them."""

    def build(study, fault=None) -> SimpleNamespace:
        sites = {
            n: Site(Recipe.of(study), tiny_site(n, p), tmp_path / "sites" / n) for n, p in PATIENTS.items()
        }
        nodes = dict(zip((70, 50, 60), sites.values(), strict=True))
        grid = MemoryGrid({node: client_of(site) for node, site in nodes.items()}, fault)
        return SimpleNamespace(
            grid=grid, sites=sites, nodes={site.name: node for node, site in nodes.items()}
        )

    return build


@pytest.fixture
def federation(tmp_path) -> Federation:
    """A new federation at localhost."""
    return Federation.create(tmp_path / "federation", name="Lung net", address="localhost:8443")
