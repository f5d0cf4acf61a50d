"""What the sites are asked of a finished run: its model with its images, or its model alone where that is released."""

from __future__ import annotations

from fedgen.pipeline.workspace import Workspace
from fedgen.protocol.messages import Assess, AssessModel, Question
from fedgen.synthesis.samples import read_samples
from fedgen.training.vector import vector_sha256


def question_of(work: Workspace) -> Question:
    """The one question of a study.

    Raises:
        DataError: training has not finished, or the run has no release.
    """
    model = work.trained().ema
    study_sha256, model_sha256 = work.recipe.sha256, vector_sha256(model)
    if work.recipe.task.translates:
        return AssessModel(study_sha256=study_sha256, model_sha256=model_sha256, model=model)
    release = read_samples(work.run.samples)
    return Assess(
        study_sha256=study_sha256,
        model_sha256=model_sha256,
        model=model,
        images=release.images,
        labels=release.labels,
        masks=release.masks,
    )
