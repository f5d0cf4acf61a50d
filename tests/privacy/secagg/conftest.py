"""A session driven over bytes as coordinators and sites see it, and a second implementation of its cryptography."""

from __future__ import annotations

import dataclasses
import gc
import hashlib
import hmac
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES256
from cryptography.hazmat.primitives.ciphers.modes import ECB

from fedgen_privacy.secagg import Client, Identity, Parameters, Phase, Roster, SecAggAborted, Server, Total

STUDY = hashlib.sha256(b"a study").digest()
MODEL = hashlib.sha256(b"a model").digest()


class Reference:
    """The derivations of docs/explanation/secure-aggregation.md from hashlib, hmac and single AES blocks."""

    @staticmethod
    def hkdf(secret: bytes, salt: bytes, info: bytes) -> bytes:
        """RFC 5869 for one block of output."""
        return hmac.digest(hmac.digest(salt, secret, "sha256"), info + b"\x01", "sha256")

    @staticmethod
    def stream(key: bytes, size: int) -> bytes:
        """AES-256 of the counters 0, 1, 2, ... as 16 bytes, big-endian."""
        counters = np.zeros((-(-size // 16), 2), dtype=">u8")
        counters[:, 1] = np.arange(len(counters))
        encryptor = Cipher(AES256(key), ECB()).encryptor()
        return (encryptor.update(counters.tobytes()) + encryptor.finalize())[:size]

    @classmethod
    def self_key(cls, seed: bytes, session: bytes, site: int) -> bytes:
        """Key of a site's own mask."""
        return cls.hkdf(seed, session, b"fedgen-sa/1 self mask" + site.to_bytes(2, "big"))

    @classmethod
    def pair_key(cls, private: bytes, public: bytes, session: bytes, a: int, b: int) -> bytes:
        """Key of the mask of a pair of sites."""
        shared = X25519PrivateKey.from_private_bytes(private).exchange(
            X25519PublicKey.from_public_bytes(public)
        )
        pair = min(a, b).to_bytes(2, "big") + max(a, b).to_bytes(2, "big")
        return cls.hkdf(shared, session, b"fedgen-sa/1 pair mask" + pair)

    @classmethod
    def masked(
        cls, words: np.ndarray[Any, Any], split: int, bits: int, add: list[bytes], subtract: list[bytes]
    ) -> np.ndarray[Any, Any]:
        """`words` with masks added and subtracted: lanes of `bits` before word `split`, of 64 bits behind it."""
        body = words[:split].view(np.dtype(f"<u{bits // 8}")).copy()
        tail = words[split:].view(np.dtype("<u8")).copy()
        for keys, combine in ((add, np.add), (subtract, np.subtract)):
            for key in keys:
                stream = cls.stream(key, words.nbytes)
                for lanes, mask in ((body, stream[: body.nbytes]), (tail, stream[body.nbytes :])):
                    combine(lanes, np.frombuffer(mask, lanes.dtype), out=lanes)
        return np.concatenate([body.view("<u4"), tail.view("<u4")])


@dataclasses.dataclass
class Contribution:
    """What one site puts in."""

    vector: np.ndarray[Any, np.dtype[np.float32]]
    weight: int
    metrics: tuple[float, ...]


class Drill:
    """A roster of sites and a coordinator, one session, phase by phase.

    Attributes:
        requests, answers: bytes by phase and site, as they went over the wire.
        seeds, privates: of each site that masked, taken before it forgot them.
        uploads: masked vectors by site.
    """

    def __init__(
        self,
        parameters: Parameters,
        sites: int,
        *,
        study: bytes = STUDY,
        model: bytes = MODEL,
        round: int = 1,
        attempt: int = 1,
        contributions: Mapping[str, Contribution] | None = None,
        silent: Mapping[str, Phase] | None = None,
    ) -> None:
        self.names = [f"site{number:02d}" for number in range(sites)]
        self.identities = {
            name: Identity.from_private_bytes(name, hashlib.sha256(name.encode()).digest())
            for name in self.names
        }
        self.roster = Roster({name: identity.public_key for name, identity in self.identities.items()})
        self.parameters, self.study, self.model = parameters, study, model
        self.round, self.attempt = round, attempt
        self.silent = dict(silent or {})
        self.contributions = dict(contributions or {})
        for number, name in enumerate(self.names):
            ramp = np.linspace(-0.9, 0.9, parameters.length, dtype=np.float32) * np.float32(parameters.bound)
            default = Contribution(ramp, 1 + number % parameters.weight_cap, (1.5,) * parameters.metrics)
            self.contributions.setdefault(name, default)
        self.clients = {name: self.client(name) for name in self.names}
        self.server = Server(self.roster, parameters, study, round, attempt, model)
        self.requests: dict[Phase, dict[str, bytes]] = {}
        self.answers: dict[Phase, dict[str, bytes]] = {}
        self.seeds: dict[str, bytes] = {}
        self.privates: dict[str, bytes] = {}
        self.uploads: dict[str, np.ndarray[Any, Any]] = {}
        self.total: Total | None = None

    def client(self, name: str, **changes: Any) -> Client:
        """A client of this session, or of one with another study, round, attempt or parameters."""
        values = {
            "parameters": self.parameters,
            "study": self.study,
            "round": self.round,
            "attempt": self.attempt,
        }
        return Client(self.identities[name], self.roster, **{**values, **changes})

    def answer(self, name: str, phase: Phase, request: bytes) -> bytes:
        """A site's answer; a masked vector goes to `uploads`."""
        client = self.clients[name]
        if phase is Phase.ADVERTISE:
            return client.advertise()
        if phase is Phase.SHARE:
            return client.share(request)
        if phase is Phase.MASK:
            client.open(request, self.model)
            self.seeds[name] = bytes(client._seed)
            self.privates[name] = client._mask_key.private_bytes_raw()
            mine = self.contributions[name]
            receipt, self.uploads[name], _ = client.mask(mine.vector, mine.weight, mine.metrics)
            return receipt
        return client.confirm(request) if phase is Phase.CONFIRM else client.unmask(request)

    def serve(self, phase: Phase, answers: Mapping[str, bytes]) -> dict[str, bytes]:
        """The coordinator takes a phase's answers; the requests of the next."""
        if phase is Phase.ADVERTISE:
            return self.server.share_requests(answers)
        if phase is Phase.SHARE:
            return self.server.mask_requests(answers)
        if phase is Phase.MASK:
            for name, receipt in answers.items():
                self.server.add(name, receipt, self.uploads[name])
            return self.server.confirm_requests()
        if phase is Phase.CONFIRM:
            return self.server.unmask_requests(answers)
        self.total = self.server.finish(answers)
        return {}

    def until(self, stop: Phase | None = None) -> dict[str, bytes]:
        """Everybody answers every phase before `stop`; the requests of `stop`, to nobody yet."""
        requests = dict.fromkeys(self.names, b"")
        order = list(Phase)
        for phase in order:
            self.requests[phase] = requests
            if phase is stop:
                break
            self.answers[phase] = {
                name: self.answer(name, phase, request)
                for name, request in requests.items()
                if name not in self.silent or order.index(phase) < order.index(self.silent[name])
            }
            requests = self.serve(phase, self.answers[phase])
        return requests

    def run(self) -> Total:
        """The whole session."""
        self.until()
        assert self.total is not None
        return self.total

    def session(self) -> bytes:
        """The session id, from what went over the wire."""
        request = next(iter(self.requests[Phase.SHARE].values()))
        nonce = request[6 + 32 : 6 + 64]
        names = b"".join(
            len(name).to_bytes(2, "big") + name.encode() + key
            for name, key in zip(self.roster.sites, self.roster.keys, strict=True)
        )
        roster = hashlib.sha256(b"fedgen-sa/1 roster" + names).digest()
        digest = hashlib.sha256(
            b"fedgen-sa/1 manifest" + self.study + roster + self.parameters.encode()
        ).digest()
        place = self.round.to_bytes(4, "big") + self.attempt.to_bytes(2, "big")
        adverts = self.answers[Phase.ADVERTISE]
        said = b"".join(adverts[name] for name in sorted(adverts))
        return hashlib.sha256(b"fedgen-sa/1 session" + digest + place + self.model + nonce + said).digest()

    def encoded(self, name: str) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
        """The integers a site put in, update and tail: its upload with its masks taken off by `Reference`."""
        add, subtract = [Reference.self_key(self.seeds[name], self.session(), self.names.index(name))], []
        mine = self.names.index(name)
        for peer in self.answers[Phase.SHARE]:
            if peer != name:
                # An advert: header 6, digest 32, round 4, attempt 2, site 2, then the mask key.
                public = self.answers[Phase.ADVERTISE][peer][46:78]
                other = self.names.index(peer)
                key = Reference.pair_key(self.privates[name], public, self.session(), mine, other)
                (add if mine < other else subtract).append(key)
        bits, words = self.parameters.ring_bits, self.uploads[name]
        split = len(words) - 2 * (2 + self.parameters.metrics)
        plain = Reference.masked(words, split, bits, add=subtract, subtract=add)
        lanes = plain[:split].view(f"<i{bits // 8}").astype(np.int64)
        assert not lanes[self.parameters.length :].any()
        return lanes[: self.parameters.length], plain[split:].view("<i8")


def make_parameters(**changes: Any) -> Parameters:
    """Of a small session of four sites."""
    values: dict[str, Any] = {
        "minimum_sites": 3,
        "threshold": 3,
        "colluders": 0,
        "bound": 1.0,
        "weight_cap": 16,
        "ring_bits": 32,
        "length": 5,
        "metrics": 2,
    }
    return Parameters(**{**values, **changes})


@contextmanager
def expect_abort(phase: Phase, reason: str, *sites: str) -> Iterator[pytest.ExceptionInfo[SecAggAborted]]:
    """An abort in this phase, whose reason has these words, which names exactly these sites."""
    with pytest.raises(SecAggAborted) as caught:
        yield caught
    assert caught.value.phase is phase
    assert reason in caught.value.reason
    assert caught.value.sites == sites


def find_secrets(root: object) -> list[object]:
    """Private session keys and byte arrays that are not all zero, wherever the object's own values lead."""
    found, seen, todo = [], set(), [vars(root)]
    while todo:
        value = todo.pop()
        if id(value) in seen or isinstance(value, type | Identity):
            continue
        seen.add(id(value))
        if isinstance(value, X25519PrivateKey) or (isinstance(value, bytearray) and any(value)):
            found.append(value)
        todo += gc.get_referents(value)
    return found


def has_ended(client: Client) -> bool:
    """The client has no secret left and answers nothing any more."""
    for call in (client.advertise, lambda: client.share(b""), lambda: client.open(b"", b"")):
        with pytest.raises(SecAggAborted):
            call()
    for call in (
        lambda: client.mask(np.zeros(5, np.float32), 1, (0.0, 0.0)),
        lambda: client.confirm(b""),
        lambda: client.unmask(b""),
    ):
        with pytest.raises(SecAggAborted):
            call()
    return not find_secrets(client)


@pytest.fixture(scope="session")
def drill() -> Callable[..., Drill]:
    """`drill(sites=4, **changes of parameters)`: a session; `at={...}` holds arguments of `Drill` itself."""

    def build(sites: int = 4, at: Mapping[str, Any] | None = None, **changes: Any) -> Drill:
        return Drill(make_parameters(**changes), sites, **(at or {}))

    return build


@pytest.fixture(scope="session")
def parameters() -> Callable[..., Parameters]:
    """See `make_parameters`."""
    return make_parameters


@pytest.fixture(scope="session")
def contribution() -> type[Contribution]:
    """See `Contribution`."""
    return Contribution


@pytest.fixture(scope="session")
def reference() -> type[Reference]:
    """See `Reference`."""
    return Reference


@pytest.fixture(scope="session")
def aborts() -> Callable[..., AbstractContextManager[pytest.ExceptionInfo[SecAggAborted]]]:
    """See `expect_abort`."""
    return expect_abort


@pytest.fixture(scope="session")
def secrets_in() -> Callable[[object], list[object]]:
    """See `find_secrets`."""
    return find_secrets


@pytest.fixture(scope="session")
def is_over() -> Callable[[Client], bool]:
    """See `has_ended`."""
    return has_ended
