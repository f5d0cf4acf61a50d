"""One round of our protocol with n sites in this process, its vector work and its key work timed apart."""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

from fedgen_privacy.secagg import Client, Identity, Parameters, Roster, Server, default_threshold
from fedgen_privacy.secagg.payload import FIXED_TAIL, PayloadLayout
from secagg.meter import Clock, Memory
from secagg.vectors import BOUND, rms_error

WEIGHT = 100
WEIGHT_CAP = 1000
METRICS = (0.5, 0.25)
STUDY = hashlib.sha256(b"benchmark study").digest()
MODEL = hashlib.sha256(b"benchmark model").digest()


def site_memory(length: int) -> NDArray[np.uint32]:
    """Memory for a masked vector, touched: a site's keyholder uses its own in every round."""
    return np.full(PayloadLayout(32, length, FIXED_TAIL + len(METRICS)).words, 1, dtype=np.uint32)


class Round:
    """A round of n sites that all hold the same update; the last `drops` sites share keys and are then lost.

    Keys are agreed on construction. Then call `mask` for every survivor in turn, each upload being added at once
    and forgotten, and `finish` once. `memory` is where every site's masked vector is made; without it each makes new.

    Attributes:
        key_client: one clock per site over advertise, share, open, confirm and unmask.
        key_server: the same messages at the coordinator.
        server: the uploads' additions, and the sum's opening.
        message_bytes: bytes per site of all its messages but the vector.
        memory_client: of the first site; memory_server: of the coordinator.
    """

    def __init__(
        self,
        sites: int,
        vector: NDArray[np.float32],
        drops: int = 0,
        ring_bits: int = 32,
        memory: NDArray[np.uint32] | None = None,
        weight_cap: int = WEIGHT_CAP,
    ) -> None:
        self.vector, self._out = vector, memory
        self.names = [f"site-{number:03d}" for number in range(sites)]
        self.survivors = self.names[: sites - drops]
        self.key_client = {name: Clock() for name in self.names}
        self.key_server, self.server = Clock(), Clock()
        self.message_bytes = dict.fromkeys(self.names, 0)
        self.vector_bytes = 0
        self.memory_client, self.memory_server = Memory(), Memory()
        self._unwatched = Memory()
        identities = {name: Identity.generate(name) for name in self.names}
        roster = Roster({name: identity.public_key for name, identity in identities.items()})
        parameters = Parameters(
            minimum_sites=3,
            threshold=default_threshold(sites),
            colluders=0,
            bound=BOUND,
            weight_cap=weight_cap,
            ring_bits=ring_bits,
            length=len(vector),
            metrics=len(METRICS),
        )
        with self.memory_client():
            first = Client(identities[self.names[0]], roster, parameters, study=STUDY, round=1, attempt=1)
        self._clients = {self.names[0]: first} | {
            name: Client(identities[name], roster, parameters, study=STUDY, round=1, attempt=1)
            for name in self.names[1:]
        }
        with self.memory_server():
            self._server = Server(roster, parameters, study=STUDY, round=1, attempt=1, model=MODEL)
        self._agree_keys()

    def _memory(self, name: str) -> Memory:
        return self.memory_client if name == self.names[0] else self._unwatched

    def _sent(self, name: str, message: bytes) -> bytes:
        self.message_bytes[name] += len(message)
        return message

    def _agree_keys(self) -> None:
        adverts = {}
        for name in self.names:
            with self.key_client[name], self._memory(name)():
                adverts[name] = self._clients[name].advertise()
            self._sent(name, adverts[name])
        with self.key_server, self.memory_server():
            requests = self._server.share_requests(adverts)
        replies = {}
        for name in self.names:
            with self.key_client[name], self._memory(name)():
                replies[name] = self._clients[name].share(requests[name])
            self._sent(name, replies[name])
        with self.key_server, self.memory_server():
            self._requests = self._server.mask_requests(replies)

    def mask(self, site: int) -> float:
        """Seconds of one site's `mask`, encoding included; its upload is added at the coordinator."""
        name = self.names[site]
        client = self._clients[name]
        with self.key_client[name], self._memory(name)():
            client.open(self._requests[name], MODEL)
        with Clock() as clock, self._memory(name)():
            receipt, words, _ = client.mask(self.vector, WEIGHT, METRICS, out=self._out)
        self._sent(name, receipt)
        self.vector_bytes = words.nbytes
        with self.server, self.memory_server():
            self._server.add(name, receipt, words)
        return clock.seconds

    def finish(self) -> float:
        """Confirms, unmasks and opens the sum; seconds of the coordinator's vector work of the whole round."""
        with self.key_server, self.memory_server():
            requests = self._server.confirm_requests()
        confirmations = {}
        for name in self.survivors:
            with self.key_client[name], self._memory(name)():
                confirmations[name] = self._sent(name, self._clients[name].confirm(requests[name]))
        with self.key_server, self.memory_server():
            requests = self._server.unmask_requests(confirmations)
        replies = {}
        for name in self.survivors:
            with self.key_client[name], self._memory(name)():
                replies[name] = self._sent(name, self._clients[name].unmask(requests[name]))
        with self.server, self.memory_server():
            self.total = self._server.finish(replies)
        return self.server.seconds

    def run(self) -> tuple[list[float], float]:
        """The whole round: each survivor's masking seconds, and the coordinator's."""
        masked = [self.mask(site) for site in range(len(self.survivors))]
        return masked, self.finish()

    def rms_error(self) -> float:
        """Root mean square error of the mean, after checking what else the sum says.

        Raises:
            RuntimeError: the weights or the metrics of the survivors did not come out.
        """
        if self.total.weight != WEIGHT * len(self.survivors):
            raise RuntimeError(
                f"The sum says weight {self.total.weight}, not {WEIGHT * len(self.survivors)}."
            )
        expected = tuple(value * len(self.survivors) for value in METRICS)
        if not np.allclose(self.total.metrics, expected):
            raise RuntimeError(f"The sum says metrics {self.total.metrics}, not {expected}.")
        return rms_error(self.total.mean, self.vector)
