"""The `data` section of a study file that would use a folder, from what a look at it has found."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from fedgen.data.build import index_of
from fedgen.data.findings import listing
from fedgen.data.index import IndexEntry
from fedgen.data.inspect.as_it_lies import Opened
from fedgen.data.inspect.measured import PERCENTILES, Measured
from fedgen.data.layouts.layout import Scan
from fedgen.data.layouts.named_masks import is_mask_rule
from fedgen.errors import DataError
from fedgen.study.data import Columns, DataSection, Intensity

#: Classes of fewer patients than parts of the split cannot be in each of them.
_FEWEST_PATIENTS = 3
#: A class is worth asking for from this share of the commonest one's images.
_LEAST_SHARE = 0.05
#: Values of a label column that say that nobody has labelled the image.
_UNLABELLED = ("unlabelled", "unlabeled", "todo", "tbd", "to do", "other", "pending")
#: Values that mean "nothing found": the first class, as a study's own default has it.
_NEGATIVE = (
    "no",
    "none",
    "normal",
    "negative",
    "healthy",
    "control",
    "benign",
    "no finding",
    "0",
    "cn",
    "hc",
)
#: A series is asked for by its name where there are no more than these, and one has nearly every patient.
_MOST_SERIES, _NEARLY_ALL = 12, 0.8


@dataclass(frozen=True)
class Suggestion:
    """A section that would use the folder, and section `task` where that is not what it is by default.

    Attributes:
        text: YAML, beginning with `data:`; empty where there is no image to use.
        note: why it would be refused even so; empty where it was tried and works.
        window: the stored values that it maps to [-1, 1].
        outside: images of which 60 % of the pixels lie below that window, or a quarter above it.
        smallest: patients of the smallest site that takes part.
    """

    text: str
    note: str
    window: tuple[float, float]
    outside: int
    smallest: int


def suggested(
    folder: Path,
    opened: Opened,
    read: Measured,
    masks: Sequence[str],
    modality: str | None,
) -> Suggestion:
    """The section, tried on the folder by indexing it.

    Args:
        opened: the folder.
        read: what its images hold.
        masks: what `data.columns.mask` could name.
        modality: what a person asked for.
    """
    scan = opened.scan
    wanted = modality or _modality(scan.entries)
    entries = [entry for entry in read.entries if wanted is None or wanted in (entry.modality, entry.series)]
    if not entries:
        return Suggestion("", "No image can be used.", (0.0, 255.0), 0, 0)
    kept = set(entries)
    chosen = [number for number, entry in enumerate(read.entries) if entry in kept]
    values = read.values[np.isin(read.images, chosen)]
    low, high = _window(values)
    below, above = values[:, PERCENTILES.index(60)] < low, values[:, PERCENTILES.index(75)] > high
    keys = dict(_keys(opened, entries, wanted))
    colours = Counter(read.colours[number] for number in chosen)
    if colours.get("RGB", 0) > len(chosen) / 2:
        keys["channels"] = (3, "")
    if (low, high) != (0.0, 255.0):
        keys["intensity"] = (
            {"lower": low, "upper": high},
            "become -1 and 1; rounded from these images: a study states it in public",
        )
    note = _tried(folder, scan, {key: value for key, (value, _) in keys.items()})
    if not note and len(colours.keys() - {"gray stored as RGB"}) > 1:
        mixed = " and ".join(f"{count} {kind}" for kind, count in colours.most_common())
        note = f"Files of both kinds of colour ({mixed}) cannot be of one study: convert those of the rarer kind."
    outside = int((below | above).sum())
    return Suggestion(_yaml(keys, masks), note, (low, high), outside, _smallest(entries))


def _keys(opened: Opened, entries: Sequence[IndexEntry], modality: str | None) -> Iterator[tuple[str, Any]]:
    scan, guess = opened.scan, opened.guess
    if modality is not None:
        yield "modality", (modality, "")
    yield "image_size", (_size(entries), "height and width after resampling")
    if opened.several_volumes:
        yield "volume", (0, "of files that hold several")
    labelled = [entry for entry in entries if entry.label is not None]
    classes = _classes(labelled)
    small = _small_sites([entry for entry in entries if not classes or entry.label in classes])
    if classes:
        yield "labels", (classes, "")
        others = _others(entries, classes)
        if others:
            few = f"of fewer than {_FEWEST_PATIENTS} patients or {_LEAST_SHARE:.0%} of the commonest class's images"
            yield "other_labels", ("exclude", f"{others} are left out: without a class, or {few}")
        of_study = [entry for entry in labelled if entry.label in classes and entry.site not in small]
        if len(classes) > 1 and _one_class_sites(of_study):
            yield "one_class_sites", ("allow", "a site of one class trains, but its own AUROC is undefined")
    else:
        use = (
            "; to use one, list its classes here, add columns: {label: COLUMN} and leave out task"
            if guess.labels
            else ""
        )
        what = "no column is named as a diagnosis would be" if guess.labels else "nothing tells classes apart"
        yield "labels", ([], f"none are read: {what}{use}")
    if small:
        yield (
            "sites",
            ({"leave_out": small}, f"fewer than {_FEWEST_PATIENTS} patients: none could be held out"),
        )
    lost = scan.unasked.total()
    images = len({file for entry in scan.entries for file in entry.files}) + scan.excluded.total() + lost
    if lost > DataSection().unused_share * images:
        yield "unused_share", (math.ceil(100 * lost / images) / 100, "see what is left out above")
    if scan.patients_assumed:
        yield "patient_rule", ("image", "each image counts as a patient; or a regular expression on the path")
    named = guess.columns.model_dump(exclude_none=True)
    default = Columns().model_dump(exclude_none=True)
    columns = {key: name for key, name in named.items() if name != default.get(key)}
    if not classes:
        columns.pop("label", None)
    if scan.layout == "bids":
        # participants.tsv names people as BIDS prescribes.
        columns.pop("patient", None)
    if columns:
        comment = "each image counts as a patient" if guess.image_is_patient else ""
        yield "columns", (columns, comment)


def _others(entries: Sequence[IndexEntry], classes: Sequence[str]) -> str:
    """The commonest labels that are none of `classes`, each with its images, in one line; empty where all are."""
    counts: Counter[str] = Counter()
    for entry in entries:
        if entry.label not in classes:
            counts[" ".join((entry.label or "unlabelled").split())] += entry.n_images
    return listing((f"{name} ({count})" for name, count in counts.most_common()), 3)


def _modality(entries: Sequence[IndexEntry]) -> str | None:
    """What to ask for where a folder holds several kinds of image; None where it holds one."""
    patients: dict[str, set[str]] = {}
    series: dict[str, set[str]] = {}
    for entry in entries:
        patients.setdefault(entry.modality, set()).add(entry.patient)
        series.setdefault(entry.series, set()).add(entry.patient)
    everybody = len({entry.patient for entry in entries})
    kinds = series if 1 < len(series) <= _MOST_SERIES else patients
    best = min(kinds, key=lambda name: (-len(kinds[name]), len(name), name), default=None)
    if kinds is series and best is not None and len(series[best]) < _NEARLY_ALL * everybody:
        kinds = patients
        best = min(kinds, key=lambda name: (-len(kinds[name]), len(name), name), default=None)
    return best if best and len(kinds) > 1 else None


def _classes(entries: Sequence[IndexEntry]) -> list[str]:
    patients: dict[str, set[str]] = {}
    images: Counter[str] = Counter()
    for entry in entries:
        label = entry.label or ""
        patients.setdefault(label, set()).add(entry.patient)
        images[label] += entry.n_images
    most = max(images.values(), default=0)
    kept = [
        label
        for label, count in images.items()
        if label.casefold() not in _UNLABELLED
        and len(patients[label]) >= _FEWEST_PATIENTS
        and count >= _LEAST_SHARE * most
    ]
    return sorted(kept or images, key=lambda label: (label.casefold() not in _NEGATIVE, label))


def _small_sites(entries: Sequence[IndexEntry]) -> list[str]:
    """Sites without a patient for each part of the split, where others have enough."""
    patients: dict[str, set[str]] = {}
    for entry in entries:
        patients.setdefault(entry.site, set()).add(entry.patient)
    small = sorted(site for site, seen in patients.items() if len(seen) < _FEWEST_PATIENTS)
    return small if len(small) < len(patients) else []


def _smallest(entries: Sequence[IndexEntry]) -> int:
    patients: dict[str, set[str]] = {}
    for entry in entries:
        patients.setdefault(entry.site, set()).add(entry.patient)
    counts = [len(seen) for seen in patients.values()]
    return min((count for count in counts if count >= _FEWEST_PATIENTS), default=min(counts))


def _one_class_sites(entries: Sequence[IndexEntry]) -> bool:
    classes: dict[str, set[str | None]] = {}
    for entry in entries:
        classes.setdefault(entry.site, set()).add(entry.label)
    return any(len(seen) == 1 for seen in classes.values())


def _size(entries: Sequence[IndexEntry]) -> list[int]:
    """64 x 64, or 32 x 32 for images that are smaller than 48: what a model makes in minutes."""
    sides = sorted(max(entry.size[-2:]) for entry in entries)
    side = 64 if sides[len(sides) // 2] >= 48 else 32
    return [side, side]


def _window(values: np.ndarray) -> tuple[float, float]:
    """The default window for 8 bits, else the middle 98 % of the images' own 98 %, rounded to two digits."""
    default = Intensity()
    if not len(values):
        return default.lower, default.upper
    if values[:, 0].min() >= 0 and values[:, -1].max() <= 255 and np.median(values[:, -1]) > 100:
        return default.lower, default.upper
    low = float(np.percentile(values[:, PERCENTILES.index(1)], 1))
    high = float(np.percentile(values[:, PERCENTILES.index(99)], 99))
    # Images of one value have a window all the same, wide enough that its ends differ as numbers do.
    unit = 10 ** math.floor(math.log10(high - low) - 1) if high > low else max(1.0, abs(low) / 100)
    digits = max(0, 1 - math.floor(math.log10(unit)))
    lower, upper = math.floor(low / unit) * unit, math.ceil(high / unit) * unit
    return round(lower, digits), round(max(upper, lower + unit), digits)


