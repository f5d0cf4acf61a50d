"""What a session may do: approved by each site as part of the study, never chosen by the coordinator."""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass

from fedgen_privacy.errors import StudyError
from fedgen_privacy.secagg.roster import Roster

#: With two sites each learns the other's update from the sum.
FEWEST_SITES = 3
#: Bits between the largest honest sum and the ring's edge: what shows that a sum is garbage.
SPARE_BITS = 2
#: Fewer levels than this would drown an update in rounding.
FEWEST_LEVELS = 128
MAX_LENGTH = 2**31
MAX_METRICS = 1024
MAX_WEIGHT = 2**30
#: Beyond it, or below its inverse, the scale from coordinates to levels is no normal float32.
LARGEST_BOUND = 2.0**64


@dataclass(frozen=True)
class Parameters:
    """Parameters of a session.

    Attributes:
        minimum_sites: n_min >= 3, the fewest honest contributions a sum may have.
        threshold: t, how many sites must agree to open a sum, and how many shares restore a secret.
        colluders: c, how many sites may share what they know with the coordinator.
        bound: B, 2^-64 to 2^64; coordinates of an update are clipped to [-B, B].
        weight_cap: W >= 1, the largest weight a site may have.
        ring_bits: 32, or 16 for half the bytes and coarser rounding.
        length: P, coordinates of an update.
        metrics: scalars that travel in the same masked vector.
    """

    minimum_sites: int
    threshold: int
    colluders: int
    bound: float
    weight_cap: int
    ring_bits: int
    length: int
    metrics: int

    def check(self, sites: int) -> None:
        """Refuse parameters that do not protect a roster of `sites` sites.

        Raises:
            StudyError: with the rule that is broken.
        """
        n, t, c = sites, self.threshold, self.colluders
        if self.minimum_sites < FEWEST_SITES:
            raise StudyError(
                f"Secure aggregation over fewer than {FEWEST_SITES} sites shows each the other's update: "
                f"set aggregation.minimum_sites to {FEWEST_SITES} or more, not {self.minimum_sites}."
            )
        if c < 0:
            raise StudyError(
                f"The number of colluding sites, aggregation.colluders, must be 0 or more, not {c}."
            )
        if self.needed > n:
            raise StudyError(
                f"Secure aggregation with threshold {t} and {self.minimum_sites} honest updates beside {c} colluding "
                f"sites needs {self.needed} sites, but the study has {n}: invite more sites, or set aggregation.secure "
                "to false to accept that the coordinator sees each site's update."
            )
        if not (t >= 1 and 2 * t > n + c):
            raise StudyError(
                f"Threshold {t} of {n} sites with {c} colluding would let the coordinator open one site's update by "
                f"telling sites different stories: it must be at least {(n + c) // 2 + 1}; tolerate fewer dropouts."
            )
        if not 1 / LARGEST_BOUND <= self.bound <= LARGEST_BOUND:
            raise StudyError(
                f"The bound of an update's coordinates must be between {1 / LARGEST_BOUND:.1g} and "
                f"{LARGEST_BOUND:.1g}, not {self.bound}."
            )
        if not 1 <= self.weight_cap <= MAX_WEIGHT:
            raise StudyError(f"The weight cap must be between 1 and {MAX_WEIGHT}, not {self.weight_cap}.")
        if self.ring_bits not in (16, 32):
            raise StudyError(f"The ring must have 16 or 32 bits, not {self.ring_bits}.")
        if not 1 <= self.length <= MAX_LENGTH or not 0 <= self.metrics <= MAX_METRICS:
            raise StudyError(
                f"{self.length} coordinates and {self.metrics} metrics are more than one session can sum."
            )
        if self.levels(n) < FEWEST_LEVELS:
            raise StudyError(
                f"A ring of {self.ring_bits} bits leaves {self.levels(n)} levels for each of {n} sites, and fewer than "
                f"{FEWEST_LEVELS} drown an update in rounding: set aggregation.ring_bits to 32."
            )
        if self.weight_cap > self.levels(n):
            raise StudyError(
                f"A weight cap of {self.weight_cap} over {self.levels(n)} levels leaves a site of weight 1 less than "
                "one level: lower aggregation.weight_cap to the largest cohort, or set aggregation.ring_bits to 32."
            )

    @property
    def needed(self) -> int:
        """Sites without which a phase cannot go on: enough shares, and enough honest contributions."""
        return max(self.threshold, self.minimum_sites + self.colluders)

    def levels(self, sites: int) -> int:
        """Q: an update's coordinate becomes an integer in [-Q, Q], with head-room for the sum of all sites."""
        return int(2 ** (self.ring_bits - 1 - SPARE_BITS)) // sites

    def encode(self) -> bytes:
        """Canonical bytes."""
        return struct.pack(
            ">IIIdIIQI",
            self.minimum_sites,
            self.threshold,
            self.colluders,
            self.bound,
            self.weight_cap,
            self.ring_bits,
            self.length,
            self.metrics,
        )


def default_threshold(sites: int, colluders: int = 0) -> int:
    """t = floor(2n/3) + 1, or more where colluders ask for it; never above n."""
    return min(sites, max(2 * sites // 3 + 1, (sites + colluders) // 2 + 1))


def session_digest(study: bytes, roster: Roster, parameters: Parameters) -> bytes:
    """Hash of all a site approved: whoever signs it speaks of the same study, roster and parameters.

    Raises:
        ValueError: `study` is not a hash of 32 bytes.
    """
    if len(study) != 32:
        raise ValueError(f"a study's hash has 32 bytes, not {len(study)}")
    return hashlib.sha256(b"fedgen-sa/1 manifest" + study + roster.sha256() + parameters.encode()).digest()
