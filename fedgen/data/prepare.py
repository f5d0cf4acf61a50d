"""A study's data in one call, of all sites or of one: index, split, check and decode, the same on every call."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from fedgen.data.build import build_index
from fedgen.data.cache.decoded_sites import Progress, decode_sites
from fedgen.data.check import check_split, part_findings
from fedgen.data.decode import DecodedSite
from fedgen.data.findings import DataFinding
from fedgen.data.fingerprint import Fingerprints
from fedgen.data.fixed_split import FixedSplit, fix_split
from fedgen.data.geometry import geometry_findings
from fedgen.data.index import IndexEntry, PatientIndex, write_index
from fedgen.data.join_folders import common_folder, index_folders
from fedgen.data.load import decoding_findings, site_data
from fedgen.data.phantom.write import native_size, write_phantom
from fedgen.data.pseudonyms import Pseudonyms, naming_no_file, own_pseudonyms
from fedgen.data.site_data import SiteData
from fedgen.data.split import split_patients
from fedgen.data.ties import Likeness, picture_findings, tied_patients
from fedgen.data.withdrawals import WITHDRAWN, Withdrawals
from fedgen.errors import DataError, StudyError
from fedgen.run.atomic import write_json
from fedgen.study.study import Study


@dataclass(frozen=True)
class Prepared:
    """What the later stages need.

    Attributes:
        sites: tensors of each site, in alphabetical order.
        findings: what a person should know about the data.
        shared_patients: patients seen at more than one site, whose epsilon is the sum over the sites.
    """

    sites: list[SiteData]
    findings: list[DataFinding]
    shared_patients: int


@dataclass(frozen=True)
class PreparedSite:
    """What one site needs of its own data.

    Attributes:
        data: its tensors.
        findings: what a person at the site should know; they name no patient.
    """

    data: SiteData
    findings: list[DataFinding]


def prepare_site(
    study: Study,
    source: Path,
    site: str,
    own: Path,
    cache: Path,
    progress: Progress | None = None,
    pseudonyms: Pseudonyms | None = None,
    withdrawn: Path | None = None,
) -> PreparedSite:
    """`prepare_sites` for a hospital's own folder, all of which is one site, whatever sites the files name.

    The split depends on the site's own images, `data.split` and the seed alone: it is the one that `prepare_sites`
    makes of all sites at once, unless that sees a patient of this site at another one too, or an equal image there.

    Args:
        study: its `data` section and seed.
        source: folder of the images.
        site: the name the site is enrolled by.
        own: the site's folder for this study; what is written there names patients and files by their pseudonyms.
        cache: folder for decoded images.
        progress: told (images done, images in all) while they are decoded.
        pseudonyms: the site's own; where None, those of the person who runs this.
        withdrawn: the site's list of patients who have withdrawn, none of whom is read; None where there is none.

    Raises:
        PrivacyRefusedError: that list is damaged.
        DataError: as `prepare_sites`.
    """
    pseudonyms = pseudonyms or own_pseudonyms()
    with naming_no_file(source, pseudonyms):
        index = build_index(source, study.data, site=site)
        withdrawals = Withdrawals(withdrawn or own / WITHDRAWN, pseudonyms)
        sites, findings = _prepare(study, source, index, own, cache, progress, pseudonyms, withdrawals)
    return PreparedSite(sites[0], findings)


def prepare_sites(
    study: Study,
    source: Path | None,
    run_data: Path,
    cache: Path,
    progress: Progress | None = None,
    more: Sequence[Path] = (),
) -> Prepared:
    """Index, split, check and decode the study's data; write `index.json`, `split.json`, `findings.json`.

    Patients in the folder's `withdrawn.json` are not read. Once a split is fixed, who is left keeps their part, and the
    number of a site's training patients stays what it was (`SiteData.enrolled`).

    A second call with the same arguments gives the identical result and decodes nothing again.

    Args:
        study: its `data` section and seed.
        source: folder of the images; where None, the study's phantom is generated under `run_data`.
        run_data: the run's data folder; what is written there names patients and files by their pseudonyms.
        cache: folder for decoded images.
        progress: told (images done, images in all) while they are decoded.
        more: further folders of the same study, beside `source`.

    Raises:
        PrivacyRefusedError: the list of those who have withdrawn is damaged.
        StudyError: neither a source nor a phantom.
        DataError: the data cannot be used, a folder cannot be written, or the split differs from the one
            fixed by an earlier call because the data have changed since.
    """
    folders = (_phantom(study, run_data) if source is None else source, *more)
    pseudonyms = own_pseudonyms()
    with ExitStack() as stack:
        for folder in folders:
            stack.enter_context(naming_no_file(folder, pseudonyms))
        index = index_folders(folders, study.data)
        withdrawals = Withdrawals(run_data / WITHDRAWN, pseudonyms)
        root = common_folder(folders)
        sites, findings = _prepare(study, root, index, run_data, cache, progress, pseudonyms, withdrawals)
    shared = sum(len(seen) > 1 for seen in index.sites_of_patients().values())
    return Prepared(sites, findings, shared)


def _prepare(
    study: Study,
    folder: Path,
    index: PatientIndex,
    own: Path,
    cache: Path,
    progress: Progress | None,
    pseudonyms: Pseudonyms,
    withdrawals: Withdrawals,
) -> tuple[list[SiteData], list[DataFinding]]:
    fixed = FixedSplit.find(own, pseudonyms)
    index, withdrawn = withdrawals.without(index), withdrawals.names()
    if not index.entries:
        raise DataError("Every patient of this data has withdrawn, so there is nothing to work on.")
    if fixed is not None:
        fixed.require_sites(index.sites, pseudonyms)
    decoded = decode_sites(folder, index, study.data, cache, progress)
    patients, fingerprints = _all_images(index, decoded)
    likeness = Likeness.of(fingerprints)
    together = tied_patients(index, patients, likeness)
    if fixed is not None and withdrawn:
        parts = fixed.parts_of(index.patients, withdrawn, pseudonyms)
    else:
        parts = split_patients(index, study.data.split, study.study.seed, together=together)
    sites = [
        site_data(site, index.at(site), decoded[site], parts, study.data, folder) for site in index.sites
    ]
    classes = study.data.classes
    labels = [classes.index(str(entry.label)) for entry in _entries_of_images(index, decoded)]
    of_images = np.array([int(parts[patient]) for patient in patients], np.int64)
    findings = [
        *index.findings,
        *decoding_findings(index, decoded, study.data),
        *picture_findings(patients, np.array(labels), likeness),
        *check_split(patients, of_images, likeness),
        *part_findings(sites),
        *geometry_findings(index, study.data),
    ]
    if fixed is None or not withdrawn:
        # Only a split that passed its checks is fixed, so that corrected data may still be split anew.
        fix_split(own, fixed, parts, sites, pseudonyms)
    else:
        sites = [_enrolled(site, fixed.enrolled(site.site, pseudonyms)) for site in sites]
    write_index(own / "index.json", pseudonyms.index(index))
    findings = [replace(finding, example="") for finding in findings]
    write_json(own / "findings.json", {"findings": [finding.to_json() for finding in findings]}, indent=1)
    return sites, findings


def _enrolled(site: SiteData, training: int) -> SiteData:
    return site if site.enrolled_patients == training else replace(site, enrolled=training)


def _phantom(study: Study, run_data: Path) -> Path:
    if study.data.phantom is None:
        raise StudyError(
            "No data: give the folder of the images, or set data.phantom in the study to generate some."
        )
    folder = run_data / "phantom"
    write_phantom(folder, study.data.phantom, study.study.seed, native_size(study.data.image_size))
    return folder


def _entries_of_images(index: PatientIndex, decoded: Mapping[str, DecodedSite]) -> Iterator[IndexEntry]:
    for site in index.sites:
        entries = index.at(site)
        yield from (entries[number] for number in decoded[site].entries)


def _all_images(index: PatientIndex, decoded: Mapping[str, DecodedSite]) -> tuple[list[str], Fingerprints]:
    patients = [entry.patient for entry in _entries_of_images(index, decoded)]
    return patients, Fingerprints.concatenate([decoded[site].fingerprints for site in index.sites])
