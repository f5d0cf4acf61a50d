"""Parameters of a study's secure aggregation, which every party derives for itself from the study.

The coordinator has nothing to choose: a site that computes others refuses, because the digest that everybody signs
differs.
"""

from __future__ import annotations

from fedgen.mechanisms.contract import VectorSpec
from fedgen.study.training import AggregationSection
from fedgen.training.losses import PER_OBJECTIVE
from fedgen_privacy.secagg import Parameters, default_threshold
from fedgen_privacy.secagg.parameters import SPARE_BITS

#: Levels of a ring of 32 bits for the sum of all sites.
INTEGER_LEVELS = 2 ** (31 - SPARE_BITS)


def session_parameters(vector: VectorSpec, asked: AggregationSection, sites: int) -> Parameters:
    """Parameters of every session of a study with so many sites.

    Raises:
        StudyError: they would not protect the sites.
    """
    exact = vector.joined == "sum"
    parameters = Parameters(
        minimum_sites=asked.minimum_sites,
        threshold=(
            default_threshold(sites, asked.colluders)
            if asked.tolerated_dropouts is None
            else sites - asked.tolerated_dropouts
        ),
        colluders=asked.colluders,
        # Integers are summed as they are: with the bound at as many levels as there are, a level is 1.
        bound=float(INTEGER_LEVELS // sites) if exact else asked.update_bound,
        weight_cap=1 if exact else asked.weight_cap,
        ring_bits=asked.ring_bits,
        length=vector.length,
        metrics=PER_OBJECTIVE * len(vector.losses),
    )
    parameters.check(sites)
    return parameters
