"""Progressive distillation: its steps against flows that are known, and the student in the family's place."""

from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fedgen.families.contract import objectives_of
from fedgen.families.distilled.family import DistilledFamily
from fedgen.families.distilled.halving import ddim_step, heun_step, levels, student_target, target
from fedgen.families.distilled.options import SPEC, DistilledOptions
from fedgen.families.parts.denoising.edm import Denoiser
from fedgen.families.parts.denoising.samplers import ddim_sampler, heun_sampler
from fedgen.families.parts.denoising.solver import solved
from fedgen.task.image_spec import ImageSpec
from fedgen.task.records import one_image_each
from fedgen.task.task import image_of_class

MEAN, STD = torch.tensor([0.3, -0.7], dtype=torch.float64), 0.5


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def gaussian(x: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
    """E[y | x] for y ~ N(MEAN, STD^2)."""
    s2 = sigma.square()[:, None]
    return (STD**2 * x + s2 * MEAN) / (STD**2 + s2)


def perfect_student(step, teacher: Denoiser, grid: torch.Tensor) -> Denoiser:
    """Says at each level of its own grid exactly what it should have learned."""

    def student(x: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
        number = int((grid[::2] - sigma[0]).abs().argmin())
        return student_target(step, teacher, x, grid, torch.full((len(x),), number))

    return student


def test_half_as_many_steps_meet_every_second_level() -> None:
    fine, coarse = levels(16, 0.002, 80.0, 7.0), levels(8, 0.002, 80.0, 7.0)
    assert torch.equal(fine[::2], coarse)
    assert fine[0].item() == pytest.approx(80)
    assert fine[-1].item() == 0
    assert (fine.diff() < 0).all()


@given(s=st.floats(0.01, 80), share=st.floats(0, 0.99), x=st.floats(-3, 3), there=st.floats(-3, 3))
def test_one_step_with_the_target_leads_there(s: float, share: float, x: float, there: float) -> None:
    row = [torch.tensor([v], dtype=torch.float64) for v in (s, share * s)]
    x_, there_ = (torch.full((1, 1), v, dtype=torch.float64) for v in (x, there))
    wanted = target(x_, *row, there_)
    assert ddim_step(lambda x, s: wanted, x_, *row).item() == pytest.approx(there, abs=1e-9)


def test_steps_are_those_of_the_samplers() -> None:
    noise, t = torch.randn(50, 2, generator=rng(), dtype=torch.float64), levels(6, 0.002, 80.0, 7.0)
    for step, whole in ((heun_step, heun_sampler(gaussian, noise, t)), (ddim_step, None)):
        expected = ddim_sampler(gaussian, noise, t, 0.0, lambda: noise) if whole is None else whole
        x = noise * t[0]
        for a, b in itertools.pairwise(t):
            x = step(gaussian, x, a.expand(50), b.expand(50))
        assert torch.allclose(x, expected, atol=1e-9)


def test_rows_of_a_step_may_end_at_different_levels() -> None:
    x = torch.randn(2, 2, generator=rng(), dtype=torch.float64)
    s, t = torch.tensor([2.0, 1.0], dtype=torch.float64), torch.tensor([1.0, 0.0], dtype=torch.float64)
    both = heun_step(gaussian, x, s, t)
    for row in range(2):
        alone = heun_step(gaussian, x[row : row + 1], s[row : row + 1], t[row : row + 1])
        assert torch.allclose(both[row : row + 1], alone)


def test_perfect_students_draw_what_the_teacher_draws() -> None:
    """Sixteen steps of Heun's method, halved three times: two calls, and the same images."""
    noise, grid = torch.randn(100, 2, generator=rng(), dtype=torch.float64), levels(16, 0.002, 80.0, 7.0)
    expected, denoiser, step = heun_sampler(gaussian, noise, grid), gaussian, heun_step
    while len(grid) > 3:
        denoiser, step, grid = perfect_student(step, denoiser, grid), ddim_step, grid[::2]
        found = ddim_sampler(denoiser, noise, grid, 0.0, lambda: noise)
        assert torch.allclose(found, expected, atol=1e-6)
    # which two steps of the teacher itself are far from
    assert (ddim_sampler(gaussian, noise, grid, 0.0, lambda: noise) - expected).abs().mean() > 0.05


def small(**options) -> DistilledFamily:
    task = image_of_class(ImageSpec(channels=1, size=(16, 16)), ("dark", "bright"))
    return DistilledFamily(task, SPEC.small.model_copy(update=options))


def state(networks) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in networks["unet"].parameters()])


