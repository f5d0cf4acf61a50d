"""Whose patients are in a run's images and weights, also where it was trained on another run's synthetic images."""

from __future__ import annotations

from pathlib import Path

from fedgen.errors import DataError
from fedgen.pipeline.pretrained_start import origin_of
from fedgen.pipeline.workspace import Workspace
from fedgen.run.directory import RunDirectory
from fedgen.run.privacy_file import PrivacyFile
from fedgen.run.release_card import ReleaseCard
from fedgen.run.source_file import SourceFile
from fedgen.run.summary import RunSummary
from fedgen.study.modes import is_private
from fedgen.synthesis.samples import files_sha256

CARD = Path(ReleaseCard.name).name


def read_card(folder: Path) -> ReleaseCard | None:
    """The card in a folder of images; None in one that is no run's `samples`.

    Raises:
        DataError: it cannot be read, or is of other files than those that are there.
    """
    if not (folder / CARD).exists():
        return None
    card = ReleaseCard.read(RunDirectory(folder), CARD)
    if files_sha256(folder) != card.files_sha256:
        raise DataError(
            f"{folder / CARD} is of other images than those that are there now, and would vouch for them: draw the "
            "samples again, or remove the card where these are images of another origin."
        )
    return card


def write_card(work: Workspace) -> None:
    """Say of a run's synthetic images, which are all there, whose patients they were made of.

    Raises:
        DataError: the disk is full or the folder cannot be written.
    """
    privacy = PrivacyFile.read(work.run)
    unprotected, protected = patients_in(work, privacy)
    ReleaseCard(
        study=work.study.study.name,
        study_sha256=work.recipe.sha256,
        mode=privacy.mode,
        epsilon=privacy.epsilon,
        delta=privacy.delta,
        unprotected=unprotected,
        protected=protected,
        statement=privacy.statement,
        files_sha256=files_sha256(work.run.samples),
    ).write(work.run)


def card_of_data(work: Workspace) -> ReleaseCard | None:
    """The card of the synthetic images that a simulation was trained on; None for any other data."""
    source = SourceFile.find(work.run)
    return None if source is None else source.release


def patients_in(work: Workspace, privacy: PrivacyFile) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Sites whose patients are in a run's model without and with privacy, those of its start among them."""
    before, release = origin_of(work.run, work.study), card_of_data(work)
    unprotected = set(before.unprotected if before else ())
    protected = set(before.protected if before else ())
    if release is not None:
        # Its sites are names in a table of synthetic images; the patients are those that the images were made of.
        unprotected.update(release.unprotected)
        protected.update(release.protected)
    else:
        # A phantom has no patients, so no site's name stands for any.
        data = RunSummary.read(work.run).data
        phantom = data is not None and data.source == "phantom"
        own = set() if phantom else {row.site for row in privacy.sites}
        (protected if is_private(privacy.mode) else unprotected).update(own)
    return tuple(sorted(unprotected)), tuple(sorted(protected))
