"""The synthetic set of a run, drawn from the averaged model and written down: the release."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from torch import nn

from fedgen.data.site_data import LabelledImages
from fedgen.pipeline.grid_record import recorded_grid
from fedgen.pipeline.workspace import Workspace
from fedgen.run.atomic import write_atomic
from fedgen.synthesis.grid import sample_grid
from fedgen.synthesis.samples import write_samples
from fedgen.synthesis.synthesize import synthesize


def draw_release(
    work: Workspace,
    networks: Mapping[str, nn.Module],
    progress: Callable[[int, int], None] | None = None,
) -> LabelledImages:
    """Draw the synthetic set; writes samples/ and a grid of it.

    Args:
        work: the run.
        networks: the trained ones, in eval mode.
        progress: told (images done, images in all).

    Raises:
        DataError: the training did not record what the images are, or the set cannot be drawn or written.
    """
    study, run = work.study, work.run
    image = recorded_grid(run)
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
    grid = sample_grid(synthetic.images, synthetic.labels, study.data.labels)
    write_atomic(run.figures / "samples.png", grid)
    return synthetic
