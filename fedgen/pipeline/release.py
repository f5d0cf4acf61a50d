"""The synthetic set of a run, drawn from the averaged model and written down: the release."""

from __future__ import annotations

from collections.abc import Callable

from fedgen.data.site_data import LabelledImages
from fedgen.pipeline.grid_record import recorded_image
from fedgen.pipeline.released import write_card
from fedgen.pipeline.workspace import Workspace
from fedgen.run.atomic import write_atomic
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
        study.data.labels,
        seed=study.study.seed,
        progress=progress,
    )
    intensity = study.data.intensity
    write_samples(
        run.samples,
        synthetic,
        study.data.labels,
        study.synthesis.formats,
        image,
        window=(intensity.lower, intensity.upper),
    )
    write_card(work)
    draw(synthetic)
    # Last, because its presence says that all of this is drawn.
    write_atomic(run.figures / GRID, sample_grid(synthetic.images, synthetic.labels, study.data.labels))
