"""A released translation at work where the sources lie: read them, make the target, write it where it belongs."""

from __future__ import annotations

import csv
import hashlib
import io
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from fedgen.data.index import site_name
from fedgen.data.pixels import resize
from fedgen.data.to_translate import SourceFiles, sources_in
from fedgen.errors import DataError, StudyError
from fedgen.recipe import Recipe
from fedgen.run.atomic import write_atomic
from fedgen.run.directory import RunDirectory
from fedgen.run.model_card import FOLDER, STUDY, WEIGHTS, ModelCard
from fedgen.study.compile_task import COARSE
from fedgen.study.load import load_study
from fedgen.synthesis.formats import png_bytes
from fedgen.synthesis.placed import About, dicom_on_source, in_window, is_dicom, nifti_on_source
from fedgen.synthesis.translate import translator
from fedgen.task.task import PRESENT
from fedgen.training.pretrained import read_pretrained

Form = Literal["nifti", "dicom", "png"]
TABLE = "translated.csv"
FloatArray = NDArray[np.float32]


@dataclass(frozen=True)
class ReleasedModel:
    """A released translation that was read from its folder.

    Attributes:
        card: what it says of itself.
        recipe: of its study.
        folder: where it lies.
    """

    card: ModelCard
    recipe: Recipe
    folder: Path

    @classmethod
    def open(cls, path: Path) -> ReleasedModel:
        """The model of a run, or of a folder `model` that was handed on.

        Raises:
            StudyError: the run does not translate.
            DataError: there is no released model, or its files are others than its card says.
        """
        run = RunDirectory(path)
        if (
            not (path / ModelCard.name).is_file()
            and (path / "card.json").is_file()
            and (path / WEIGHTS).is_file()
        ):
            run = RunDirectory(path.resolve().parent)
            folder, name = path, str(Path(path.resolve().name) / "card.json")
        else:
            folder, name = path / FOLDER, ModelCard.name
        if not (folder / "card.json").is_file():
            if run.study.is_file() and not load_study(str(run.study)).made.translates:
                raise StudyError(
                    f"{path} is the run of a study that translates nothing: it makes new images, which are in samples."
                )
            raise DataError(
                f"{path} has no released model ({FOLDER}/card.json): name a run that is done, or its model."
            )
        card = ModelCard.read(run, name)
        for file, sha256 in card.files.items():
            content = folder / Path(file).name
            if not content.is_file() or hashlib.sha256(content.read_bytes()).hexdigest() != sha256:
                raise DataError(
                    f"{content} is missing or has been changed since the model was released, so that its card "
                    "vouches for nothing: restore it."
                )
        return cls(card, Recipe.of(load_study(str(folder / STUDY))), folder)

    def maker(self, device: str) -> Callable[[SourceFiles], FloatArray]:
        """What makes the target of one patient and time: (n, *size) in [-1, 1] on the model's grid.

        Raises:
            DataError: the weights do not fit the study.
        """
        recipe = self.recipe
        path = self.folder / WEIGHTS
        read = read_pretrained(self.card.files[WEIGHTS], recipe.plain_layout, path)
        networks = {name: each.to(device) for name, each in recipe.plain_networks(read.weights).items()}
        make = translator(recipe.plain_family, networks, device, recipe.study.study.seed)

        def of(sources: SourceFiles) -> FloatArray:
            n = len(next(iter(sources.images.values())))
            given = {}
            for field in recipe.task.sources:
                name = self.file_contrast(field.name)
                assert field.spec is not None
                absent = torch.zeros(n, *field.spec.shape)
                given[field.name] = sources.images.get(name, absent)
            if recipe.task.paired:
                there = [float(self.file_contrast(name) in sources.images) for name in self.card.sources]
                given[PRESENT] = torch.tensor(there).expand(n, -1).clone()
            found: FloatArray = make(given)[:, 0].numpy()
            return found

        return of

    def file_contrast(self, source: str) -> str:
        """The contrast of the files that a source is read from: of super-resolution, the target itself."""
        return self.card.target if source == COARSE else source


@dataclass(frozen=True)
class Translated:
    """One target that was written."""

    patient: str
    study: str
    files: tuple[str, ...]


