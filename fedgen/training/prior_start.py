"""The public prior on which a study stands: the file that it names by its hash, or one made of phantoms."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from fedgen.data.phantom.public import MASKS, PhantomMask, public_phantoms
from fedgen.data.phantom.write import PHANTOM_VERSION
from fedgen.errors import DataError, StudyError
from fedgen.priors.build import Said, of_images
from fedgen.priors.file import PriorFile, parse_prior, read_prior
from fedgen.study.data import DataSection, Intensity
from fedgen.study.model import PhantomPrior
from fedgen.task.image_spec import ImageSpec
from fedgen.task.task import Task
from fedgen.training.pretrained import Origin, Pretrained


def read_named_prior(sha256: str, image: ImageSpec, path: Path) -> Pretrained:
    """The public prior in a file, and by its card whose patients are in it.

    Args:
        sha256: of the file, as the study names it.
        image: of the study: all that it makes, a mask's classes as further channels.
        path: of the file.

    Raises:
        StudyError: the file is another than the study names.
        DataError: it is absent, no prior, not finite, or of images of another size or colour.
    """
    found = read_prior(path, sha256)
    card = found.card
    if found.prior.shape != image.shape:
        raise DataError(
            f"{path} is a prior of images with {card.channels} channels and the size {list(card.size)}, but the "
            f"study's have {image.channels} and {list(image.size)}: build one for these."
        )
    return _start(found)


def phantom_prior(asked: PhantomPrior, data: DataSection, task: Task) -> Pretrained:
    """The prior that a study has made of phantoms, with masks where its task makes them; always the same one.

    Two machines whose libraries round otherwise may get values that differ in their last digits. The privacy of a
    patient does not depend on them: her vector is clipped in whatever space her site has.

    Raises:
        StudyError: phantoms have no such modality, or no such mask.
        DataError: they do not differ in as many directions as components are asked for.
    """
    # A study of phantoms has a window for them; that of any other data says nothing of theirs.
    intensity = Intensity() if data.phantom is None else data.intensity
    content = phantom_file(asked, data.modality, data.image_size, intensity, _mask(data, task))
    return _start(parse_prior(content, Path("model.prior.phantom")))


def read_phantom_prior(asked: PhantomPrior, data: DataSection, task: Task, path: Path) -> Pretrained:
    """The prior of `phantom_prior` where it was kept, so that it is made once a run.

    Raises:
        DataError: it is absent, damaged, or by its card not the one that the study asks for.
    """
    if not path.is_file():
        raise DataError(
            f"{path} does not exist, and the study stands on it: put that file there again, or begin anew, which "
            "makes it again."
        )
    found = read_prior(path)
    card, said = found.card, _said(asked, data.modality)
    told = (card.source, card.sites, card.images, card.components, card.donors, found.prior.shape)
    if told != (said.source, (), asked.patients, asked.components, asked.donors, task.stack.shape):
        raise DataError(
            f"{path} is not the prior that model.prior.phantom asks for, but of {card.source} ({card.made_of}): put "
            "the file there again that was made for this study."
        )
    return _start(found)


def _mask(data: DataSection, task: Task) -> PhantomMask | None:
    if task.mask is None:
        return None
    name = data.columns.mask
    if name not in MASKS or task.mask.channels > MASKS[name]:
        known = " and ".join(f"{each} (up to {most} classes)" for each, most in MASKS.items())
        raise StudyError(
            f"model.prior.phantom has the masks {known}, but the task makes {task.mask.channels} classes of {name}: "
            "name one of those in data.columns.mask, use a prior of the stack in a file, or leave the prior away."
        )
    return PhantomMask(name, task.mask.channels)


def _start(found: PriorFile) -> Pretrained:
    card = found.card
    origin = Origin(
        study=card.made_of,
        study_sha256=found.sha256,
        mode="none",
        # Whoever built it has said by which licence the images are to be had.
        public=True,
        unprotected=card.sites,
        protected=(),
        source=card.source,
        statement=f"{card.made_of}; {card.source} ({card.licence})",
    )
    return Pretrained({}, origin, found.content, found.prior)


def _said(asked: PhantomPrior, modality: str | None) -> Said:
    of = "all contrasts" if modality is None else modality
    return Said(f"{asked.source} (version {PHANTOM_VERSION}, {of})", "none needed")


@lru_cache(maxsize=4)  # seconds; one process makes few
def phantom_file(
    asked: PhantomPrior,
    modality: str | None,
    size: tuple[int, int],
    intensity: Intensity,
    mask: PhantomMask | None = None,
) -> bytes:
    """The file of a prior made of phantoms; arguments and errors as of `public_phantoms`."""
    images = public_phantoms(asked, modality, size, intensity, mask)
    return of_images(images, asked.components, asked.donors, _said(asked, modality))
