"""Which patients train, which are the audit's non-members, which test downstream models."""

from __future__ import annotations

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fedgen.data.index import PatientIndex
from fedgen.data.site_data import Part
from fedgen.study.data import Split

#: Sites with fewer patients than parts cannot have a patient in each.
_SMALLEST_SITE = len(Part)
#: Stands for all classes of a site; not a class name, because those are never empty.
_WHOLE = ""


@dataclass(frozen=True)
class _Unit:
    """Patients that must stay together."""

    patients: tuple[str, ...]
    #: patients of this unit at each site
    weights: Mapping[str, int]
    #: the commonest class of the unit's images
    label: str

    @property
    def single(self) -> bool:
        return len(self.patients) == 1 and len(self.weights) == 1


def split_patients(
    index: PatientIndex, split: Split, seed: int, *, together: Sequence[Sequence[str]] = ()
) -> dict[str, Part]:
    """Put every patient into exactly one part, at all sites alike.

    Within a site, patients of each class are shuffled by `seed` and dealt to the part furthest below its
    share, so that every part comes within about one patient of its share of the site and of each class.
    Patients who are tied together, or seen at several sites, are dealt first. A site of three patients or
    more gets at least one patient in each part, where its patients are not all tied together. A site none of
    whose patients is seen at another site, or tied to one there, is split as if it were alone in the index.

    Args:
        index: the patients, their sites and labels; the order of its entries does not matter.
        split: shares of audit and test; the rest trains.
        seed: fixes the split.
        together: groups of patients who must share a part (see `ties.tied_patients`).

    Returns:
        The part of each patient.
    """
    shares = {Part.TRAIN: 1 - split.audit - split.test, Part.AUDIT: split.audit, Part.TEST: split.test}
    units = _units(index, together)
    # Counted twice, for the site as a whole and for each of its classes.
    dealt: dict[tuple[str, str], Counter[Part]] = defaultdict(Counter)
    parts: dict[int, Part] = {}
    for number in _order(units, seed):
        unit = units[number]
        part = _furthest_below(unit, dealt, shares)
        parts[number] = part
        for site, weight in unit.weights.items():
            dealt[site, _WHOLE][part] += weight
            dealt[site, unit.label][part] += weight
    for site in index.sites:
        _fill_empty_parts(site, units, parts, dealt)
    return {patient: parts[number] for number, unit in enumerate(units) for patient in unit.patients}


def _units(index: PatientIndex, together: Sequence[Sequence[str]]) -> list[_Unit]:
    sites = index.sites_of_patients()
    labels: dict[str, Counter[str]] = {}
    for entry in index.entries:
        labels.setdefault(entry.patient, Counter())[entry.label or ""] += entry.n_images
    groups = [tuple(sorted(group)) for group in together]
    tied = {patient for group in groups for patient in group}
    groups += [(patient,) for patient in index.patients if patient not in tied]
    units = []
    for group in sorted(groups):
        classes = sum((labels[patient] for patient in group), Counter[str]())
        weights = Counter(site for patient in group for site in sites[patient])
        units.append(_Unit(group, weights, min(classes, key=lambda label: (-classes[label], label))))
    return units


def _order(units: Sequence[_Unit], seed: int) -> list[int]:
    # What cannot be placed freely comes first, then class by class; patients of a class in an order that is random
    # and yet a matter of each patient alone, so that a site deals the same whoever else is in the index.
    def shuffled(unit: _Unit) -> bytes:
        return hashlib.sha256(json.dumps([seed, *unit.patients]).encode()).digest()

    return sorted(
        range(len(units)),
        key=lambda n: (
            units[n].single,
            -sum(units[n].weights.values()),
            min(units[n].weights),
            units[n].label,
            shuffled(units[n]),
        ),
    )


def _furthest_below(
    unit: _Unit, dealt: Mapping[tuple[str, str], Counter[Part]], shares: Mapping[Part, float]
) -> Part:
    def deficit(part: Part) -> float:
        return sum(
            shares[part] * (dealt[site, group].total() + weight) - dealt[site, group][part]
            for site, weight in unit.weights.items()
            for group in (_WHOLE, unit.label)
        )

    # Rounded, so that equal deficits stay equal on every machine; then the emptier part goes first.
    held = {part: sum(dealt[site, _WHOLE][part] for site in unit.weights) for part in Part}
    return max(Part, key=lambda part: (round(deficit(part), 9), -held[part], -int(part)))


def _fill_empty_parts(
    site: str, units: Sequence[_Unit], parts: dict[int, Part], dealt: Mapping[tuple[str, str], Counter[Part]]
) -> None:
    whole = dealt[site, _WHOLE]
    if whole.total() < _SMALLEST_SITE:
        return
    for part in Part:
        if whole[part]:
            continue
        # Only patients tied to nobody may move, from a part that keeps one; the commonest class spares most.
        movable = [
            number
            for number, unit in enumerate(units)
            if unit.single and site in unit.weights and whole[parts[number]] > 1
        ]
        if not movable:
            continue
        number = max(movable, key=lambda n: (whole[parts[n]], dealt[site, units[n].label][parts[n]], -n))
        for group in (_WHOLE, units[number].label):
            dealt[site, group][parts[number]] -= 1
            dealt[site, group][part] += 1
        parts[number] = part
