"""What a study stands on and never sends, such as weights under adapters or a prior: each site is given or makes it
once.

Heavy: it builds the study's networks, to which the weights have to fit.
"""

from __future__ import annotations

from pathlib import Path

from fedgen.errors import StudyError
from fedgen.pipeline.pretrained_start import refuse_made, refuse_same_patients
from fedgen.recipe import Recipe
from fedgen.run.atomic import write_atomic
from fedgen.run.given_file import require_weights
from fedgen_client.folder import SiteFolder
from fedgen_client.studies import OfferedStudy


def take_start(folder: SiteFolder, offered: OfferedStudy, path: Path | None) -> None:
    """Check the file of pretrained weights and keep it in the study's folder.

    Args:
        folder: of the site.
        offered: the study, whose sha256 the file must have.
        path: the file; None where it was given before, or the study sends all its weights.

    Raises:
        StudyError: the study needs a file and has none yet, needs none, or means another.
        DataError: the file cannot be used or kept.
        PrivacyRefusedError: the weights were trained without privacy at a site of the roster.
    """
    study, kept = offered.study, folder.pretrained(offered.study_sha256)
    refuse_made(study, path)
    make_start(folder, offered)
    if path is None:
        require_start(offered, kept)
        return
    if study.model.start is None:
        raise StudyError(
            f"{offered.name} starts from no pretrained weights and no prior: leave --pretrained and --prior away."
        )
    found = Recipe.of(study).read_start(path)
    if found is not None:
        refuse_same_patients(study, found.origin, offered.manifest.roster)
        write_atomic(kept, found.content)


def make_start(folder: SiteFolder, offered: OfferedStudy) -> None:
    """Make the prior of phantoms that a study stands on and keep it in the study's folder, where it is not yet.

    Raises:
        StudyError, DataError: it cannot be made or kept.
    """
    kept = folder.pretrained(offered.study_sha256)
    if not kept.is_file() and (made := Recipe.of(offered.study).make_start()) is not None:
        write_atomic(kept, made.content)


def require_start(offered: OfferedStudy, kept: Path) -> None:
    """Refuse a study with adapters, on a prior, or with losses that read public weights, whose file is not here yet.

    Raises:
        StudyError: the first or the second is not.
        DataError: public weights are not.
    """
    model = offered.study.model
    for file in model.given_weights:
        require_weights(file.sha256)
    if model.prior is not None and model.prior.phantom is None and not kept.is_file():
        raise StudyError(
            f"{offered.name} stands on a public prior that the coordinator does not send: get the file with sha256 "
            f"{model.prior.sha256} and run `fedgen-client approve {offered.study_sha256[:12]} --prior FILE`."
        )
    if model.adapters is not None and model.pretrained is not None and not kept.is_file():
        raise StudyError(
            f"{offered.name} trains adapters on weights that the coordinator does not send: get the file with sha256 "
            f"{model.pretrained.sha256} and run `fedgen-client approve {offered.study_sha256[:12]} --pretrained FILE`."
        )
