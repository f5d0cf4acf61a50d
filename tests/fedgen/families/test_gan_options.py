"""Every option of the GAN: exact gradients a record by both backends, and what each option promises by itself."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from fedgen.families.contract import PROGRESS, objectives_of
from fedgen.families.gan.augmentation import pull, within
from fedgen.families.gan.auxiliary import guess_loss
from fedgen.families.gan.family import GANFamily
from fedgen.families.gan.growing import as_grown, shares, stage
from fedgen.families.gan.networks import numbers_of
from fedgen.families.gan.options import SPEC, GANOptions
from fedgen.families.parts.adversarial import ADVERSARIAL, gradient_penalty
from fedgen.families.parts.attention import attended
from fedgen.families.parts.augment import KINDS, MOST, augmented, numbers
from fedgen.families.parts.conditioning import condition_of
from fedgen.selftest.tasks import IMAGES
from fedgen.task.records import Records, one_image_each
from fedgen.task.task import Field, Task, image_of
from fedgen.training.functional import trainable
from fedgen_privacy.gradients.tree import tree_map

OPTIONS: dict[str, dict[str, Any]] = {
    "least squares, acgan": {"loss": "least_squares", "conditioning": "acgan"},
    "hinge, projection, attention": {
        "loss": "hinge",
        "conditioning": "projection",
        "self_attention": True,
    },
    "wasserstein, style with noise, growing": {
        "loss": "wasserstein",
        "style": True,
        "level_noise": True,
        "progressive": 0.8,
    },
    "penalty, acgan, attention, augmentation": {
        "gradient_penalty": 1.0,
        "conditioning": "acgan",
        "self_attention": True,
        "augmentation": 0.6,
    },
    "growing, augmentation that adapts": {
        "progressive": 0.5,
        "augmentation": 0.3,
        "augmentation_target": 0.6,
        "style": True,
    },
}
GIVEN = (
    Field("class", "class", classes=("a", "b", "c")),
    Field("covariates", "covariates", parts=(1, 2)),
    Field("embedding", "embedding", parts=(3,)),
)


def small(**asked: Any) -> GANOptions:
    return GANOptions(**{**SPEC.small.model_dump(), **asked})


def family_of(axes: int, *given: Field, **asked: Any) -> GANFamily:
    return GANFamily(image_of(IMAGES[axes], *given), small(**asked))


def records_for(task: Task, B: int = 3, M: int = 2) -> Records:
    """Patients with 2, 1 and 2 images, float64."""
    rng = torch.Generator().manual_seed(5)
    present = torch.tensor([[1, 1], [1, 0], [1, 1]], dtype=torch.float64)[:B, :M]
    fields: dict[str, Tensor] = {
        "image": torch.rand(B, M, *task.stack.shape, generator=rng, dtype=torch.float64) * 2 - 1
    }
    for field in task.conditions:
        if field.kind == "class":
            fields[field.name] = torch.randint(len(field.classes), (B, M), generator=rng)
        elif field.kind == "covariates":
            kind = torch.nn.functional.one_hot(torch.randint(2, (B, M), generator=rng), 2)
            fields[field.name] = torch.cat([torch.rand(B, M, 1, generator=rng), kind], dim=2).double()
        else:
            fields[field.name] = torch.randn(B, M, 3, generator=rng).double()
    return Records(fields, {"patient": present / present.sum(dim=1, keepdim=True)})


def draws_for(objective: Any, B: int = 3, M: int = 2, K: int = 2) -> Any:
    """Of a step in which the last doubling is half done."""
    drawn = objective.draw(B, M, K, torch.Generator().manual_seed(7))
    drawn = {name: d.double() if d.is_floating_point() else d for name, d in drawn.items()}
    progress = 0.875 * (objective.options.progressive or 1.0)
    return {**drawn, PROGRESS: torch.full((B,), progress).double()}


@pytest.mark.parametrize("axes", [2, 3])
@pytest.mark.parametrize("name", OPTIONS)
def test_gradients_of_a_record_equal_a_loop_by_every_backend(name, axes, perturbed, looped) -> None:
    family = family_of(axes, *GIVEN, **OPTIONS[name])
    networks = perturbed(family, torch.float64)
    objective = objectives_of(family)[0]
    assert objective.touches_data
    records, draws = records_for(family.task), draws_for(objective)

    def alone(b: int) -> tuple[Records, dict[str, Tensor]]:
        # What is absent is cut away, so that it cannot have counted.
        M = int((records.weights["patient"][b] > 0).sum())
        one, drawn = tree_map(lambda t: t[b : b + 1], (records, draws))
        return tree_map(lambda t: t[:, :M], one), {
            n: d if n == PROGRESS else d[:, :M] for n, d in drawn.items()
        }

    for vector in looped(objective, networks, (records, draws), alone):
        # Only the inlet whose time is over has no gradient.
        assert (vector != 0).double().mean() > (0.75 if objective.paced else 0.9)


@pytest.mark.parametrize("axes", [2, 3])
@pytest.mark.parametrize("name", OPTIONS)
def test_the_generator_learns_with_every_option(name, axes, perturbed) -> None:
    family = family_of(axes, *GIVEN, **OPTIONS[name])
    networks = perturbed(family)
    objective = objectives_of(family)[1]
    draws = {n: d.float() if d.is_floating_point() else d for n, d in draws_for(objective).items()}
    loss = objective.loss(networks, None, draws)
    assert loss.shape == (3,)
    params = list(trainable(objective, networks).values())
    gradients = torch.autograd.grad(loss.mean(), params)
    alive = torch.cat([(g != 0).flatten() for g in gradients])
    assert alive.float().mean() > 0.9
    given = condition_fields(family.task, 4)
    images = family.sample(networks, given, 4, torch.Generator().manual_seed(0))
    assert images.shape == (4, *family.task.stack.shape)
    assert not torch.allclose(images[0], images[1])


def condition_fields(task: Task, n: int) -> dict[str, Tensor]:
    fields = records_for(task, 1, 1).fields
    return {field.name: fields[field.name][0].expand(n, *fields[field.name].shape[2:]) for field in GIVEN}


def spots(n: int, rng: torch.Generator) -> dict[str, Tensor]:
    """Images with a bright spot at the left or at the right, by their class, somewhere along the height."""
    side, u = torch.randint(2, (n,), generator=rng), torch.linspace(-1, 1, 16)
    x = torch.where(side == 0, -0.5, 0.5) + 0.1 * torch.randn(n, generator=rng)
    y = 0.3 * torch.randn(n, generator=rng)
    distance = (u[None, None, :] - x[:, None, None]) ** 2 + (u[None, :, None] - y[:, None, None]) ** 2
    return {"image": 2 * torch.exp(-distance / 0.12)[:, None] - 1, "class": side}


TOYS: dict[str, dict[str, Any]] = {
    "as it is": {},
    "least squares, acgan": {"loss": "least_squares", "conditioning": "acgan"},
    "hinge, projection, attention": {
        "loss": "hinge",
        "conditioning": "projection",
        "self_attention": True,
    },
    "wasserstein": {"loss": "wasserstein"},
    "style": {"style": True},
    "style with noise": {"style": True, "level_noise": True},
    "growing": {"progressive": 0.6},
    "augmentation": {"augmentation": 0.4},
}


@pytest.mark.slow
@pytest.mark.parametrize("name", TOYS)
def test_a_spot_is_where_its_class_says(name) -> None:
    torch.manual_seed(0)
    rng = torch.Generator().manual_seed(0)
    task = image_of(IMAGES[2], Field("class", "class", classes=("left", "right")))
    options = GANOptions(
        generator_channels=(16, 16, 8),
        discriminator_channels=(8, 16, 16),
        latent_size=8,
        learning_rate=2e-3,
        **TOYS[name],
    )
    family, steps = GANFamily(task, options), 300
    networks = family.networks()
    optimizers = {
        o.name: torch.optim.Adam(
            trainable(o, networks).values(), lr=o.optimizer.learning_rate, betas=o.optimizer.betas
        )
        for o in objectives_of(family)
    }
    for step in range(steps):
        records = one_image_each(spots(32, rng))
        for objective in objectives_of(family):
            draws = {**objective.draw(32, 1, 1, rng), PROGRESS: torch.full((32,), step / steps)}
            optimizers[objective.name].zero_grad()
            objective.loss(networks, records if objective.touches_data else None, draws).mean().backward()
            optimizers[objective.name].step()
    real, sides = spots(200, rng)["image"], torch.arange(64) % 2
    drawn = family.sample(networks, {"class": sides}, 64, torch.Generator().manual_seed(1))
    brighter = (drawn[..., 8:].mean(dim=(1, 2, 3)) > drawn[..., :8].mean(dim=(1, 2, 3))).long()
    assert (brighter == sides).float().mean() > 0.9
    # A spot, and not a half that is bright; and not one and the same.
    assert abs(drawn.mean() - real.mean()) < 0.1
    nearest = torch.cdist(drawn.flatten(1), real.flatten(1)).min(dim=1).values.mean()
    assert nearest < 0.75 * torch.cdist(drawn.flatten(1), real.mean(dim=0).flatten()[None]).mean()
    assert drawn[::2].std(dim=0).mean() > 0.1


@pytest.mark.parametrize("name", ADVERSARIAL)
def test_the_discriminators_wish_is_above_zero_and_its_opponents_is_there_too(name) -> None:
    game, logits = ADVERSARIAL[name], torch.linspace(-3, 3, 13).double().requires_grad_()
    (real,) = torch.autograd.grad(game.real(logits).sum(), logits)
    (fake,) = torch.autograd.grad(game.fake(logits).sum(), logits)
    (wish,) = torch.autograd.grad(game.generator(logits).sum(), logits)
    middle = slice(5, 8)
    assert (real[middle] < 0).all()
    assert (fake[middle] > 0).all()
    assert (wish[middle] < 0).all()
    assert game.real(torch.zeros(1)).item() + game.fake(torch.zeros(1)).item() <= game.bound / 2
    # The two sides of a game between real and fake mirror one another.
    assert torch.allclose(game.real(logits), game.fake(-logits))


def test_the_penalty_is_of_each_images_own_slope() -> None:
    """Of a quadratic critic a . x + |x|^2 / 2 the slope is a + x."""
    rng = torch.Generator().manual_seed(0)
    a, x = torch.randn(1, 2, 3, generator=rng), torch.randn(5, 1, 2, 3, generator=rng)
    found = gradient_penalty(lambda im: (im * a).flatten(1).sum(1) + im.flatten(1).square().sum(1) / 2, x)
    expected = ((a + x).flatten(1).norm(dim=1) - 1).square()
    assert torch.allclose(found, expected, rtol=1e-5)


def test_a_guess_is_a_cross_entropy_or_a_squared_distance() -> None:
    task = image_of(IMAGES[2], *GIVEN)
    records = records_for(task)
    right = condition_of(task, records.fields, records.weights["patient"]).flatten(0, 1)
    said = torch.randn(right.shape, generator=torch.Generator().manual_seed(0)).double()
    expected = (
        torch.nn.functional.cross_entropy(said[:, :3], right[:, :3].argmax(1), reduction="none")
        + (said[:, 3] - right[:, 3]).square()
        + torch.nn.functional.cross_entropy(said[:, 4:6], right[:, 4:6].argmax(1), reduction="none")
        + (said[:, 6:] - right[:, 6:]).square().sum(1)
    )
    assert torch.allclose(guess_loss(task, said, right), expected)


def test_resolutions_grow_by_a_public_schedule() -> None:
    g = stage(torch.linspace(0, 1, 101), 0.8, 2)
    assert g[0] == 0
    assert (g[80:] == 2).all()
    assert (g.diff() >= 0).all()
    # Half of the time nothing fades.
    assert (g[:80].diff() == 0).float().mean() == pytest.approx(0.5, abs=0.05)
    assert torch.allclose(shares(g, 2).sum(dim=1), torch.ones(101))
    images = torch.rand(3, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    grown = as_grown(images, torch.tensor([0.0, 1.5, 2.0]), 2)
    assert torch.equal(grown[2], images[2])
    assert grown[0].std() < images[0].std() / 2
    assert torch.allclose(grown.mean(dim=(1, 2, 3)), images.mean(dim=(1, 2, 3)), atol=0.02)


@pytest.mark.parametrize("axes", [2, 3])
def test_a_grown_generator_is_the_whole_one(axes, perturbed) -> None:
    family = family_of(axes, progressive=0.5)
    networks = perturbed(family)
    z, y = torch.randn(3, 4, generator=torch.Generator().manual_seed(0)), torch.zeros(3, 0)
    doublings = 2.0 if axes == 2 else 1.0
    whole = networks["generator"](z, y)
    assert torch.allclose(networks["generator"](z, y, torch.full((3,), doublings)), whole, atol=1e-6)
    early = networks["generator"](z, y, torch.zeros(3))
    assert not torch.allclose(early, whole)
    logits, _ = networks["discriminator"](whole, y)
    grown, _ = networks["discriminator"](whole, y, torch.full((3,), doublings))
    assert torch.allclose(grown, logits, atol=1e-5)


@pytest.mark.parametrize("axes", [2, 3])
def test_noise_of_levels_starts_at_nothing_and_is_each_pixels_own(axes) -> None:
    family, plain = (family_of(axes, style=True, level_noise=noisy) for noisy in (True, False))
    torch.manual_seed(0)
    generator = family.networks()["generator"]
    without = plain.networks()["generator"]
    without.load_state_dict({n: p for n, p in generator.state_dict().items() if "strength" not in n})
    n, image = numbers_of(family.task.stack, family.options), family.task.stack
    # A number at each pixel behind both levels: (4, 4) is doubled twice, (4, 4, 4) by the second alone.
    assert n == 4 + (8 * 8 + 16 * 16 if axes == 2 else 4**3 + 8**3)
    z, y = torch.randn(2, n, generator=torch.Generator().manual_seed(0)), torch.zeros(2, 0)
    z[1, :4] = z[0, :4]
    first = generator(z, y)
    assert torch.allclose(first, without(z[:, :4], y), atol=1e-6)
    last = generator.generator.levels[1].strength
    (gradient,) = torch.autograd.grad(first.sum(), last)
    assert gradient.abs() > 1e-4
    with torch.no_grad():
        last.fill_(0.5)
    made = generator(z, y)
    assert not torch.allclose(made[0], made[1], atol=1e-3)
    # One number of the last level's noise moves its pixel's neighbourhood alone.
    moved = z.clone()
    moved[0, -1] += 1
    changed = (generator(moved, y) - made).abs()[0].sum(dim=0)
    assert changed[tuple([-1] * axes)] > 1e-4
    assert changed[tuple([slice(0, -2)] * axes)].max() == 0
    assert made.shape == (2, *image.shape)


@pytest.mark.parametrize("axes", [2, 3])
def test_augmentation_moves_what_its_gates_let_through(axes) -> None:
    images = torch.rand(6, 1, *IMAGES[axes].size, generator=torch.Generator().manual_seed(0)) * 2 - 1
    uniform = torch.rand(6, numbers(axes), generator=torch.Generator().manual_seed(1))
    assert torch.allclose(augmented(images, uniform, 0.0), images, atol=1e-5)
    everything = augmented(images, uniform, 1.0)
    assert ((everything - images).flatten(1).abs().mean(dim=1) > 0.02).all()
    # Each row by its own numbers alone.
    alone = augmented(images[2:3], uniform[2:3], 1.0)
    assert torch.allclose(alone[0], everything[2], atol=1e-6)
    brightness = torch.full_like(uniform, 0.9)
    brightness[:, 3] = 0.0
    changed = augmented(images, brightness, 0.5) - images
    assert torch.allclose(changed, changed.mean().expand_as(changed), atol=1e-5)
    assert changed.mean() > 0.1
    assert numbers(axes) == KINDS + axes + 4


def test_a_turn_keeps_its_angle_where_the_sides_differ() -> None:
    """A bar along the last axis, turned by 15 degrees, has the slope of 15 degrees in pixels."""
    image = torch.full((1, 1, 24, 48), -1.0)
    image[:, :, 11:13, 8:40] = 1.0
    uniform = torch.full((1, numbers(2)), 0.99)
    uniform[0, 1] = 0.0
    uniform[0, KINDS + 2] = 1.0
    turned = augmented(image, uniform, 0.5)[0, 0] > 0
    rows, columns = turned.nonzero(as_tuple=True)
    x, y = columns.double() - columns.double().mean(), rows.double() - rows.double().mean()
    assert abs((x * y).sum() / (x * x).sum()) == pytest.approx(math.tan(math.pi / 12), rel=0.15)


@pytest.mark.parametrize(("recognised", "moves"), [(1.0, 1.0), (0.5, -1.0)])
def test_the_probability_follows_the_verdict_on_fakes(recognised, moves) -> None:
    logits = torch.where(torch.arange(10) < 10 * recognised, -1.0, 1.0)
    value = torch.tensor([0.4], requires_grad=True)
    loss = pull(value, logits, 0.6)
    assert loss.item() == 0
    loss.backward()
    assert value.grad.item() == -moves
    for end, free in ((torch.tensor([MOST + 0.01]), -1.0), (torch.tensor([-0.01]), 1.0)):
        end.requires_grad_()
        pull(end, logits, 0.6).backward()
        assert (end.grad.item() != 0) == (moves == free)
        assert 0 <= within(end).item() <= MOST + 1e-6


def test_attention_stands_at_the_finest_grid_that_it_can_afford() -> None:
    assert attended([(4, 4), (8, 8), (16, 16), (32, 32)]) == 2
    assert attended([(4, 4, 4), (8, 8, 8)]) == 0
    assert attended([(64, 64), (32, 32)]) == 1


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"loss": "wasserstein", "gradient_penalty": 0.0}, "bounded slope"),
        ({"loss": "wasserstein", "adaptive_threshold": 0.6}, "no meaning"),
        ({"loss": "wasserstein", "augmentation_target": 0.6}, "no meaning"),
        ({"progressive": 0.5, "discriminator_channels": (4,)}, "as many"),
        ({"level_noise": True}, "styled generator"),
    ],
)
def test_what_cannot_be_together_is_refused(asked, says) -> None:
    with pytest.raises(ValidationError, match=says):
        small(**asked)
