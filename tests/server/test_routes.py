"""Joining and asking, over the routes as a site uses them."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from fastapi import FastAPI
from fastapi.testclient import TestClient

from fedgen.errors import DataError
from fedgen.protocol.enrolment import (
    PREFIX,
    ErrorReply,
    JoinReply,
    JoinRequest,
    SiteReply,
    StatusReply,
    StudiesReply,
    TimeReply,
)
from fedgen.protocol.invitation import Invitation
from fedgen.protocol.manifest import SignedManifest, manifest_of, open_manifest, sign_manifest
from fedgen.protocol.signing import sign_request
from fedgen.run.directory import RunDirectory
from fedgen.run.events import RoundDone
from fedgen.run.summary import RunSummary, update_summary
from fedgen.study.load import load_study
from fedgen_privacy.secagg import Identity
from fedgen_server.certificates import fingerprint
from fedgen_server.routes import router
from fedgen_server.sites import Member


def node_key(curve: ec.EllipticCurve | None = None) -> str:
    public = ec.generate_private_key(curve or ec.SECP384R1()).public_key()
    return public.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    ).decode()


@pytest.fixture
def server(federation):
    """A client of the routes; `nodes` is what Flower was told, by key."""
    nodes: dict[bytes, tuple[str, int]] = {}

    def register(key: bytes, site: str) -> int:
        return nodes.setdefault(key, (site, 2**63 + len(nodes)))[1]

    app = FastAPI()
    app.include_router(router(federation, register))
    client = TestClient(app)
    return SimpleNamespace(client=client, federation=federation, nodes=nodes)


def request_of(invitation: Invitation, identity: Identity, key: str, **changes: object) -> dict[str, object]:
    request = JoinRequest(
        site=invitation.site,
        secret=invitation.secret,
        identity_key=identity.public_key.hex(),
        node_key=key,
        fedgen="0.1.0",
    )
    return {**request.model_dump(), **changes}


def joined(server, name: str) -> Identity:
    """A new member."""
    identity = Identity.generate(name)
    body = request_of(server.federation.invite(name, 1), identity, node_key())
    assert server.client.post(f"{PREFIX}/join", json=body).status_code == 200
    return identity


def get(server, identity: Identity, route: str, now: datetime | None = None):
    path = f"{PREFIX}/{route}"
    headers = sign_request(identity, "GET", path, b"", now or datetime.now(UTC))
    return server.client.get(path, headers=headers)


def refusal(response, status: int) -> ErrorReply:
    assert response.status_code == status, response.text
    reply = ErrorReply.model_validate(response.json())
    assert reply.error.endswith(".") and "\n" not in reply.error
    return reply


def test_what_anybody_may_ask(server) -> None:
    assert server.client.get(f"{PREFIX}/health").json()["status"] == "ok"
    reply = TimeReply.model_validate_json(server.client.get(f"{PREFIX}/time").content)
    assert abs(reply.time - datetime.now(UTC)) < timedelta(seconds=10)
    ca = server.client.get(f"{PREFIX}/ca").content
    assert fingerprint(ca) == server.federation.ca_sha256
    assert b"PRIVATE" not in ca


def test_joining(server) -> None:
    invitation = server.federation.invite("St. Mary", 1)
    identity, key = Identity.generate("St. Mary"), node_key()
    response = server.client.post(f"{PREFIX}/join", json=request_of(invitation, identity, key))
    reply = JoinReply.model_validate_json(response.content)
    assert reply.federation == "Lung net"
    assert bytes.fromhex(reply.coordinator_key) == server.federation.identity.public_key
    assert reply.site == "St. Mary"
    assert server.nodes == {key.encode(): ("St. Mary", reply.node_id)}
    member = server.federation.sites.active()["St. Mary"]
    assert (member.identity_key, member.node_id) == (identity.public_key.hex(), reply.node_id)
    assert [line["event"] for line in server.federation.log.whole()] == ["invited", "joined"]
    assert invitation.secret.encode() not in server.federation.paths.log.read_bytes()


def test_a_lost_reply_is_given_again(server) -> None:
    invitation = server.federation.invite("north", 1)
    body = request_of(invitation, Identity.generate("north"), node_key())
    first, second = (server.client.post(f"{PREFIX}/join", json=body) for _ in range(2))
    assert first.status_code == second.status_code == 200
    assert first.content == second.content
    assert len(server.nodes) == 1


def test_a_crash_before_the_site_is_entered_is_mended_by_asking_again(server, monkeypatch) -> None:
    body = request_of(server.federation.invite("north", 1), Identity.generate("north"), node_key())

    def crash(site: Member) -> None:
        raise DataError("The disk is full at /secret/place: free some.")

    with monkeypatch.context() as patch:
        patch.setattr(server.federation.sites, "add", crash)
        assert "/secret" not in refusal(server.client.post(f"{PREFIX}/join", json=body), 500).error
    assert server.federation.sites.active() == {}
    assert server.client.post(f"{PREFIX}/join", json=body).status_code == 200
    assert list(server.federation.sites.active()) == ["north"]
    assert len(server.nodes) == 1


@pytest.mark.parametrize("key", ["identity_key", "node_key"])
def test_a_used_token_is_refused_to_other_keys(server, key: str) -> None:
    invitation = server.federation.invite("north", 1)
    body = request_of(invitation, Identity.generate("north"), node_key())
    assert server.client.post(f"{PREFIX}/join", json=body).status_code == 200
    other = {"identity_key": Identity.generate("x").public_key.hex(), "node_key": node_key()}[key]
    reply = refusal(server.client.post(f"{PREFIX}/join", json={**body, key: other}), 403)
    assert "used already" in reply.error and reply.code == 3
    assert len(server.nodes) == 1


def refused_join(server, body: dict[str, object], words: str) -> None:
    reply = refusal(server.client.post(f"{PREFIX}/join", json=body), 403)
    assert words in reply.error and reply.code == 3
    assert server.nodes == {} and server.federation.sites.all() == {}


def test_an_expired_token(server) -> None:
    now = datetime.now(UTC)
    invitation = server.federation.invitations.invite("north", 1, now - timedelta(hours=1, seconds=1))
    refused_join(server, request_of(invitation, Identity.generate("north"), node_key()), "expired on")


def test_a_token_of_another_name(server) -> None:
    server.federation.invite("south", 1)
    invitation = server.federation.invite("north", 1)
    body = request_of(invitation, Identity.generate("south"), node_key(), site="south")
    refused_join(server, body, "another name than south")
    # The attempt did not use it up.
    body = request_of(invitation, Identity.generate("north"), node_key())
    assert server.client.post(f"{PREFIX}/join", json=body).status_code == 200


@pytest.mark.parametrize("secret", ["", "x" * 43, "é" * 43])
def test_a_wrong_secret(server, secret: str) -> None:
    invitation = server.federation.invite("north", 1)
    body = request_of(invitation, Identity.generate("north"), node_key(), secret=secret)
    refused_join(server, body, "no longer, valid")


def test_a_withdrawn_token(server) -> None:
    first = server.federation.invite("north", 1)
    server.federation.invite("north", 1)
    refused_join(server, request_of(first, Identity.generate("north"), node_key()), "no longer, valid")


def test_a_key_of_another_site_does_not_use_up_the_token(server) -> None:
    identity = joined(server, "north")
    invitation = server.federation.invite("south", 1)
    body = request_of(invitation, identity, node_key())
    assert "another site" in refusal(server.client.post(f"{PREFIX}/join", json=body), 403).error
    body = request_of(invitation, Identity.generate("south"), node_key())
    assert server.client.post(f"{PREFIX}/join", json=body).status_code == 200


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"\xff",
        b"{" * 1000,
        json.dumps({"site": "north"}).encode(),
    ],
)
def test_a_request_that_is_none(server, body: bytes) -> None:
    reply = refusal(server.client.post(f"{PREFIX}/join", content=body), 400)
    assert reply.code == 2


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("site", "../x"),
        ("identity_key", "00"),
        ("node_key", "no key"),
        ("node_key", node_key(ec.SECP256K1())),
        ("node_key", "x" * 5000),
        ("unknown", 1),
        ("fedgen", None),
    ],
)
def test_values_that_cannot_be(server, key: str, value: object) -> None:
    invitation = server.federation.invite("north", 1)
    body = request_of(invitation, Identity.generate("north"), node_key(), **{key: value})
    reply = refusal(server.client.post(f"{PREFIX}/join", json=body), 400)
    assert invitation.secret not in reply.error
    assert server.federation.invitations.pending(datetime.now(UTC))


def test_only_members_ask(server) -> None:
    for route in ("site", "studies", f"studies/{'0' * 64}", "status"):
        assert "Fedgen-Site" in refusal(server.client.get(f"{PREFIX}/{route}"), 401).error
        assert "not signed" in refusal(get(server, Identity.generate("north"), route), 401).error


def test_a_removed_site_is_told_so_and_nothing_else(server) -> None:
    identity = joined(server, "north")
    assert SiteReply.model_validate_json(get(server, identity, "site").content).active
    server.federation.remove("north")
    for route in ("studies", f"studies/{'0' * 64}", "status"):
        reply = refusal(get(server, identity, route), 403)
        assert "was removed" in reply.error and reply.code == 3
    assert not SiteReply.model_validate_json(get(server, identity, "site").content).active


def test_a_removed_site_does_not_come_back_with_its_old_token(server) -> None:
    invitation = server.federation.invite("north", 1)
    body = request_of(invitation, Identity.generate("north"), node_key())
    assert server.client.post(f"{PREFIX}/join", json=body).status_code == 200
    server.federation.remove("north")
    refusal(server.client.post(f"{PREFIX}/join", json=body), 403)
    assert server.federation.sites.active() == {}


@pytest.mark.parametrize(("days", "words"), [(1, "ahead of"), (-1, "behind")])
def test_a_clock_one_day_off(server, days: int, words: str) -> None:
    identity = joined(server, "north")
    reply = refusal(get(server, identity, "studies", datetime.now(UTC) + timedelta(days=days)), 401)
    assert words in reply.error and ("86400 s" in reply.error or "8639" in reply.error)


def test_a_request_signed_for_another_route(server) -> None:
    identity = joined(server, "north")
    headers = sign_request(identity, "GET", f"{PREFIX}/site", b"", datetime.now(UTC))
    refusal(server.client.get(f"{PREFIX}/studies", headers=headers), 401)


def test_studies_are_offered_to_their_roster(server, tmp_path) -> None:
    north, south = joined(server, "north"), joined(server, "south")
    study = load_study("demo_gradients")
    manifest = manifest_of("Lung net", study, {"north": north.public_key}, datetime.now(UTC))
    signed = sign_manifest(manifest, server.federation.identity)
    run = RunDirectory.create(tmp_path, "demo-gradients")
    server.federation.studies.publish(signed, run.path)

    def offered(identity: Identity) -> list[SignedManifest]:
        return StudiesReply.model_validate_json(get(server, identity, "studies").content).studies

    assert offered(north) == [signed]
    assert open_manifest(offered(north)[0], server.federation.identity.public_key) == manifest
    assert offered(south) == []
    route = f"studies/{manifest.study_sha256}"
    assert SignedManifest.model_validate_json(get(server, north, route).content) == signed
    for identity, path in ((south, route), (north, f"studies/{'0' * 64}"), (north, "studies/sites")):
        refusal(get(server, identity, path), 404)

    def status(of=north) -> StatusReply:
        return StatusReply.model_validate_json(get(server, of, "status").content)

    assert status().sites == 2
    # who has no part in it does not hear of it
    assert status(south).studies == []
    (one,) = status().studies
    assert (one.name, one.state, one.round, one.rounds, one.sites) == (
        "demo-gradients",
        "offered",
        0,
        study.training.rounds,
        1,
    )
    update_summary(run, RunSummary(status="running"))
    for n in (1, 2):
        run.event(RoundDone(round=n, losses={}, epsilon=None, sites=("north",), seconds=1.0))
    assert (status().studies[0].state, status().studies[0].round) == ("running", 2)
    server.federation.studies.close(manifest.study_sha256)
    assert offered(north) == [] and status().studies == []


def test_a_fault_of_the_coordinator_names_no_files(server, caplog) -> None:
    identity = joined(server, "north")
    server.federation.paths.sites.write_text("damaged")
    reply = refusal(get(server, identity, "studies"), 500)
    assert reply.code == 5
    assert str(server.federation.paths.folder) not in reply.error
    assert "sites.json is damaged" in caplog.text
