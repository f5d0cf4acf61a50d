"""FID and KID against independent references, their order under damage, and the real-versus-real floor."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from scipy.ndimage import gaussian_filter
from torch import Tensor

from fedgen.data.site_data import LabelledImages, Part, SiteData
from fedgen.evidence.metrics.beside_floor import Distance, measure_distances
from fedgen.evidence.metrics.matched import MatchedSets, choose_reference
from fedgen.evidence.pooled import PooledImages, pool
from fedgen.extractors.contract import Extractor
from fedgen.extractors.registry import build_extractor

MakeImages = Callable[..., Tensor]


def cohort(images: Tensor, each: int = 2) -> PooledImages:
    n = len(images)
    zeros = torch.zeros(n, dtype=torch.int64)
    return PooledImages(images, zeros, torch.arange(n) // each, zeros)


def measure(real: Tensor, synthetic: Tensor, name: str = "random_conv") -> tuple[Distance, Distance]:
    return measure_distances(
        build_extractor(name, real.shape[1]), MatchedSets(cohort(real), synthetic, "Note."), seed=3
    )


@pytest.mark.parametrize("name", ["radiomics", "random_conv"])
@pytest.mark.parametrize("damage", ["noise", "blur"])
def test_distances_grow_with_damage(name: str, damage: str, make_images: MakeImages) -> None:
    labels = torch.arange(48) % 2
    real, good = make_images(labels, seed=1), make_images(labels, seed=2)

    def damaged(level: float) -> Tensor:
        if damage == "noise":
            return (
                good + level * 0.2 * torch.randn(good.shape, generator=torch.Generator().manual_seed(0))
            ).clamp(-1, 1)
        return torch.from_numpy(gaussian_filter(good.numpy(), sigma=(0, 0, level, level)))

    rows = [measure(real, damaged(level), name) for level in (0.0, 1.0, 2.0)]
    for metric in (0, 1):
        values = [row[metric].value for row in rows]
        assert None not in values and values == sorted(values)
        assert values[-1] > 2 * rows[0][metric].floor


def test_a_perfect_generator_is_at_the_floor(make_images: MakeImages) -> None:
    labels = torch.arange(80) % 2
    fid, kid = measure(make_images(labels, seed=1), make_images(labels, seed=2), "radiomics")
    assert None not in (fid.value, fid.std, fid.floor, fid.floor_std)
    # Equal sizes on both sides: the value may differ from the floor by the spread of both, not by a bias.
    assert abs(fid.value - fid.floor) < 3 * (fid.std + fid.floor_std)
    assert (fid.n_real, fid.n_synthetic) == (kid.n_real, kid.n_synthetic) == (40, 40)
    assert "Ill-conditioned" in fid.note and "Ill-conditioned" not in kid.note


class Silent(Extractor):
    """Three features of which the last is silent in all real images but one, and awake in every tenth other."""

    name = "silent"
    one_unit = True
    num_features = 3
    hash = "0"

    def forward(self, images: Tensor) -> Tensor:
        x = images.flatten(1)
        awake = x[:, 0] == 1
        return torch.stack([x.mean(1), x.std(1), awake * 0.001], dim=1)


def test_a_feature_that_is_nearly_silent_does_not_decide() -> None:
    rng = torch.Generator().manual_seed(0)
    real, other = (
        torch.rand(2, 80, 1, 16, 16, generator=rng) * torch.rand(2, 80, 1, 1, 1, generator=rng)
    ).unbind()
    real[0, 0, 0, 0] = 1
    other[::10, 0, 0, 0] = 1
    fid, kid = measure_distances(Silent(1), MatchedSets(cohort(real), other, "Note."), seed=3)
    assert (fid.dimensions, fid.dropped) == (kid.dimensions, kid.dropped) == (2, 1)
    assert not fid.beyond and fid.value < 1


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("name", ["radiomics", "random_conv"])
def test_real_training_images_are_within_twice_the_floor(
    name: str, seed: int, make_site: Callable[..., SiteData]
) -> None:
    site = make_site(patients=96, seed=seed)
    train = pool([site], (Part.TRAIN,))
    made = LabelledImages(train.images, train.labels)
    reference = choose_reference([site], made, site.classes, seed=seed)
    for distance in measure_distances(build_extractor(name, 1), reference, seed=seed):
        assert distance.dropped > 0 or name == "radiomics"
        assert distance.value < 2 * distance.floor


@pytest.mark.parametrize(
    ("real", "synthetic", "each", "reason"),
    [(6, 30, 2, "needs 16"), (30, 3, 2, "needs 16"), (30, 30, 30, "two patients"), (0, 0, 1, "needs 16")],
)
def test_too_few_images_give_null_and_a_reason(real: int, synthetic: int, each: int, reason: str) -> None:
    reference = MatchedSets(
        cohort(torch.rand(real, 1, 16, 16), each), torch.rand(synthetic, 1, 16, 16), "Note."
    )
    for row in measure_distances(build_extractor("random_conv", 1), reference, seed=0):
        assert (row.value, row.std, row.floor, row.floor_std) == (None,) * 4
        assert row.note.startswith("Not computed") and reason in row.note


def test_constant_real_images_give_null_and_a_reason() -> None:
    rows = measure(torch.zeros(20, 1, 16, 16), torch.rand(20, 1, 16, 16))
    assert [row.value for row in rows] == [None, None] and "constant" in rows[0].note