def _tried(folder: Path, scan: Scan, section: dict[str, Any]) -> str:
    """Why the section would be refused, or nothing: the scan, which asked for all, is judged as the section asks."""
    data = DataSection.model_validate(section)
    wanted = [entry for entry in scan.entries if data.modality in (None, entry.modality, entry.series)]
    others = Counter({"other modality": len(scan.entries) - len(wanted)})
    try:
        tried = replace(scan, patients_assumed=False)
        index_of(folder, replace(tried, entries=wanted, excluded=scan.excluded + others), data)
    except DataError as error:
        return str(error)
    return ""


def _yaml(keys: dict[str, Any], masks: Sequence[str]) -> str:
    lines = ["data:"]
    for key, (value, comment) in keys.items():
        # A list of one, so that a word is quoted where YAML would read something else, and no mark ends the document.
        text = yaml.safe_dump([value], allow_unicode=True, default_flow_style=True, width=10_000).strip()[
            1:-1
        ]
        lines.append(f"  {key}: {text}" + (f"  # {comment}" if comment else ""))
    if masks:
        first, *others = (f'"{mask}"' if is_mask_rule(mask) else mask for mask in masks)
        how = f"add mask: {first} to columns" if "columns" in keys else f"add columns: {{mask: {first}}}"
        lines.append(f"  # masks: to use them, {how}" + (f" (or {', '.join(others)})" if others else ""))
    if not keys["labels"][0]:
        lines += ["task:", "  given: []  # an image is asked for by nothing, since it has no class"]
    return "\n".join(lines) + "\n"
