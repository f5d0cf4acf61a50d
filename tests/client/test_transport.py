"""Whatever goes wrong on the way is one sentence with the next step, and nothing is waited for without end."""

from __future__ import annotations

import json
import socket
import threading
import time
from datetime import timedelta

import httpx
import pytest

from fedgen.errors import DataError, FederationError, PrivacyRefusedError, StudyError
from fedgen_client import transport
from fedgen_client.coordinator import Coordinator, fetch_ca
from fedgen_client.transport import Transport
from fedgen_client.trust import pinned

TIME = "/fedgen/v1/time"


@pytest.fixture
def ask(authority):
    """`ask(stub)`: the coordinator's time, over the pinned authority."""

    def over(address: str, pem: bytes | None = None):
        with Coordinator(address, (pem or authority.pem).decode()) as coordinator:
            return coordinator.time()

    return over


@pytest.fixture
def silent():
    """The address of a port that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


def test_an_answer(stub, ask) -> None:
    assert ask(stub.address).fedgen == stub.version


def test_nobody_listens(ask) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(FederationError, match=rf"127\.0\.0\.1:{port} cannot be reached .* HTTPS_PROXY"):
        ask(f"127.0.0.1:{port}")


def test_a_name_that_does_not_exist(ask) -> None:
    with pytest.raises(
        FederationError, match=r"coordinator\.invalid:443 cannot be reached .* check the address"
    ):
        ask("coordinator.invalid:443")


def test_a_port_that_says_nothing(silent, ask, monkeypatch) -> None:
    monkeypatch.setattr(transport, "CONNECT_SECONDS", 0.2)
    monkeypatch.setattr(transport, "REQUEST_SECONDS", 0.2)
    begun = time.monotonic()
    with pytest.raises(FederationError, match=r"cannot be reached|did not finish its answer"):
        ask(silent)
    assert time.monotonic() - begun < 5


def test_another_name_than_the_certificates(serve, authority, ask) -> None:
    stub = serve(authority, host="somewhere.example.org")
    with pytest.raises(
        FederationError, match=r"not made for the name 127\.0\.0\.1: .* `fedgen-server renew`"
    ):
        ask(stub.address)
    assert stub.requests == []


def test_another_authority(stub, ask, authority) -> None:
    with pytest.raises(FederationError, match=r"did not sign .* so nothing was sent"):
        ask(stub.address, type(authority).make("other").pem)
    assert stub.requests == []


@pytest.mark.parametrize(
    ("days", "sentence"),
    [
        ((-9, -1), r"has expired: check this machine's clock, then .* `fedgen-server renew`"),
        ((1, 9), "is not valid yet: "),
    ],
)
def test_a_certificate_of_another_time(serve, authority, ask, days, sentence) -> None:
    stub = serve(authority, days=days)
    with pytest.raises(FederationError, match=sentence):
        ask(stub.address)


def test_the_system_s_authorities_are_not_trusted(authority) -> None:
    assert len(pinned(authority.pem.decode()).get_ca_certs()) == 1


def test_a_port_without_tls(ask) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def plain() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(1000)
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        thread = threading.Thread(target=plain)
        thread.start()
        with pytest.raises(FederationError, match="does not speak TLS as a coordinator does"):
            ask(f"127.0.0.1:{server.getsockname()[1]}")
        thread.join()


def test_a_broken_connection(stub, ask) -> None:
    stub.answers[TIME] = None
    with pytest.raises(FederationError, match=r"broke .*try again"):
        ask(stub.address)


def test_a_reply_of_another_form(stub, ask) -> None:
    for body in (b"", b"{}", b"<html>", b'{"time": "today", "fedgen": "1"}'):
        stub.answers[TIME] = (200, body)
        with pytest.raises(
            FederationError, match=r"another form than this version expects .* the same version"
        ):
            ask(stub.address)


@pytest.mark.parametrize(
    ("code", "kind"),
    [(2, StudyError), (3, PrivacyRefusedError), (4, DataError), (5, FederationError), (99, FederationError)],
)
def test_the_coordinators_own_sentence(stub, ask, code, kind) -> None:
    stub.answers[TIME] = (403, json.dumps({"error": "Your clock is wrong: set it.", "code": code}).encode())
    with pytest.raises(kind, match=r"^Your clock is wrong: set it\.$") as error:
        ask(stub.address)
    assert type(error.value) is kind


def test_a_sentence_cannot_write_over_the_terminal(stub, ask) -> None:
    stub.answers[TIME] = (403, json.dumps({"error": "\x1b[2Jok\r\n" + "x" * 9999, "code": 3}).encode())
    with pytest.raises(PrivacyRefusedError) as error:
        ask(stub.address)
    assert str(error.value).isprintable()
    assert len(str(error.value)) <= 500


@pytest.mark.parametrize("status", [301, 404, 502])
def test_something_else_answers(stub, ask, status) -> None:
    stub.answers[TIME] = (status, b"<html>proxy</html>")
    with pytest.raises(
        FederationError, match=rf"HTTP status {status}\) and not as a fedgen coordinator does"
    ):
        ask(stub.address)


def test_a_reply_has_a_largest_size(stub, ask, monkeypatch) -> None:
    monkeypatch.setattr(transport, "LARGEST_REPLY", 100_000)
    stub.answers[TIME] = (200, b" " * 100_001)
    with pytest.raises(FederationError, match="sent more than"):
        ask(stub.address)
    stub.answers[TIME] = (
        200,
        b" " * 99_000 + json.dumps({"time": "2026-01-01T00:00:00Z", "fedgen": "1"}).encode(),
    )
    assert ask(stub.address).fedgen == "1"


def test_a_reply_that_drips_has_an_end(authority) -> None:
    """Each part comes in time, the whole never would."""
    parts = iter([b"a", b"b", b"c", b"d"])

    class Dripping:
        def iter_raw(self):
            for part in parts:
                time.sleep(0.05)
                yield part

    with (
        Transport("127.0.0.1:1", pinned(authority.pem.decode())) as made,
        pytest.raises(httpx.ReadTimeout),
    ):
        list(made._limited(Dripping(), time.monotonic() + 0.12))
    assert next(parts, None) is not None


def test_a_proxy_that_is_not_there_is_named(stub, ask, monkeypatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{port}")
    with pytest.raises(FederationError, match="HTTPS_PROXY"):
        ask(stub.address)
    assert stub.requests == []
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    assert ask(stub.address).fedgen == stub.version


def test_a_proxy_carries_the_connection(stub, ask, monkeypatch) -> None:
    """The proxy sees the address and ciphertext, and TLS is with the coordinator."""
    asked = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def relay() -> None:
            inside, _ = server.accept()
            asked.append(inside.recv(4000))
            host, _, port = asked[0].split()[1].decode().rpartition(":")
            outside = socket.create_connection((host, int(port)))
            inside.sendall(b"HTTP/1.1 200 OK\r\n\r\n")

            def copy(source: socket.socket, target: socket.socket) -> None:
                while data := source.recv(65536):
                    target.sendall(data)
                target.close()

            threading.Thread(target=copy, args=(outside, inside), daemon=True).start()
            try:
                copy(inside, outside)
            except OSError:
                outside.close()

        threading.Thread(target=relay, daemon=True).start()
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{server.getsockname()[1]}")
        assert ask(stub.address).fedgen == stub.version
    assert asked[0].startswith(f"CONNECT {stub.address} HTTP/1.1".encode())


@pytest.mark.parametrize("address", ["127.0.0.1:99999", "host:port", "exa mple:1"])
def test_what_is_no_address(address, authority) -> None:
    with pytest.raises(FederationError, match=r"correct it|cannot be reached"):
        fetch_ca(address, authority.sha256)


def test_signed_requests_are_the_sites_own(member, stub) -> None:
    with Coordinator.of(member) as coordinator:
        assert coordinator.site().active
        stub.removed.add("north")
        assert not coordinator.site().active
        assert coordinator.studies() == []


def test_a_clock_a_day_off_is_told_by_the_coordinator(member, stub) -> None:
    stub.clock = timedelta(days=1)
    with (
        Coordinator.of(member) as coordinator,
        pytest.raises(PrivacyRefusedError, match=r"clock of north is 86[0-9]{3} s behind"),
    ):
        coordinator.site()


def test_a_changed_authority_file_is_not_believed(member, authority) -> None:
    member.ca.write_bytes(type(authority).make("other").pem)
    with pytest.raises(FederationError, match=r"ca\.crt is not the authority .* join again"):
        Coordinator.of(member)
