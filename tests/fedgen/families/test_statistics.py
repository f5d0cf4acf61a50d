"""What every family's statistics promise: norm 1 at most, absent images are nothing, records are alone."""

from __future__ import annotations

import pytest
import torch

from fedgen.families.contract import Statistic, statistics_of
from fedgen.families.registry import family_class, specs
from fedgen.selftest.tasks import IMAGES
from fedgen.task.records import Records
from fedgen.task.task import image_of_class

SUMMED = [
    pytest.param(name, axes, id=f"{name}-{axes}D")
    for name, spec in specs().items()
    for axes, image in IMAGES.items()
    if spec.sums and spec.supports(image_of_class(image, ("a", "b", "c"))) is None
]


@pytest.fixture(params=[1.0, 100.0], ids=["in range", "far out of it"])
def scale(request: pytest.FixtureRequest) -> float:
    value: float = request.param
    return value


def of(name: str, axes: int) -> tuple[dict[str, torch.nn.Module], tuple[Statistic, ...]]:
    family = family_class(name)(image_of_class(IMAGES[axes], ("a", "b", "c")), specs()[name].small)
    found = statistics_of(family)
    assert len(found) == specs()[name].sums
    return family.networks(), found


def ragged(axes: int, scale: float = 1.0) -> Records:
    """Patients with 3, 1, 2 and 3 images."""
    rng = torch.Generator().manual_seed(3)
    counts = torch.tensor([3, 1, 2, 3])
    present = torch.arange(3)[None] < counts[:, None]
    images = scale * (2 * torch.rand(4, 3, *IMAGES[axes].shape, generator=rng) - 1)
    here = present.reshape(4, 3, *[1] * (images.ndim - 2))
    labels = torch.randint(3, (4, 3), generator=rng) * present
    return Records({"image": images * here, "class": labels}, {"patient": present.float() / counts[:, None]})


def vectors(statistic: Statistic, networks: dict[str, torch.nn.Module], records: Records) -> torch.Tensor:
    draws = statistic.draw(len(records.weights["patient"]), 3, 1, torch.Generator().manual_seed(1))
    found = statistic.vectors(networks, records, draws)
    assert found.shape == (len(records.weights["patient"]), statistic.length)
    return found


@pytest.mark.parametrize(("name", "axes"), SUMMED)
def test_norms_are_at_most_one(name: str, axes: int, scale: float) -> None:
    networks, statistics = of(name, axes)
    for statistic in statistics:
        norms = vectors(statistic, networks, ragged(axes, scale)).norm(dim=1)
        assert float(norms.max()) <= 1 + 1e-6
        assert float(norms.min()) > 0


@pytest.mark.parametrize(("name", "axes"), SUMMED)
def test_absent_images_contribute_exactly_nothing(name: str, axes: int) -> None:
    networks, statistics = of(name, axes)
    records = ragged(axes)
    absent, images = records.weights["patient"] == 0, records.fields["image"]
    noisy = records._replace(
        fields={
            "image": torch.where(
                absent.reshape(4, 3, *[1] * (images.ndim - 2)), torch.randn(images.shape), images
            ),
            "class": torch.where(absent, 2, records.fields["class"]),
        }
    )
    for statistic in statistics:
        assert torch.equal(vectors(statistic, networks, records), vectors(statistic, networks, noisy))


@pytest.mark.parametrize(("name", "axes"), SUMMED)
def test_a_record_does_not_depend_on_the_others(name: str, axes: int) -> None:
    networks, statistics = of(name, axes)
    records, others = ragged(axes), ragged(axes)
    others.fields["image"][1:] *= -1
    for statistic in statistics:
        together, apart = vectors(statistic, networks, records), vectors(statistic, networks, others)
        torch.testing.assert_close(apart[0], together[0])
        assert not torch.allclose(apart[1:], together[1:])
