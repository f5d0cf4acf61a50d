"""One secure sum of n sites and P parameters in this process: what a site and what the coordinator does for it."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median
from typing import Any

from secagg.meter import available_bytes, tracing
from secagg.ours import Round, site_memory
from secagg.vectors import update

#: Above this length memory is not traced: tracing slows every allocation, and the vectors are counted below it.
TRACED = 10**7
#: A vector, an upload, the sum, its mean: what one round of this process holds at once, in float32 vectors.
HELD_VECTORS = 7
MEMORY_SHARE = 0.7
#: With 64 sites a ring of 16 bits has 128 levels for a site, and a cap may not leave a site of weight 1 without any.
WEIGHT_CAP = 100


@dataclass(frozen=True)
class Sum:
    """A cell of the table.

    Attributes:
        sites: n.
        length: P.
        ring_bits: 32, or 16 for the packed ring.
    """

    sites: int
    length: int
    ring_bits: int = 32


def sum_of(cell: Sum) -> dict[str, Any]:
    """Seconds of one site's masking (median over sites) and of the coordinator's vector and key work, and memory.

    Returns:
        `site_s`, `coordinator_s`, `keys_s` (the coordinator's messages other than vectors), `sent` in float32
        vectors, `memory` of the coordinator beyond the model in float32 vectors (None above `TRACED`), `error`; or
        `skipped` with the reason.
    """
    result: dict[str, Any] = vars(cell).copy()
    needed, room = HELD_VECTORS * 4 * cell.length, MEMORY_SHARE * available_bytes()
    if needed > room:
        return {**result, "skipped": f"needs {needed / 1e9:.1f} GB, {room / 1e9:.1f} GB may be used"}
    vector = update(cell.length)
    memory = site_memory(cell.length) if cell.ring_bits == 32 else None
    round_ = Round(cell.sites, vector, ring_bits=cell.ring_bits, memory=memory, weight_cap=WEIGHT_CAP)
    masked, coordinator = round_.run()
    result |= {
        "site_s": median(masked),
        "coordinator_s": coordinator,
        "keys_s": round_.key_server.seconds,
        "sent": (round_.vector_bytes + max(round_.message_bytes.values())) / (4 * cell.length),
        "error": round_.rms_error(),
        "memory": None,
    }
    if cell.length <= TRACED:
        with tracing():
            traced = Round(cell.sites, vector, ring_bits=cell.ring_bits, weight_cap=WEIGHT_CAP)
            traced.run()
        result["memory"] = traced.memory_server.peak / (4 * cell.length)
    return result
