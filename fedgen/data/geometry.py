"""Where prepared images lie in the patient: of one site, and of all sites together.

Geometry is carried along, never guessed: what a file does not say, or what images do not agree on, is unknown.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from fedgen.data.findings import DataFinding, FindingKind, listing, plural
from fedgen.data.index import IndexEntry, PatientIndex
from fedgen.data.pixels import fitted_size
from fedgen.study.data import DataSection
from fedgen.task.image_spec import ImageSpec, Spacing, known_spacing

#: Spacings that differ by no more than this share count as one.
AGREEMENT = 0.01


def prepared_spacing(entry: IndexEntry, box: tuple[int, ...]) -> Spacing | None:
    """Spacing of an entry's images once they are resampled into `box`; padding around them changes none of it."""
    if entry.spacing is None:
        return None
    resampled = fitted_size(entry.size, entry.spacing, box)
    return known_spacing(
        side * stored / kept for side, stored, kept in zip(entry.spacing, entry.size, resampled, strict=True)
    )


def agreed_spacing(spacings: Iterable[Spacing | None]) -> Spacing | None:
    """The one spacing within 1 % of all, to four digits; None where there is none or one is not known."""
    found = set(spacings)
    known = [spacing for spacing in found if spacing is not None]
    if not known or len(known) < len(found) or len({len(spacing) for spacing in known}) > 1:
        return None
    ends = [(min(sides), max(sides)) for sides in zip(*known, strict=True)]
    if any(high > low * (1 + AGREEMENT) for low, high in ends):
        return None
    # Half way between the ends: however many images there are of each kind, it is the same.
    return tuple(float(f"{(low + high) / 2:.4g}") for low, high in ends)


def agreed_orientation(orientations: Iterable[str]) -> str:
    """The one orientation of all; empty where they differ or one is not known."""
    found = set(orientations)
    return found.pop() if len(found) == 1 else ""


def site_geometry(entries: Sequence[IndexEntry], data: DataSection) -> tuple[Spacing | None, str]:
    """Spacing and orientation of a site's prepared images, where all of them agree."""
    return (
        agreed_spacing({prepared_spacing(entry, data.image_size) for entry in entries}),
        agreed_orientation({entry.orientation for entry in entries}),
    )


def geometry_findings(index: PatientIndex, data: DataSection) -> list[DataFinding]:
    """Sites that know the geometry of their images, but not one geometry for all of them."""
    spacings, orientations = [], []
    for site in index.sites:
        entries = index.at(site)
        spacing, orientation = site_geometry(entries, data)
        if spacing is None and any(entry.spacing for entry in entries):
            spacings.append(site)
        if not orientation and any(entry.orientation for entry in entries):
            orientations.append(site)
    findings = []
    if spacings:
        sentence = "images of different or unknown spacing after resampling, so the release states none"
        findings.append(_mixed("mixed_spacing", spacings, sentence))
    if orientations:
        sentence = "images of different or unknown orientation, so the release states none"
        findings.append(_mixed("mixed_orientation", orientations, sentence))
    return findings


def _mixed(kind: FindingKind, sites: Sequence[str], what: str) -> DataFinding:
    sentence = f"{plural(len(sites), 'site has', 'sites have')} {what}: {listing(sites)}."
    return DataFinding(kind, sentence, len(sites))


def join_grids(
    grids: Mapping[str, ImageSpec | None], data: DataSection
) -> tuple[ImageSpec, list[DataFinding]]:
    """What the images that a model learned from at several sites are, and what is not known of them.

    Nothing is averaged: a model that learned from different spacings or orientations draws images of none of them.

    Args:
        grids: what each site says of its prepared images; None where it says nothing, and what does not fit the study
            counts as nothing.
        data: the study's, with the size and number of channels that all were prepared to.
    """
    size, channels = data.image_size, data.channels
    # Nothing is believed of a site that speaks of other images.
    grids = {
        site: grid if grid is not None and (grid.size, grid.channels) == (size, channels) else None
        for site, grid in grids.items()
    }
    spacings = {site: None if grid is None else grid.spacing for site, grid in grids.items()}
    orientations = {site: "" if grid is None else grid.orientation for site, grid in grids.items()}
    joined = ImageSpec(
        channels=channels,
        size=size,
        spacing=agreed_spacing(spacings.values()),
        orientation=agreed_orientation(orientations.values()),
    )
    findings = []
    if joined.spacing is None:
        told = {
            site: "unknown" if s is None else " x ".join(f"{side:.4g}" for side in s)
            for site, s in spacings.items()
        }
        sentence = (
            f"The sites know no one spacing of their images within {AGREEMENT:.0%}, so the release states none "
            f"(in mm: {_told(told)})."
        )
        findings.append(DataFinding("spacing_unknown", sentence, len(grids)))
    if not joined.orientation:
        told = {site: orientation or "unknown" for site, orientation in orientations.items()}
        sentence = (
            "The sites know no one orientation of their images, so the release states none, and left and right of the "
            f"patient must not be read from it ({_told(told)})."
        )
        findings.append(DataFinding("orientation_unknown", sentence, len(grids)))
    return joined, findings


def _told(values: Mapping[str, str]) -> str:
    return listing(f"{site} {value}" for site, value in sorted(values.items()))
