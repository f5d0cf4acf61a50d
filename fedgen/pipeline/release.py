"""The synthetic set of a run, drawn from the averaged model and written down: the release."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from fedgen.data.site_data import LabelledImages
from fedgen.pipeline.grid_record import recorded_image
from fedgen.pipeline.released import write_card
from fedgen.pipeline.workspace import Workspace
from fedgen.run.atomic import write_atomic
from fedgen.run.events import RoundDone
from fedgen.run.privacy_file import PrivacyFile
from fedgen.synthesis.dicom_tags import Provenance
from fedgen.synthesis.grid import sample_grid
from fedgen.synthesis.samples import write_samples
from fedgen.synthesis.synthesize import synthesize

#: The grid of examples, in `figures/`.
GRID = "samples.png"


def draw_release(
    work: Workspace,
    draw: Callable[[LabelledImages], None],
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Draw the synthetic set from the averaged model; writes samples/ and its pictures.

    Args:
        work: the run, trained.
        draw: draws further pictures.
        progress: told (images done, images in all).

    Raises:
        DataError: training has not finished, or the set cannot be drawn or written.
    """
    networks = work.networks(work.trained().ema)
    study, run = work.study, work.run
    image = recorded_image(run)
    synthetic = synthesize(
        work.recipe.family,
        networks,
        study.synthesis,
        study.data.classes,
        work.recipe.task,
        seed=study.study.seed,
        progress=progress,
    )
    intensity = study.data.intensity
    write_samples(
        run.samples,
        synthetic,
        study.data.classes,
        study.synthesis.formats,
        image,
        about=_provenance(work),
        window=(intensity.lower, intensity.upper),
        mask_classes=study.data.mask_classes,
    )
    write_card(work)
    draw(synthetic)
    # Last, because its presence says that all of this is drawn.
    write_atomic(run.figures / GRID, sample_grid(synthetic.images, synthetic.labels, study.data.classes))


def _provenance(work: Workspace) -> Provenance:
    """What the files themselves say of the run."""
    return Provenance(
        study_sha256=work.recipe.sha256,
        statement=PrivacyFile.read(work.run).statement,
        modality=work.study.data.modality,
        made=datetime.fromisoformat(work.run.read_events(RoundDone)[-1].time),
    )
