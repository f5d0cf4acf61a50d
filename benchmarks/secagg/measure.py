"""One size and number of sites: ours, Flower and the floor in turn, then memory, then the packed ring."""

from __future__ import annotations

import gc
from collections import defaultdict
from dataclasses import dataclass
from statistics import median
from typing import Any

import numpy as np

from secagg import floor, peer
from secagg.meter import available_bytes, summary, tracing
from secagg.ours import Round, site_memory
from secagg.vectors import rms_error, update

DROPS = (0, 1)
#: Fewest interleaved samples of a client's masking.
FEWEST_CLIENTS = 8
#: A measurement may take this share of the memory the system would give; the rest belongs to others.
MEMORY_SHARE = 0.7


@dataclass(frozen=True)
class Case:
    """What to measure, and how often.

    Attributes:
        sites: n.
        length: P, parameters.
        repeats: of the coordinator's part.
        packed: rounds with the 16 bit ring; 0 for none.
        flower_memory: whether Flower's memory is traced too. Its Shamir sharing is Python, cubic in n, and tracing
            makes it several times slower.
    """

    sites: int
    length: int
    repeats: int
    packed: int = 0
    flower_memory: bool = True

    @property
    def own_bytes(self) -> int:
        """Memory ours and the floor need at their peak: update, upload, sum, mean, two floor vectors and the error."""
        return 7 * 4 * self.length


def measure(case: Case) -> dict[str, Any]:
    """All numbers of one case; `skipped` says in words what did not fit and was not run."""
    result: dict[str, Any] = {"sites": case.sites, "length": case.length, "skipped": []}
    room = MEMORY_SHARE * available_bytes()
    if case.own_bytes > room:
        result["skipped"].append(_no_room("all", case.own_bytes, room))
        return result
    needed = case.own_bytes + peer.peak_bytes(case.sites, case.length)
    if needed > room:
        result["skipped"].append(_no_room("Flower", needed, room))
    vector = update(case.length)
    flower = peer.Session(case.sites, vector) if needed <= room else None
    if flower is not None and not case.flower_memory:
        result["skipped"].append(
            "Flower's memory: tracing it takes too long here, see n = 8 at 1e6 or the full run"
        )
    # The traced round is also the warm-up: a process's first touch of memory costs a virtual machine many times
    # the later ones, and whoever is timed first would pay it for all.
    peaks = _our_memory(case, vector)
    if flower is not None:
        flower.mask(0)
    result |= _times(case, vector, flower)
    if flower is not None and case.flower_memory:
        peaks |= _flower_memory(case, flower)
    result["memory_bytes"] = peaks
    if case.packed:
        result["packed"] = _packed(case, vector)
    del vector, flower
    gc.collect()
    return result


def _no_room(what: str, needed: float, room: float) -> str:
    return f"{what}: needs {needed / 1e9:.1f} GB, {room / 1e9:.1f} GB may be used"


def _times(case: Case, vector: Any, flower: peer.Session | None) -> dict[str, Any]:
    sum_, upload = (np.full(case.length, 1, dtype=np.uint32) for _ in range(2))
    client: dict[str, list[float]] = defaultdict(list)
    server: dict[int, dict[str, list[float]]] = {drops: defaultdict(list) for drops in DROPS}
    errors: dict[int, dict[str, float]] = {drops: {} for drops in DROPS}
    floor.server_seconds(sum_, upload, case.sites, 1)
    memory = site_memory(case.length)

    def coordinator(drops: int, ours: float, round_: Round) -> None:
        server[drops]["ours"].append(ours)
        if not errors[drops]:
            errors[drops]["ours"] = round_.rms_error()
        server[drops]["floor"].append(floor.server_seconds(sum_, upload, case.sites, drops))
        if flower is not None:
            server[drops]["peer"].append(flower.server(drops))
            if "peer" not in errors[drops]:
                errors[drops]["peer"] = rms_error(flower.mean(), vector)

    while len(client["ours"]) < FEWEST_CLIENTS:
        round_ = Round(case.sites, vector, memory=memory)
        for site in range(case.sites):
            client["ours"].append(round_.mask(site))
            client["floor"].append(floor.client_seconds(sum_, case.sites))
            if flower is not None:
                client["peer"].append(flower.mask(site))
        coordinator(0, round_.finish(), round_)
    keys = {
        "ours_client_ms": 1e3 * median(clock.seconds for clock in round_.key_client.values()),
        "ours_server_ms": 1e3 * round_.key_server.seconds,
        "peer_client_ms": 1e3 * median(flower.key_seconds) if flower is not None else None,
    }
    sent = {
        "plain": 4 * case.length,
        "ours_vector": round_.vector_bytes,
        "ours_other": max(round_.message_bytes.values()),
        "peer_vector": flower.upload_bytes(0) if flower is not None else None,
        "peer_other": flower.message_bytes[0] if flower is not None else None,
    }
    for drops in DROPS:
        while len(server[drops]["ours"]) < case.repeats:
            round_ = Round(case.sites, vector, drops, memory=memory)
            coordinator(drops, round_.run()[1], round_)
    return {
        "client": {name: summary(samples) for name, samples in client.items()},
        "server": {str(d): {name: summary(samples) for name, samples in server[d].items()} for d in DROPS},
        "rms_error": {str(drops): errors[drops] for drops in DROPS},
        "keys": keys,
        "bytes": sent,
    }


def _our_memory(case: Case, vector: Any) -> dict[str, int]:
    """Peaks beyond the update, in a run of their own because tracing slows every allocation."""
    with tracing():
        round_ = Round(case.sites, vector, drops=1)
        round_.run()
    return {"ours_client": round_.memory_client.peak, "ours_server": round_.memory_server.peak}


def _flower_memory(case: Case, flower: peer.Session) -> dict[str, int]:
    """The same of Flower, from uploads that were made before."""
    with tracing():
        flower.mask(0)
        flower.server(1)
    # The Grid hands over all survivors' uploads at once, so the server holds them too.
    uploads = (case.sites - 1) * flower.upload_bytes(0)
    return {"peer_client": flower.memory_client.peak, "peer_server": flower.memory_server.peak + uploads}


def _packed(case: Case, vector: Any) -> dict[str, Any]:
    """The 16 bit ring: half the bytes, coarser rounding."""
    clients: list[float] = []
    servers: list[float] = []
    for _ in range(case.packed):
        round_ = Round(case.sites, vector, ring_bits=16)
        masked, seconds = round_.run()
        clients += masked
        servers.append(seconds)
    result = {
        "client": summary(clients),
        "server": summary(servers),
        "rms_error": round_.rms_error(),
        "bytes": {"vector": round_.vector_bytes, "other": max(round_.message_bytes.values())},
    }
    with tracing():
        round_ = Round(case.sites, vector, ring_bits=16)
        round_.run()
    result["memory_bytes"] = {"client": round_.memory_client.peak, "server": round_.memory_server.peak}
    return result
