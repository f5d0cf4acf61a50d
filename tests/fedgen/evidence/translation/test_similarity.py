"""Similarity by case equals independent readings of its definitions, and orders what is plainly better and worse."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import uniform_filter
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from torch import Tensor

from fedgen.evidence.metrics.diversity import ms_ssim
from fedgen.evidence.translation.similarity import (
    BEST_PSNR,
    MEASURES,
    body_of,
    similarity_by_case,
)

SIZE = 48


def scene(n: int, *, seed: int) -> Tensor:
    """Smooth blobs on a dark background, in [-1, 1]."""
    rng = torch.Generator().manual_seed(seed)
    fine = torch.nn.functional.interpolate(
        torch.rand(n, 1, 6, 6, generator=rng), size=(SIZE, SIZE), mode="bicubic", align_corners=False
    )
    rows, columns = torch.arange(SIZE)[:, None], torch.arange(SIZE)[None]
    inside = (rows - SIZE / 2) ** 2 + (columns - SIZE / 2) ** 2 < (SIZE * 0.4) ** 2
    return torch.where(inside, (fine * 1.6 - 0.6).clamp(-0.9, 0.95), -1.0)


def blurred(images: Tensor) -> Tensor:
    return torch.nn.functional.avg_pool2d(images, 5, stride=1, padding=2, count_include_pad=False)


def by_case(made: Tensor, target: Tensor, patients: list[int]) -> dict[str, np.ndarray]:
    return similarity_by_case(made, target, body_of(target), torch.tensor(patients))


def test_numbers_in_the_body_are_those_of_numpy() -> None:
    target = scene(3, seed=0)
    made = (target + 0.2 * torch.randn(target.shape, generator=torch.Generator().manual_seed(1))).clamp(-1, 1)
    found = by_case(made, target, [4, 4, 9])
    for case, rows in enumerate(([0, 1], [2])):
        x, y = ((each[rows].numpy() + 1) / 2 for each in (made, target))
        inside = target[rows].numpy() > -0.98
        error = (x - y)[inside]
        assert found["MAE"][case] == pytest.approx(np.abs(error).mean(), rel=1e-5)
        assert found["MSE"][case] == pytest.approx((error**2).mean(), rel=1e-5)
        assert found["NMSE"][case] == pytest.approx((error**2).sum() / (y[inside] ** 2).sum(), rel=1e-5)
        assert found["PSNR"][case] == pytest.approx(
            peak_signal_noise_ratio(y[inside], x[inside], data_range=1.0), rel=1e-5
        )


def test_structure_is_that_of_other_libraries() -> None:
    target = scene(2, seed=3)
    made = blurred(target)
    found = by_case(made, target, [0, 1])
    for case in range(2):
        x, y = ((each[case, 0].double().numpy() + 1) / 2 for each in (made, target))
        _, theirs = structural_similarity(
            x, y, data_range=1.0, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, full=True
        )
        # Of the whole image: the two reflect it at its border in different ways.
        assert found["SSIM"][case] == pytest.approx(theirs.mean(), abs=0.01)
        assert found["MS-SSIM"][case] == pytest.approx(float(ms_ssim(made, target)[case]), abs=1e-5)
    assert found["UQI"][0] == pytest.approx(_uqi(made[0, 0], target[0, 0]), abs=0.05)


def _uqi(made: Tensor, target: Tensor) -> float:
    """Wang and Bovik 2002 with a uniform window, over the body: close to that of a Gaussian one."""
    x, y = ((each.double().numpy() + 1) / 2 for each in (made, target))
    mx, my, xx, yy, xy = (uniform_filter(each, 8) for each in (x, y, x * x, y * y, x * y))
    vx, vy, vxy = xx - mx**2, yy - my**2, xy - mx * my
    index = 4 * vxy * mx * my / ((vx + vy) * (mx**2 + my**2) + 1e-12)
    return float(index[target.numpy() > -0.98].mean())


def test_visual_information_is_one_of_itself_and_falls_with_noise_and_blur() -> None:
    target = scene(1, seed=5)
    noise = torch.randn(target.shape, generator=torch.Generator().manual_seed(2))
    values = [
        by_case(made, target, [0])["VIF"][0]
        for made in (target, target + 0.05 * noise, target + 0.2 * noise, blurred(blurred(target)))
    ]
    assert values[0] == pytest.approx(1.0, abs=1e-3)
    assert values[0] > values[1] > values[2]
    assert values[3] < values[0]


@settings(max_examples=3, deadline=None)
@given(st.floats(0.02, 0.2), st.integers(0, 100))
def test_more_noise_is_never_better(strength: float, seed: int) -> None:
    target = scene(2, seed=seed)
    noise = torch.randn(target.shape, generator=torch.Generator().manual_seed(seed))
    little, much = (
        by_case((target + scale * noise).clamp(-1, 1), target, [0, 0]) for scale in (strength, 3 * strength)
    )
    for each in MEASURES:
        better = little[each.name] > much[each.name] if each.higher else little[each.name] < much[each.name]
        assert better.all(), each.name


def test_equal_images_have_the_best_of_everything() -> None:
    target = scene(2, seed=7)
    found = by_case(target.clone(), target, [0, 1])
    best = {"MAE": 0, "PSNR": BEST_PSNR, "MSE": 0, "NMSE": 0, "SSIM": 1, "MS-SSIM": 1, "VIF": 1, "UQI": 1}
    for name, value in best.items():
        assert found[name] == pytest.approx(np.full(2, value), abs=2e-3), name


def test_a_volume_is_its_slices_and_empty_ones_do_not_count() -> None:
    slices = scene(4, seed=1)
    made = blurred(slices)
    flat = by_case(made, slices, [0] * 4)
    nothing = torch.full((1, 1, SIZE, SIZE), -1.0)
    volume, other = (torch.cat([each, nothing]).transpose(0, 1)[None] for each in (slices, made))
    whole = similarity_by_case(other, volume, body_of(volume), torch.zeros(1, dtype=torch.int64))
    for each in MEASURES:
        assert whole[each.name] == pytest.approx(flat[each.name], rel=1e-5), each.name


def test_what_is_too_small_for_a_measure_has_none() -> None:
    target = scene(1, seed=1)[..., 8:40, 8:40]
    found = similarity_by_case(target, target, body_of(target), torch.zeros(1, dtype=torch.int64))
    assert np.isnan(found["VIF"]).all()
    assert np.isfinite(found["SSIM"]).all()


def test_the_body_is_where_the_target_or_a_source_is() -> None:
    target = torch.full((2, 1, 8, 8), -1.0)
    target[0, :, 2:4] = 0.5
    source = torch.full((2, 1, 8, 8), -1.0)
    source[0, :, 6] = 0.1
    absent = torch.zeros(2, 1, 8, 8)
    body = body_of(target, source, absent)
    assert body[0, 0].any(dim=1).nonzero().flatten().tolist() == [2, 3, 6]
    # Nothing is body: then all of it is.
    assert body[1].all()
