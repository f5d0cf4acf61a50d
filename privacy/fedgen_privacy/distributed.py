"""Noise that several sites make together: each adds a share to its integers, and only the sum is ever seen.

Sites: n of them, at least `needed` in every sum, at most c who tell what they know. A share is a discrete Gaussian of
variance sigma^2 Delta^2 / (needed - c) in every coordinate, so that the honest contributions of any sum that can be
opened hold sigma^2 Delta^2 or more (Kairouz, Liu and Steinke, ICML 2021; the honest sites' own sum is all that an
adversary who knows the other contributions is left with). c is at least 1: each site knows its own share, and the
guarantee has to hold against each site too.

The sum of k discrete Gaussians is none, but so near to one that no accountant can tell: each probability differs by
a factor within exp(+-tau), tau = 5 sum_{j=1}^{k-1} exp(-2 pi^2 s^2 j / (j + 1)) for shares of standard deviation s
(their bound on convolutions; a test computes some). From s = FEWEST_NOISE_LEVELS on tau is below 1e-270, less than
the rounding of any epsilon however many coordinates and steps there are; smaller shares are refused.

Sensitivity is exact. A record's vector is clipped to L2 norm C, multiplied by a scale and rounded coordinate by
coordinate to the nearest integer BEFORE it is added to others, so that adding a record to the data adds one integer
vector to the sum, of norm at most Delta = ceil(C scale + sqrt(d) / 2).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from fedgen_privacy.errors import StudyError

#: Smallest standard deviation of a share, in levels.
FEWEST_NOISE_LEVELS = 8.0
#: float32 holds every integer up to here: a clipped coordinate must not exceed it.
LARGEST_CLIPPED = 2**24
#: Standard deviations of the whole noise, and multiples of the expected batch, that the ring has room for.
ROOM_FOR_NOISE, ROOM_FOR_BATCH = 12.0, 2.0
#: Levels that a ring of 32 bits leaves a sum: a sign, and two bits that show garbage.
RING_LEVELS = 2.0**29


@dataclass(frozen=True)
class NoiseShare:
    """What one site of several does to a step's sum.

    Attributes:
        scale: levels for each unit of a clipped vector.
        sensitivity: Delta, levels; what the noise multiplier is a multiple of.
        std: standard deviation of the site's own noise, levels.
    """

    scale: float
    sensitivity: int
    std: float

    def total_std(self, sites: int) -> float:
        """Standard deviation of the noise in a sum of so many sites, in units of a clipped vector."""
        return self.std * sites**0.5 / self.scale


def noise_share(
    *,
    clipping_norm: float,
    noise_multiplier: float,
    dimension: int,
    expected_batch: float,
    needed: int,
    colluders: int,
    sites: int,
) -> NoiseShare:
    """The share of each of `sites` sites.

    Args:
        clipping_norm: C > 0.
        noise_multiplier: sigma > 0, of the honest noise in any sum, over the sensitivity.
        dimension: d, coordinates of the vector.
        expected_batch: B, patients of all sites together in a batch; public.
        needed: fewest contributions that a sum can be opened with.
        colluders: sites that may tell the coordinator all they know, at least 0.
        sites: n.

    Raises:
        StudyError: no honest noise would be left, or the ring has no room for batch and noise.
    """
    honest = needed - max(1, colluders)
    if honest < 1:
        raise StudyError(
            f"A sum of {needed} sites with {max(1, colluders)} that know each other's noise has no noise left: "
            "raise aggregation.minimum_sites or lower aggregation.colluders."
        )
    C, sigma = clipping_norm, noise_multiplier
    room = ROOM_FOR_BATCH * expected_batch * C + ROOM_FOR_NOISE * sigma * C * math.sqrt(sites / honest)
    scale = min(RING_LEVELS / room, (LARGEST_CLIPPED - 1) / C)
    sensitivity = math.ceil(C * scale + math.sqrt(dimension) / 2)
    std = sigma * sensitivity / math.sqrt(honest)
    if std < FEWEST_NOISE_LEVELS or sensitivity > 2 * C * scale:
        raise StudyError(
            f"The sum of {dimension} coordinates over an expected batch of {expected_batch:g} patients leaves "
            f"{C * scale:.3g} levels for a patient, too few: lower training.batch_patients or choose a smaller model."
        )
    return NoiseShare(scale, sensitivity, std)
