from collections.abc import Mapping

import pytest
import torch
from torch import Tensor, nn

from fedgen.errors import DataError
from fedgen.families.contract import Contribution, Family
from fedgen.study.training import SynthesisSection
from fedgen.synthesis.synthesize import synthesize
from fedgen.task.image_spec import ImageSpec
from fedgen.task.records import Records
from fedgen.task.task import image_of_class

CLASSES = ("none", "lesion")


class Noise(Family):
    """A family whose images are noise around their label; with `broken`, one class is NaN."""

    def __init__(self, broken: int | None = None) -> None:
        self.broken = broken

    def networks(self) -> dict[str, nn.Module]:
        return {"decoder": nn.Linear(1, 1)}

    def contributions(self) -> tuple[Contribution, ...]:
        return ()

    def sample(
        self, networks: Mapping[str, nn.Module], given: Mapping[str, Tensor], n: int, rng: torch.Generator
    ) -> Tensor:
        labels = given["class"]
        images = torch.rand(n, 1, 16, 24, generator=rng) * 0.4 + labels.view(-1, 1, 1, 1) * 0.5
        if self.broken is not None:
            images[labels == self.broken, 0, 3, 4] = torch.nan
        return images

    def score(self, networks: Mapping[str, nn.Module], records: Records, rng: torch.Generator) -> Tensor:
        return torch.zeros(len(records.weights["patient"]))


def _run(seed: int = 3, broken: int | None = None) -> tuple[Tensor, Tensor, list[tuple[int, int]]]:
    family = Noise(broken)
    calls: list[tuple[int, int]] = []
    section = SynthesisSection(images=11, balance={"none": 0.25, "lesion": 0.75})
    made = synthesize(
        family,
        family.networks(),
        section,
        CLASSES,
        image_of_class(ImageSpec(channels=1, size=(16, 24)), CLASSES),
        seed=seed,
        batch=4,
        progress=lambda done, total: calls.append((done, total)),
    )
    return made.images, made.labels, calls


def test_the_set_has_the_shape_the_labels_and_the_progress_that_were_asked_for() -> None:
    images, labels, calls = _run()
    assert images.shape == (11, 1, 16, 24)
    assert images.dtype == torch.float32
    assert labels.tolist() == [0] * 3 + [1] * 8
    assert (images[labels == 1].mean() - images[labels == 0].mean()).item() == pytest.approx(0.5, abs=0.03)
    assert calls == [(4, 11), (8, 11), (11, 11)]


def test_the_seed_decides_every_pixel() -> None:
    torch.manual_seed(1)
    first = _run(seed=5)[0]
    torch.manual_seed(2)
    assert torch.equal(first, _run(seed=5)[0])
    assert not torch.equal(first, _run(seed=6)[0])


def test_images_are_already_what_float16_can_hold() -> None:
    images = _run()[0]
    assert torch.equal(images, images.half().float())


def test_a_model_that_diverged_is_one_sentence_with_the_class() -> None:
    with pytest.raises(DataError, match=r"NaN or infinity\) in 1 of 4 images of lesion.*learning_rate\.$"):
        _run(broken=1)
