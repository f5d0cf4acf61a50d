"""What a study stands on and never sends, such as weights under adapters or a prior: each site is given or makes it
once.

Heavy: it builds the study's networks, to which the weights have to fit.
"""

from __future__ import annotations

from pathlib import Path

from fedgen.errors import DataError, StudyError
from fedgen.pipeline.pretrained_start import refuse_made, refuse_same_patients
from fedgen.recipe import Recipe
from fedgen.run.atomic import write_atomic
from fedgen_client.folder import SiteFolder
from fedgen_client.given_files import WantedFile, find_given, given_files, missing_files, read_given
from fedgen_client.studies import OfferedStudy


def take_start(folder: SiteFolder, offered: OfferedStudy, path: Path | None) -> None:
    """Check what a study stands on and keep it: the file that is named, or those with its hashes in `given/`.

    Args:
        folder: of the site.
        offered: the study, whose sha256 the file must have.
        path: the file; None where it was given before, lies in `given/`, or the study sends all its weights.

    Raises:
        StudyError: the study needs a file and has none yet, needs none, or means another.
        DataError: a file cannot be used or kept.
        PrivacyRefusedError: the weights were trained without privacy at a site of the roster.
    """
    study, start = offered.study, folder.pretrained(offered.study_sha256)
    refuse_made(study, path)
    make_start(folder, offered)
    if path is not None and study.model.start is None:
        raise StudyError(
            f"{offered.name} starts from no pretrained weights and no prior: leave --pretrained and --prior away."
        )
    if path is not None:
        _keep_start(offered, path, start)
    take_lying(folder, offered)
    require_start(folder, offered)


def take_lying(folder: SiteFolder, offered: OfferedStudy) -> None:
    """Keep what lies in `given/` of the files that a study stands on and this site does not keep yet.

    Raises:
        StudyError, DataError, PrivacyRefusedError: as `take_start`.
    """
    missing = missing_files(folder, offered)
    lying = given_files(folder) if missing else ()
    for file in missing:
        found = find_given(lying, file.sha256)
        if found is None:
            continue
        if file.option:
            _keep_start(offered, found, file.kept)
        else:
            write_atomic(file.kept, read_given(found, file.sha256))


def require_start(folder: SiteFolder, offered: OfferedStudy) -> None:
    """Refuse a study with adapters, on a prior, or with losses that read public weights, whose file is nowhere here.

    Raises:
        StudyError: the first or the second is neither kept nor in `given/`.
        DataError: public weights are not.
    """
    missing = missing_files(folder, offered)
    lying = given_files(folder) if missing else ()
    for file in missing:
        if find_given(lying, file.sha256) is None:
            said = _missing(folder, offered, file)
            raise StudyError(said) if file.option else DataError(said)


def _keep_start(offered: OfferedStudy, path: Path, kept: Path) -> None:
    found = Recipe.of(offered.study).read_start(path)
    if found is not None:
        refuse_same_patients(offered.study, found.origin, offered.manifest.roster)
        write_atomic(kept, found.content)


def make_start(folder: SiteFolder, offered: OfferedStudy) -> None:
    """Make the prior of phantoms that a study stands on and keep it in the study's folder, where it is not yet.

    Raises:
        StudyError, DataError: it cannot be made or kept.
    """
    kept = folder.pretrained(offered.study_sha256)
    if not kept.is_file() and (made := Recipe.of(offered.study).make_start()) is not None:
        write_atomic(kept, made.content)


def _missing(folder: SiteFolder, offered: OfferedStudy, file: WantedFile) -> str:
    name = offered.study_sha256[:12]
    otherwise = (
        f"run `fedgen-client approve {name} {file.option} FILE`"
        if file.option
        else f"put it, named by its sha256, into {file.kept.parent}"
    )
    return (
        f"{offered.name} needs {file.what}, which the coordinator does not send: get the file with sha256 "
        f"{file.sha256}, put it into {folder.given} and approve the study, or {otherwise}."
    )