def translate(
    model: ReleasedModel, folder: Path, out: Path, form: Form | None, device: str
) -> Iterator[Translated]:
    """Make the target of every patient and time of a folder and write it; one at a time, so that memory is bounded.

    Args:
        model: the released model.
        folder: the sources, laid out as the study's data are.
        out: a new or empty folder.
        form: of the files; None for that of the sources.
        device: where the model runs.

    Raises:
        StudyError: `out` holds something, or the model makes colours.
        DataError: a source is missing or cannot be used, or the form cannot hold what was made.
    """
    study = model.recipe.study
    if out.exists() and any(out.iterdir()):
        raise StudyError(f"{out} is not empty: name a new folder.")
    if study.data.channels != 1:
        raise StudyError("The model makes images in colour, which fedgen translate does not write.")
    names = [model.file_contrast(name) for name in model.card.sources]
    needed = [model.file_contrast(name) for name in model.card.needed] if model.recipe.task.paired else []
    make = model.maker(device)
    window = study.data.window(model.card.target)
    about = About(model.card.target, model.card.files[WEIGHTS], model.card.statement)
    rows: list[tuple[str, ...]] = []
    taken: set[Path] = set()
    places: Counter[tuple[str, str]] = Counter()
    for sources in sources_in(folder, study.data, names, needed):
        values = in_window(on_source(make(sources), sources), (window.lower, window.upper))
        place = Path(site_name(sources.patient) or "patient")
        if sources.study:
            place /= site_name(sources.study) or "study"
        # Slices that are files of their own are several of one time, from the second on in folders of their own.
        places[sources.patient, sources.study] += 1
        if places[sources.patient, sources.study] > 1:
            place /= f"place_{places[sources.patient, sources.study]}"
        if place in taken:
            raise DataError(f"Two patients are both written as {place}: rename one of them.")
        taken.add(place)
        files = _files(folder, sources, values, form, (window.lower, window.upper), about)
        for name, content in files.items():
            write_atomic(out / place / name, content)
        written = tuple(str(place / name) for name in files)
        rows.append(
            (sources.patient, sources.study, "+".join(sources.entries), written[0], str(len(written)))
        )
        yield Translated(sources.patient, sources.study, written)
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(("patient", "study", "sources", "image", "files"))
    writer.writerows(rows)
    write_atomic(out / TABLE, table.getvalue().encode())


def on_source(made: FloatArray, sources: SourceFiles) -> FloatArray:
    """(n, *size) on the model's grid as (n, *source size): padding is cut off, the rest resampled to the source.

    Where the two grids are equal, nothing changes.
    """
    whole = made.shape[1:]
    inside = tuple(
        slice((most - side) // 2, (most - side) // 2 + side)
        for most, side in zip(whole, sources.inside, strict=True)
    )
    size = sources.first.size
    return np.stack([resize(np.ascontiguousarray(image[inside])[..., None], size)[..., 0] for image in made])


def _files(
    folder: Path,
    sources: SourceFiles,
    values: FloatArray,
    form: Form | None,
    window: tuple[float, float],
    about: About,
) -> dict[str, bytes]:
    """The files of one target by name."""
    entry, target = sources.first, site_name(about.target) or "target"
    # A volume that is one image, slices of one, or a single picture.
    voxels = values[0] if len(entry.size) == 3 else values
    if form is None:
        form = "dicom" if is_dicom(entry, folder) else "nifti" if entry.affine is not None else "png"
    if form == "nifti":
        return {f"{target}.nii.gz": nifti_on_source(folder, entry, voxels)}
    if form == "dicom":
        images = dicom_on_source(folder, entry, voxels, window, about)
        return {f"{target}_{number:04d}.dcm": content for number, content in enumerate(images, start=1)}
    if len(voxels) > 1:
        raise DataError(f"{entry.path} is a volume, which no PNG holds: use --format nifti.")
    lower, upper = window
    picture = torch.from_numpy((voxels - lower) / (upper - lower) * 2 - 1)
    return {f"{target}.png": png_bytes(picture, entry.spacing)}
