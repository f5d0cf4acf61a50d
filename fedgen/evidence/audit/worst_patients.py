"""Who is most exposed: the training patients whom the attacks on the model are surest of, for their own site's eyes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from fedgen.data.site_data import Part
from fedgen.evidence.audit.attacks import Signs
from fedgen.evidence.measure import Real
from fedgen.run.site_only import SiteOnly
from fedgen_privacy.statistics.patients import per_patient

#: Patients of a site and attack that are listed.
TOP = 10

ABOUT = (
    "The training patients of each site whom an attack with the model is surest of, the surest first, by the image "
    "that gives most away. 'beyond' is the share of held-out patients whose score is lower: where it is 1 the attack "
    "would name her before any of them. In a model that gives nobody away such a list exists as well, by chance; "
    "read it with the verdict of the row."
)


def worst_patients(real: Real, found: Mapping[str, Sequence[Signs]]) -> SiteOnly:
    """The list of all attacks.

    Args:
        real: the sites, by whose own numbers patients are named.
        found: by attack, what it says of each site.
    """
    return SiteOnly(
        name="worst-patients",
        about=ABOUT,
        entries=tuple(
            entry
            for attack, sites in found.items()
            for signs in sites
            for entry in _worst(real, attack, signs)
        ),
    )


def _worst(real: Real, attack: str, signs: Signs) -> list[dict[str, str | int | float | None]]:
    cohort, scores = signs.cohort, signs.scores()
    (site,) = (each for each in real.sites if each.site == cohort.site)
    # Numbers within a part count its patients in the order of their numbers at the site.
    numbers = site.patients[site.parts == int(Part.TRAIN)].unique().tolist()
    train = per_patient(scores.train, scores.train_patients, "max")
    held_out = per_patient(scores.held_out, scores.held_out_patients, "max")
    order = np.argsort(-train, kind="stable")[:TOP]
    return [
        {
            "site": site.site,
            "attack": attack,
            "patient": int(numbers[index]),
            "score": float(train[index]),
            "beyond": float(np.mean(held_out < train[index])),
        }
        for index in order.tolist()
    ]
