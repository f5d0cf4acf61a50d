"""A reading begun or gone on with: test patients of some sites, a release, and the images that are shown of both."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import torch

from fedgen.data.site_data import LabelledImages, Part, SiteData
from fedgen.reading.book import Book
from fedgen.reading.desk import Picture
from fedgen.reading.pictures_shown import shown_png
from fedgen.reading.trials import DrawnPairs, Readable, Shown, draw, is_real
from fedgen.study.study import Study


def sit_down(
    folder: Path, question: str, study: Study, sites: Sequence[SiteData], made: LabelledImages
) -> tuple[Book, Picture]:
    """The book of a reading, and its images.

    Patients are of the test part: a picture of a training patient that is known again would be no sign of a good
    model, and those of the audit part are kept for the audit.

    Args:
        folder: where the reading lies.
        question: sha256 of the model and release.
        study: its section `evaluation.reading`, and its seed.
        sites: whose patients are shown.
        made: the release.

    Raises:
        DataError: another reading is in the folder, what it shows has changed, or there is nothing to show.
    """
    real = [site.part(Part.TEST) for site in sites]
    images = [image for site in real for image in site.images]
    offsets = torch.tensor([0, *(site.n_patients for site in real)]).cumsum(0)
    patients = torch.cat([site.patients + offset for site, offset in zip(real, offsets[:-1], strict=True)])
    found = Readable(torch.cat([site.labels for site in real]).numpy(), patients.numpy(), made.labels.numpy())
    options = study.evaluation.reading
    drawn = draw(found, options.images, study.study.seed)

    def digest(drawn: DrawnPairs) -> str:
        if max(drawn.real, default=-1) >= len(images) or max(drawn.made, default=-1) >= len(made.images):
            return "gone"
        shown = [*(images[n] for n in drawn.real), *(made.images[n] for n in drawn.made)]
        return hashlib.sha256(
            b"".join(hashlib.sha256(shown_png(image)).digest() for image in shown)
        ).hexdigest()

    book = Book.begin(folder, question, options, drawn, digest)
    plan = book.plan

    def picture(shown: Shown) -> bytes:
        number = int(shown[1:])
        return shown_png(images[plan.real[number]] if is_real(shown) else made.images[plan.made[number]])

    return book, picture
