"""Consistency distillation: against a flow whose ends are known, and a student that draws in one step."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from fedgen.families.contract import objectives_of
from fedgen.families.distilled.consistency import agreed, consistency_sampler, path_end
from fedgen.families.distilled.family import DistilledFamily
from fedgen.families.distilled.halving import heun_step, levels
from fedgen.families.distilled.options import SPEC
from fedgen.families.parts.denoising.edm import Denoiser, precondition
from fedgen.families.parts.denoising.samplers import heun_sampler
from fedgen.families.parts.denoising.solver import solved
from fedgen.task.image_spec import ImageSpec
from fedgen.task.records import one_image_each
from fedgen.task.task import image_of_class

MEAN, STD, SIGMA_DATA = 0.3, 0.4, 0.5
GRID = levels(16, 0.002, 80.0, 7.0)


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def shaped(sigma: Tensor, x: Tensor) -> Tensor:
    return sigma.reshape(-1, *[1] * (x.ndim - 1))


def teacher(x: Tensor, sigma: Tensor) -> Tensor:
    """E[y | x] for y ~ N(MEAN, STD^2)."""
    s2 = shaped(sigma, x).square()
    return (STD**2 * x + s2 * MEAN) / (STD**2 + s2)


def flow_end(x: Tensor, sigma: Tensor) -> Tensor:
    """Where the flow of that distribution leads from x, in closed form."""
    return MEAN + STD / (STD**2 + shaped(sigma, x).square()).sqrt() * (x - MEAN)


def noisy(n: int, i: Tensor, grid: Tensor = GRID) -> Tensor:
    y = MEAN + STD * torch.randn(n, 2, generator=rng(1), dtype=torch.float64)
    return y + shaped(grid[i], y) * torch.randn(n, 2, generator=rng(2), dtype=torch.float64)


def test_an_image_without_noise_stays_what_it_is_and_no_network_is_asked_of_it() -> None:
    x, sigma = noisy(4, torch.zeros(4, dtype=torch.long)), torch.tensor([0.0, 1.0, 0.0, 2.0]).double()
    asked: list[Tensor] = []

    def f(x: Tensor, sigma: Tensor) -> Tensor:
        asked.append(sigma)
        return flow_end(x, sigma)

    found = path_end(f, x, sigma)
    assert torch.equal(found[::2], x[::2])
    assert torch.equal(found[1::2], flow_end(x, sigma)[1::2])
    assert (asked[0] > 0).all()


def test_the_true_ends_are_what_is_agreed_on() -> None:
    grid = levels(400, 0.002, 80.0, 7.0)
    i = torch.arange(400)
    x = noisy(400, i, grid)
    found = agreed(heun_step, teacher, flow_end, x, grid, i)
    assert torch.allclose(found, flow_end(x, grid[i]), atol=2e-3)
    # which a denoiser is not
    assert (found - teacher(x, grid[i])).abs().max() > 0.5


def test_perfect_students_one_step_is_the_teachers_whole_way() -> None:
    def perfect(number: int) -> Denoiser:
        """Agrees at this level with one that is perfect at the next; after the last nobody is asked."""
        follower = perfect(number + 1) if number < 15 else teacher
        return lambda x, sigma: agreed(heun_step, teacher, follower, x, GRID, torch.full((len(x),), number))

    noise = torch.randn(200, 2, generator=rng(), dtype=torch.float64)
    found = consistency_sampler(perfect(0), noise, levels(1, 0.002, 80.0, 7.0), lambda: noise)
    assert torch.allclose(found, heun_sampler(teacher, noise, GRID), atol=1e-9)
    assert torch.allclose(found, flow_end(80 * noise, torch.full((200,), 80.0).double()), atol=0.1)


def test_more_steps_begin_on_the_paths_of_what_was_made_and_keep_the_distribution() -> None:
    noise, calls = torch.randn(20000, 1, generator=rng(), dtype=torch.float64), []
    draws = rng(4)

    def fresh() -> Tensor:
        calls.append(1)
        return torch.randn(20000, 1, generator=draws, dtype=torch.float64)

    made = consistency_sampler(flow_end, noise, levels(4, 0.002, 80.0, 7.0), fresh)
    assert len(calls) == 3
    assert made.mean().item() == pytest.approx(MEAN, abs=0.02)
    assert made.std().item() == pytest.approx(STD, abs=0.02)
    # Another image than one step makes of the noise.
    assert (made - flow_end(80 * noise, torch.full((20000,), 80.0).double())).abs().mean() > 0.1


class AffineUNet(nn.Module):
    """F = gain x + offset at each of the grid's levels: all that a distribution of one Gaussian asks for."""

    def __init__(self) -> None:
        super().__init__()
        sigma = GRID[:-1]
        c = precondition(sigma, SIGMA_DATA)
        zero, one = (teacher(torch.full((16, 1), v).double() / c.c_in[:, None], sigma)[:, 0] for v in (0, 1))
        ends = [(D - c.c_skip * v / c.c_in) / c.c_out for v, D in enumerate((zero, one))]
        self.levels: Tensor
        self.register_buffer("levels", c.c_noise.float())
        self.offset = nn.Parameter(ends[0].float())
        self.gain = nn.Parameter((ends[1] - ends[0]).float())

    def forward(self, x: Tensor, c_noise: Tensor, y: Tensor, seen: Tensor | None = None) -> Tensor:
        which = (self.levels - c_noise[:, None]).abs().argmin(dim=1)
        return shaped(self.gain[which], x) * x + shaped(self.offset[which], x)


