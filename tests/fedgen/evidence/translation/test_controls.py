"""The controls of a translation do what they say, and do it as well as anything of their kind can."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fedgen.evidence.translation.controls import LinearMap, along_channels, mean_target, own_slice


def test_the_linear_map_is_least_squares_over_the_body() -> None:
    rng = torch.Generator().manual_seed(0)
    sources = torch.rand(4, 2, 16, 16, generator=rng) * 1.5 - 0.7
    sources[:, :, :4] = -1
    target = (0.5 * sources[:, :1] - 0.3 * sources[:, 1:] + 0.1).clamp(-1, 1)
    target = target + 0.05 * torch.randn(target.shape, generator=rng)
    fitted = LinearMap.fit(sources, target)
    x = np.concatenate(
        [sources[:, :, 4:].movedim(1, -1).reshape(-1, 2).numpy(), np.ones((4 * 12 * 16, 1))], axis=1
    )
    weights, *_ = np.linalg.lstsq(x, target[:, :, 4:].movedim(1, -1).reshape(-1, 1).numpy(), rcond=None)
    made = fitted(sources)
    assert made[:, :, 4:].movedim(1, -1).reshape(-1, 1).numpy() == pytest.approx(
        (x @ weights).clip(-1, 1), abs=1e-3
    )
    # Background stays background.
    assert bool((made[:, :, :4] == -1).all())


def test_an_exact_linear_map_is_found() -> None:
    sources = torch.rand(3, 1, 8, 8, 8, generator=torch.Generator().manual_seed(1)) - 0.5
    target = 0.5 - sources
    assert LinearMap.fit(sources, target)(sources) == pytest.approx(target.clamp(-1, 1), abs=1e-3)


def test_without_training_patients_the_controls_are_background_or_nothing() -> None:
    none = torch.empty(0, 1, 8, 8)
    assert mean_target(none, 2).tolist() == torch.full((2, 1, 8, 8), -1.0).tolist()
    assert LinearMap.fit(none, none)(torch.zeros(1, 1, 8, 8)).abs().max() == 0


def test_the_mean_target_is_the_mean() -> None:
    targets = torch.rand(5, 1, 8, 8)
    assert mean_target(targets, 3)[2] == pytest.approx(targets.mean(dim=0))


def test_of_a_slice_with_neighbours_the_middle_is_its_own() -> None:
    image = torch.arange(5.0).reshape(1, 5, 1, 1)
    assert own_slice(image, 1).tolist() == [[[[2.0]]]]
    assert along_channels([image, image]).shape == (1, 10, 1, 1)
