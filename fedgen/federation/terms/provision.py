"""What sites and coordinator agree on before a secure aggregation: identities, roster and parameters.

Both ends derive the parameters from the study, so the coordinator has nothing to choose: a site that computes
others refuses, because the digest that everybody signs differs.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch

from fedgen.families.contract import objectives_of
from fedgen.federation.terms.losses import PER_OBJECTIVE
from fedgen.run.atomic import unwritable
from fedgen.study.show import study_hash
from fedgen.study.study import Study
from fedgen.training import central_images
from fedgen.training.asked_family import blank_family, build_family
from fedgen.training.distributed import dimension, private_objective
from fedgen.training.pretrained import study_layout
from fedgen_privacy.secagg import Identity, Keyholder, Parameters, Roster, default_threshold
from fedgen_privacy.secagg.identity_file import IDENTITY_FILE, stored_identity
from fedgen_privacy.secagg.parameters import SPARE_BITS

#: Levels of a ring of 32 bits for the sum of all sites.
INTEGER_LEVELS = 2 ** (31 - SPARE_BITS)


def session_parameters(study: Study, sites: int) -> Parameters:
    """Parameters of every session of a study with so many sites.

    Raises:
        StudyError: they would not protect the sites.
    """
    asked = study.aggregation
    distributed = study.privacy.mode == "distributed"
    parameters = Parameters(
        minimum_sites=asked.minimum_sites,
        threshold=(
            default_threshold(sites, asked.colluders)
            if asked.tolerated_dropouts is None
            else sites - asked.tolerated_dropouts
        ),
        colluders=asked.colluders,
        # Integers are summed as they are: with the bound at as many levels as there are, a level is 1.
        bound=float(INTEGER_LEVELS // sites) if distributed else asked.update_bound,
        weight_cap=1 if distributed else asked.weight_cap,
        ring_bits=asked.ring_bits,
        length=vector_length(study),
        metrics=0 if distributed else PER_OBJECTIVE * len(objective_names(study)),
    )
    parameters.check(sites)
    return parameters


def vector_length(study: Study) -> int:
    """Numbers in what a site sends: of the model's update or of a step's sum, or of the warm start if it has more."""
    length = study_layout(study).size
    if study.privacy.mode == "distributed":
        family = blank_family(study)
        with torch.random.fork_rng(devices=[]):
            length = dimension(private_objective(objectives_of(family)), family.networks())
    return max(length, central_images.length(study))


def objective_names(study: Study) -> tuple[str, ...]:
    """Names of the family's objectives, in the order in which their losses are summed."""
    return tuple(objective.name for objective in objectives_of(build_family(study)))


def identity(folder: Path, site: str) -> Identity:
    """The site's identity: read from its folder, made there the first time, readable by its owner alone.

    Raises:
        PrivacyRefusedError: others can read the key.
        DataError: the file is damaged or cannot be written.
    """
    try:
        return stored_identity(folder, site)
    except OSError as error:
        raise unwritable(folder / IDENTITY_FILE, error) from error


def roster(folders: Mapping[str, Path]) -> Roster:
    """The roster of sites whose folders are at hand, as in a simulation."""
    return Roster({site: identity(folder, site).public_key for site, folder in folders.items()})


def keyholder(study: Study, roster: Roster, site: str, folder: Path) -> Keyholder:
    """The keyholder of one site."""
    parameters = session_parameters(study, len(roster))
    return Keyholder(identity(folder, site), roster, parameters, bytes.fromhex(study_hash(study)), folder)
