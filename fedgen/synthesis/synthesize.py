"""Draws the synthetic set from a trained model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import torch
from torch import Tensor, nn

from fedgen.data.site_data import LabelledImages
from fedgen.errors import DataError
from fedgen.families.contract import Family
from fedgen.families.parts.conditioning import drawn_fields
from fedgen.study.training import SynthesisSection
from fedgen.synthesis.counts import class_counts
from fedgen.task.stack import classes_of_mask, unstacked
from fedgen.task.task import Task

#: As `Family.sample`.
Sampler = Callable[[Mapping[str, nn.Module], Mapping[str, Tensor], int, torch.Generator], Tensor]


def synthesize(
    family: Family,
    networks: Mapping[str, nn.Module],
    synthesis: SynthesisSection,
    classes: tuple[str, ...],
    task: Task,
    *,
    seed: int,
    batch: int | None = None,
    progress: Callable[[int, int], None] | None = None,
    sample: Sampler | None = None,
) -> LabelledImages:
    """Sample the set a study asks for, class by class.

    The same seed, batch and weights give the same set. Sampling reads no data, so it costs no privacy
    (post-processing, Dwork and Roth 2014, Proposition 2.1).

    Args:
        family: gives the sampler.
        networks: the family's trained networks, in eval mode.
        synthesis: number of images and their balance.
        classes: class names in the order of their index.
        task: what is made, and what else than a class it is given: that is drawn without any patient.
        seed: of every random number drawn.
        batch: images sampled at once, at least 1; the family's own number where None.
        progress: called with (images done, images in all) after every batch.
        sample: draws; as the family does where None.

    Returns:
        (n, C, *size) float32 in [-1, 1] on the CPU, already rounded to float16 so that what is stored is
        what the later stages of this very process see; labels in class order, and masks where the
        task makes them.

    Raises:
        DataError: the model gives NaN or infinity.
        StudyError: the balance does not fit the classes.
    """
    counts = class_counts(synthesis.images, classes, synthesis.balance)
    labels = torch.repeat_interleave(torch.arange(len(classes)), torch.tensor(counts))
    device = next(
        (p.device for network in networks.values() for p in network.parameters()), torch.device("cpu")
    )
    rng = torch.Generator(device=device).manual_seed(seed)
    others = replace(task, given=tuple(field for field in task.given if field.kind != "class"))
    parts: list[Tensor] = []
    done = 0
    with torch.no_grad():
        for chunk in labels.split(batch or family.batch):
            given = {**drawn_fields(others, (len(chunk),), rng), "class": chunk.to(device)}
            images = (sample or family.sample)(networks, given, len(chunk), rng).to("cpu", torch.float32)
            _require_finite(images, chunk, classes)
            parts.append(images.half().float())
            done += len(chunk)
            if progress is not None:
                progress(done, len(labels))
    made = unstacked(task, torch.cat(parts))
    masks = None if task.mask is None else classes_of_mask(made[task.mask.name])
    return LabelledImages(images=made["image"], labels=labels, masks=masks)


def _require_finite(images: Tensor, labels: Tensor, classes: tuple[str, ...]) -> None:
    broken = ~torch.isfinite(images).flatten(1).all(dim=1)
    if broken.any():
        names = ", ".join(sorted({classes[int(label)] for label in labels[broken]}))
        raise DataError(
            f"The model gives pixels that are not numbers (NaN or infinity) in {int(broken.sum())} of "
            f"{len(images)} images of {names}, so its training diverged: train again with a smaller "
            "training.learning_rate."
        )