@pytest.mark.parametrize("options", [{}, {"guidance": 1.0, "label_dropout": 0.1}, {"sampler": "churn"}])
def test_a_student_takes_the_place_of_the_unet(options) -> None:
    family = small(distillation_steps=1, distillation_batch=2, own_samples=2, **options)
    networks = family.networks()
    before, global_state = state(networks), torch.get_rng_state()
    first = family.finished(dict(networks), rng(1))
    assert first.keys() == networks.keys()
    assert torch.equal(torch.get_rng_state(), global_state)
    assert not torch.equal(state(first), before)
    assert all(p.requires_grad for p in first["unet"].parameters())
    assert not first["unet"].training
    again = family.finished(dict(networks), rng(1))
    assert torch.equal(state(again), state(first))
    assert not torch.equal(state(family.finished(dict(networks), rng(2))), state(first))


def test_who_waits_for_the_student_is_told_how_much_is_done() -> None:
    family, told = small(distillation_steps=3, distillation_batch=2, own_samples=5, halvings=2), []
    family.finished(family.networks(), rng(1), lambda *parts: told.append(parts))
    assert told[0] == (0, 11) and told[-1] == (11, 11)
    assert sorted(told) == told


@pytest.mark.parametrize("steps", [1, 2, 4])
def test_an_image_costs_one_call_a_step_guided_or_not(steps: int) -> None:
    family = small(student_steps=steps, guidance=2.0, label_dropout=0.1)
    networks, calls = family.networks(), []
    networks["unet"].register_forward_hook(lambda *_: calls.append(1))
    family.sample(networks, {"class": torch.tensor([0, 1])}, 2, rng())
    assert len(calls) == steps


def test_twice_as_many_student_steps_are_refused() -> None:
    with pytest.raises(ValueError, match="student_steps"):
        DistilledOptions(student_steps=3)


@pytest.mark.slow
def test_a_student_draws_what_its_teacher_draws_in_fewer_steps() -> None:
    """Images of a class are dark or bright: the teacher learns that, and the student keeps it, near to the flow."""
    family = small(
        channels=(8, 8),
        student_steps=2,
        halvings=2,
        distillation_steps=150,
        distillation_batch=16,
        own_samples=64,
    )
    torch.manual_seed(0)
    networks = family.networks()
    (objective,) = objectives_of(family)
    optimizer = torch.optim.Adam(networks["unet"].parameters(), lr=3e-3)
    draws, losses = rng(), []
    for _ in range(150):
        labels = torch.randint(2, (8,), generator=draws)
        slope = torch.linspace(-0.3, 0.3, 16) * torch.randn(8, 1, generator=draws)
        images = (
            ((labels - 0.5)[:, None, None] + slope[:, :, None])[:, None].expand(-1, 1, -1, 16).clamp(-1, 1)
        )
        records = one_image_each({"image": images, "class": labels})
        loss = objective.loss(networks, records, objective.draw(8, 1, 1, draws)).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert sum(losses[-20:]) < 0.5 * sum(losses[:20])

    given, n = {"class": torch.arange(32) % 2}, 32
    noise = torch.randn(n, 1, 16, 16, generator=rng(3))
    with torch.no_grad():
        D = family.guided(networks["unet"], torch.nn.functional.one_hot(given["class"], 2).float(), 0.0)
        flow = solved(
            D,
            noise,
            lambda: noise,
            family.options.model_copy(update={"sampler": "heun", "sampler_steps": 30}),
        )
    before = family.sample(networks, given, n, rng(3))
    after = family.sample(family.finished(dict(networks), rng(1)), given, n, rng(3))
    bright = after[1::2].mean() - after[::2].mean()
    assert bright.item() == pytest.approx(1.0, abs=0.2)
    far, near = ((made - flow.clamp(-1, 1)).square().mean().sqrt().item() for made in (before, after))
    assert near < 0.6 * far
