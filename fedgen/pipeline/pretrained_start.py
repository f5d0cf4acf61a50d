"""What a run starts from, given in a file or made: where it came from, and what is said of it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from fedgen.errors import DataError, PrivacyRefusedError, StudyError
from fedgen.recipe import Recipe
from fedgen.run.atomic import write_atomic
from fedgen.run.directory import RunDirectory
from fedgen.study.modes import is_private
from fedgen.study.study import Study
from fedgen.training.pretrained import Origin, Pretrained


def given_start(study: Study, path: Path | None) -> Pretrained | None:
    """The file of `--pretrained` or `--prior`, checked before a run is made, or the prior that the study has made.

    Returns:
        None where the study names neither.

    Raises:
        StudyError: a file is given and not asked for, or asked for and not given, or another file was meant.
        DataError: the file cannot be used.
    """
    refuse_made(study, path)
    if path is None and (made := Recipe.of(study).make_start()) is not None:
        return made
    if study.model.start is None:
        if path is not None:
            raise StudyError(
                f"--pretrained (or --prior) {path} is given but the study has no model.pretrained and no model.prior: "
                "write its sha256 and source into the study, so that whoever reads the study knows of it."
            )
        return None
    if path is None:
        raise StudyError(
            "The study stands on a public prior (model.prior): give its file with --prior."
            if study.model.prior is not None
            else "The study starts from pretrained weights (model.pretrained): give their file with --pretrained."
        )
    return Recipe.of(study).read_start(path)


def refuse_made(study: Study, path: Path | None) -> None:
    """Refuse a file for a study whose prior this program makes.

    Raises:
        StudyError: there is one.
    """
    prior = study.model.prior
    if path is not None and prior is not None and prior.phantom is not None:
        raise StudyError(
            f"--prior {path} is given, but the study has its prior made of phantoms (model.prior.phantom): leave "
            "--prior away, or name the file in model.prior by sha256 and source."
        )


def keep_start(run: RunDirectory, start: Pretrained | None) -> None:
    """Put the weights into the run directory, so that no later command has to be given them.

    Raises:
        DataError: the disk is full or the folder is not writable.
    """
    if start is not None:
        write_atomic(run.pretrained, start.content)


def add_start(run: RunDirectory, study: Study, path: Path | None) -> None:
    """Take the weights of `--pretrained FILE` into a run that was made without them; no path changes nothing.

    Raises:
        StudyError, DataError: see `given_start`.
    """
    if path is not None:
        keep_start(run, given_start(study, path))


def origin_of(run: RunDirectory, study: Study) -> Origin | None:
    """Where the weights in the run directory come from; None without such weights or where nobody wrote it down.

    Raises:
        StudyError, DataError: see `read_pretrained`.
    """
    start = Recipe.of(study).read_start(run.pretrained)
    return None if start is None else start.origin


def refuse_same_patients(study: Study, origin: Origin | None, sites: Iterable[str]) -> None:
    """Refuse weights that a run without privacy made at sites whose patients this study protects.

    Their patients are in the start already, unprotected, and an epsilon of this study would be no promise to them.

    Raises:
        PrivacyRefusedError: the weights say so themselves; where they do not, nobody can know.
    """
    if origin is None or not study.privacy.private:
        return
    if not is_private(origin.mode) and not origin.public:
        raise PrivacyRefusedError(
            f"The pretrained weights are of the run {origin.study} without privacy, whose data nobody declared "
            "public: start from weights of public data or of a private run."
        )
    both = sorted(set(sites) & set(origin.unprotected))
    if both:
        if study.model.prior is not None:
            raise PrivacyRefusedError(
                f"The public prior ({origin.study}) holds patients of {', '.join(both)} WITHOUT privacy, where this "
                "study promises it: use a prior of other images, or rename the sites if they are not the same."
            )
        raise PrivacyRefusedError(
            f"The pretrained weights of the run {origin.study} were trained WITHOUT privacy at {', '.join(both)}, "
            "where this study promises privacy: start from other weights, or rename the sites if they are not the same."
        )


def start_limits(origin: Origin | None, sites: Iterable[str]) -> list[str]:
    """What an epsilon on top of an earlier private run does not say."""
    both = [] if origin is None else sorted(set(sites) & set(origin.protected))
    if origin is None or not both:
        return []
    return [
        f"The start (of the run {origin.study}) was trained privately at {', '.join(both)} too: for patients who were "
        "in both, the epsilons and deltas add up."
    ]


def require_start(run: RunDirectory, study: Study) -> None:
    """Refuse to go on with a run whose weights are gone, before anything is computed.

    Raises:
        DataError: the run directory lacks them.
    """
    if study.model.start is not None and not run.pretrained.is_file():
        raise DataError(
            f"{run.pretrained} does not exist, and the study starts from it: put that file there again."
        )
