"""A study's data in one call, of all sites or of one: index, split, check and decode, the same on every call."""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from fedgen.data.build import build_index
from fedgen.data.cache.decoded_sites import Progress, decode_sites
from fedgen.data.check import check_split, part_findings
from fedgen.data.decode import DecodedSite
from fedgen.data.findings import DataFinding
from fedgen.data.fingerprint import Fingerprints
from fedgen.data.geometry import geometry_findings
from fedgen.data.index import IndexEntry, PatientIndex, write_index
from fedgen.data.join_folders import common_folder, index_folders
from fedgen.data.load import decoding_findings, site_data
from fedgen.data.phantom.write import native_size, write_phantom
from fedgen.data.pseudonyms import Pseudonyms, naming_no_file, own_pseudonyms
from fedgen.data.site_data import Part, SiteData
from fedgen.data.split import split_patients
from fedgen.data.ties import Likeness, picture_findings, tied_patients
from fedgen.errors import DataError, StudyError
from fedgen.run.atomic import write_json
from fedgen.study.study import Study

#: Raised when the meaning of split.json changes; an older one is then refused, not misread.
_SPLIT_VERSION = 2


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

    Raises:
        DataError: as `prepare_sites`.
    """
    pseudonyms = pseudonyms or own_pseudonyms()
    with naming_no_file(source, pseudonyms):
        index = build_index(source, study.data, site=site)
        sites, findings = _prepare(study, source, index, own, cache, progress, pseudonyms)
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

    A second call with the same arguments gives the identical result and decodes nothing again.

    Args:
        study: its `data` section and seed.
        source: folder of the images; where None, the study's phantom is generated under `run_data`.
        run_data: the run's data folder; what is written there names patients and files by their pseudonyms.
        cache: folder for decoded images.
        progress: told (images done, images in all) while they are decoded.
        more: further folders of the same study, beside `source`.

    Raises:
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
        sites, findings = _prepare(
            study, common_folder(folders), index, run_data, cache, progress, pseudonyms
        )
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
) -> tuple[list[SiteData], list[DataFinding]]:
    decoded = decode_sites(folder, index, study.data, cache, progress)
    patients, fingerprints = _all_images(index, decoded)
    likeness = Likeness.of(fingerprints)
    together = tied_patients(index, patients, likeness)
    parts = split_patients(index, study.data.split, study.study.seed, together=together)
    sites = [
        site_data(site, index.at(site), decoded[site], parts, study.data, folder) for site in index.sites
    ]
    classes = study.data.labels
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
    # Only a split that passed its checks is fixed, so that corrected data may still be split anew.
    _fix_split(own, parts, pseudonyms)
    write_index(own / "index.json", pseudonyms.index(index))
    findings = [replace(finding, example="") for finding in findings]
    write_json(own / "findings.json", {"findings": [finding.to_json() for finding in findings]}, indent=1)
    return sites, findings


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


def _fix_split(own: Path, parts: Mapping[str, Part], pseudonyms: Pseudonyms) -> None:
    path = own / "split.json"
    fixed = _fixed_split(path)
    if fixed is not None and fixed["key"] != pseudonyms.name:
        raise DataError(
            f"{path} was written with another key of pseudonyms than is here now: restore the site's pseudonym.key; "
            "only a new run can do without."
        )
    # A salt of each run's own: by split.json alone nobody can follow a patient from one run to another.
    salt = secrets.token_hex(16) if fixed is None else str(fixed["salt"])
    ours = pseudonyms.of_run(salt)
    ordered = dict(sorted((ours.patient(patient), part.name.lower()) for patient, part in parts.items()))
    digest = hashlib.sha256(json.dumps(ordered).encode()).hexdigest()
    if fixed is None:
        value = {
            "version": _SPLIT_VERSION,
            "key": pseudonyms.name,
            "salt": salt,
            "sha256": digest,
            "patients": ordered,
        }
        write_json(path, value, indent=1)
    elif fixed["sha256"] != digest:
        raise DataError(
            f"The data, data.split or the seed changed since {path} was written, and a patient held out "
            "then could train now: restore them, for only a new run may have another split."
        )


def _fixed_split(path: Path) -> dict[str, Any] | None:
    try:
        if not path.exists():
            return None
        value = json.loads(path.read_text(encoding="utf-8"))
        if value["version"] != _SPLIT_VERSION:
            raise ValueError(f"its version is {value['version']}, this program's {_SPLIT_VERSION}")
        return {name: value[name] for name in ("key", "salt", "sha256")}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path} is damaged ({error}): restore it; only a new run can do without.") from None