def small(**options) -> DistilledFamily:
    task = image_of_class(ImageSpec(channels=1, size=(16, 16)), ("dark", "bright"))
    return DistilledFamily(task, SPEC.small.model_copy(update={"way": "consistency", **options}))


def test_a_student_of_one_gaussian_learns_where_its_flow_ends() -> None:
    family = small(
        student_steps=1,
        consistency_levels=16,
        distillation_steps=600,
        distillation_batch=32,
        distillation_rate=2e-2,
        own_samples=64,
        sampler_steps=12,
    )
    network = AffineUNet()
    given, n = {"class": torch.arange(8) % 2}, 8
    x = 80 * torch.randn(n, 1, 16, 16, generator=rng(3))
    sigma = torch.full((n,), 80.0)
    y = torch.nn.functional.one_hot(given["class"], 2).float()
    with torch.no_grad():
        before = family.guided(network, y, 0.0)(x, sigma)
        assert torch.allclose(before, teacher(x, sigma), atol=1e-3)
    student = family.finished({"unet": network}, rng(1))["unet"]
    with torch.no_grad():
        after = family.guided(student, y, 0.0)(x, sigma)
    wanted = flow_end(x, sigma)
    assert (before - wanted).square().mean().sqrt() > 0.3
    assert (after - wanted).square().mean().sqrt() < 0.05


@pytest.mark.parametrize("options", [{}, {"guidance": 1.0, "label_dropout": 0.1}, {"parametrization": "v"}])
def test_a_student_takes_the_place_of_the_unet(options) -> None:
    if "parametrization" in options:
        options = {**options, "linear_denoisers": False}
    family = small(**options)
    networks = family.networks()

    def state(of) -> Tensor:
        return torch.cat([p.detach().flatten() for p in of["unet"].parameters()])

    before, global_state = state(networks), torch.get_rng_state()
    first = family.finished(dict(networks), rng(1))
    assert torch.equal(torch.get_rng_state(), global_state)
    assert not torch.equal(state(first), before)
    assert state(first).isfinite().all()
    assert torch.equal(state(networks), before)
    assert all(p.requires_grad for p in first["unet"].parameters())
    assert torch.equal(state(family.finished(dict(networks), rng(1))), state(first))


@pytest.mark.parametrize("steps", [1, 2])
def test_an_image_costs_a_call_a_step_and_is_its_own_however_many_are_drawn(steps: int) -> None:
    family, calls = small(student_steps=steps), []
    networks = family.networks()
    networks["unet"].register_forward_hook(lambda *_: calls.append(1))
    one = family.sample(networks, {"class": torch.tensor([0, 1])}, 2, rng())
    assert len(calls) == steps
    assert torch.equal(family.sample(networks, {"class": torch.tensor([0, 1])}, 2, rng()), one)
    assert not torch.equal(family.sample(networks, {"class": torch.tensor([0, 1])}, 2, rng(1)), one)


@pytest.mark.slow
@pytest.mark.parametrize("steps", [1, 2])
def test_images_of_one_or_two_steps_are_of_their_class_and_nearer_to_the_flow(steps: int) -> None:
    """Images of a class are dark or bright, which a teacher learns that takes many steps."""
    family = small(
        channels=(8, 8),
        student_steps=steps,
        consistency_levels=16,
        distillation_steps=300,
        distillation_batch=16,
        own_samples=64,
        sampler_steps=12,
    )
    torch.manual_seed(0)
    networks = family.networks()
    (objective,) = objectives_of(family)
    optimizer = torch.optim.Adam(networks["unet"].parameters(), lr=3e-3)
    draws = rng()
    for _ in range(150):
        labels = torch.randint(2, (8,), generator=draws)
        slope = torch.linspace(-0.3, 0.3, 16) * torch.randn(8, 1, generator=draws)
        images = ((labels - 0.5)[:, None, None] + slope[:, :, None])[:, None]
        records = one_image_each({"image": images.expand(-1, 1, -1, 16).clamp(-1, 1), "class": labels})
        loss = objective.loss(networks, records, objective.draw(8, 1, 1, draws)).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    given, n = {"class": torch.arange(32) % 2}, 32
    before = family.sample(networks, given, n, rng(3))
    student = family.finished(dict(networks), rng(1))
    after = family.sample(student, given, n, rng(3))
    assert (after[1::2].mean() - after[::2].mean()).item() == pytest.approx(1.0, abs=0.2)
    # In one step the teacher knows the mean of a class; the student knows images, which differ.
    noise = torch.randn(n, 1, 16, 16, generator=rng(3))
    heun = family.options.model_copy(update={"sampler": "heun", "sampler_steps": 30})
    with torch.no_grad():
        D = family.guided(networks["unet"], torch.nn.functional.one_hot(given["class"], 2).float(), 0.0)
        flow = solved(D, noise, lambda: noise, heun).clamp(-1, 1)
    spread = [made[1::2].std(dim=0).mean().item() for made in (before, after, flow)]
    far, near = ((made - flow).square().mean().sqrt().item() for made in (before, after))
    assert spread[1] == pytest.approx(spread[2], rel=0.45)
    # A second step begins on another path.
    if steps == 1:
        assert spread[1] > 1.3 * spread[0]
        assert near < 0.85 * far
