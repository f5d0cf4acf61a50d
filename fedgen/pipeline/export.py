"""A finished run's weights as a file that other studies can start from, with where they come from written into it.

What is exported is the averaged model that the release is drawn from. Of a private run this is post-processing: it
costs no epsilon beyond the run's own.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import yaml
from pydantic import ValidationError

from fedgen.errors import PrivacyRefusedError, StudyError
from fedgen.mechanisms.statement import rounded_up
from fedgen.pipeline.pretrained_start import origin_of
from fedgen.pipeline.released import card_of_data, patients_in
from fedgen.pipeline.workspace import Workspace
from fedgen.run.atomic import write_atomic
from fedgen.run.privacy_file import PrivacyFile
from fedgen.run.release_card import ReleaseCard
from fedgen.study.model import PretrainedSection
from fedgen.study.modes import is_private
from fedgen.study.study import Study
from fedgen.training.pretrained import SUFFIX, Origin, encode


@dataclass(frozen=True)
class Exported:
    """A file of weights.

    Attributes:
        path: where it is.
        start: what a study writes under `model.pretrained`.
        origin: what the file says of itself.
    """

    path: Path
    start: PretrainedSection
    origin: Origin

    @property
    def yaml(self) -> str:
        """Lines to paste into a study."""
        lines = {"model": {"pretrained": self.start.model_dump()}}
        return yaml.safe_dump(lines, sort_keys=False, allow_unicode=True, width=100)


def export(work: Workspace, out: Path, public: str | None = None) -> Exported:
    """Write the weights of a finished run.

    Args:
        work: the run.
        out: a new file that ends in `.safetensors`.
        public: what the data were, in one sentence with their licence; the declaration that they are public.

    Raises:
        PrivacyRefusedError: the run had no privacy, and nobody declares that its data are public.
        StudyError: `out` exists or has another ending, or `public` is no single sentence.
        DataError: training has not finished, or the file cannot be written.
    """
    if out.suffix != SUFFIX:
        raise StudyError(f"{out} must end in {SUFFIX}, the only format that weights are written in.")
    if out.exists():
        raise StudyError(f"{out} exists: name another file, or remove it.")
    if public is None:
        _refuse_unprotected(work, PrivacyFile.read(work.run), card_of_data(work))
    content, origin = _encoded(work, public)
    try:
        start = PretrainedSection(sha256=hashlib.sha256(content).hexdigest(), source=origin.source)
    except ValidationError:
        raise StudyError(
            "--public must be one sentence on one line, of what the data are and by which licence, not longer than "
            "2000 characters together with what the run itself started from."
        ) from None
    write_atomic(out, content)
    return Exported(out, start, origin)


def weights_file(work: Workspace) -> bytes:
    """The weights of a finished run in the same form, for a release whose card says what may be done with them.

    Raises:
        DataError: training has not finished.
    """
    return _encoded(work, None)[0]


def _encoded(work: Workspace, public: str | None) -> tuple[bytes, Origin]:
    weights = work.trained().ema
    privacy, release = PrivacyFile.read(work.run), card_of_data(work)
    unprotected, protected = patients_in(work, privacy)
    origin = Origin(
        study=work.study.study.name,
        study_sha256=work.recipe.sha256,
        # Training on what a private run has released is post-processing of that run.
        mode=privacy.mode if release is None or is_private(privacy.mode) else release.mode,
        public=public is not None,
        unprotected=unprotected,
        protected=protected,
        source=_source(work.study, privacy, release, public),
        statement=privacy.statement
        if release is None
        else f"{privacy.statement} Its data are synthetic images of the run {release.study}: {release.statement}",
    )
    networks = work.networks(weights)
    content = encode(
        {
            f"{network}/{name}": parameter.detach().cpu().float()
            for network, module in networks.items()
            for name, parameter in module.named_parameters()
        },
        origin,
    )
    return content, origin


def _refuse_unprotected(work: Workspace, privacy: PrivacyFile, release: ReleaseCard | None) -> None:
    if is_private(privacy.mode):
        return
    before = origin_of(work.run, work.study)
    fair = before is None or before.public or is_private(before.mode)
    if release is None or not is_private(release.mode) or not fair:
        raise PrivacyRefusedError(
            f"{work.run.path} was trained WITHOUT differential privacy, so its weights may be passed on only if its "
            'data are public: say what they are and their licence with --public "...", or train privately.'
        )


def _source(study: Study, privacy: PrivacyFile, release: ReleaseCard | None, public: str | None) -> str:
    parts = [] if public is None else [_sentence(public)]
    if release is not None:
        parts.append(_of_release(release))
    if privacy.epsilon is not None:
        parts.append(
            f"Run {study.study.name} at {', '.join(row.site for row in privacy.sites)}, trained with "
            f"({rounded_up(privacy.epsilon):.2f}, {privacy.delta:g})-differential privacy for each of their "
            "patients."
        )
    if study.model.pretrained is not None:
        parts.append(f"It started from other weights itself: {_sentence(study.model.pretrained.source)}")
    return " ".join(parts)


def _of_release(release: ReleaseCard) -> str:
    sites = f" at {', '.join(release.protected)}" if release.protected else ""
    images = f"Trained on synthetic images of the run {release.study}{sites}"
    if release.epsilon is None:
        return f"{images}, which had NO differential privacy."
    return (
        f"{images}, which were made with ({rounded_up(release.epsilon):.2f}, {release.delta:g})-differential privacy "
        "for each of its patients."
    )


def _sentence(text: str) -> str:
    text = text.strip()
    return text if text.endswith((".", "!", "?")) else f"{text}."
