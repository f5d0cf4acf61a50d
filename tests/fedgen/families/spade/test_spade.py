"""Pairs in two stages: masks of a generator of the study's own, and images that follow them; no patient's mask."""

from __future__ import annotations

import inspect

import pytest
import torch
from torch.nn.functional import cross_entropy as torch_cross_entropy

from fedgen.errors import StudyError
from fedgen.families.parts.conditioning import drawn_fields
from fedgen.families.parts.noise_records import noise_records
from fedgen.families.spade.family import SpadeFamily
from fedgen.families.spade.mask_flow import follow
from fedgen.families.spade.mask_generator import cross_entropy, hard_masks
from fedgen.families.spade.options import SPEC, SpadeOptions
from fedgen.task.image_spec import ImageSpec
from fedgen.task.records import Records
from fedgen.task.stack import classes_of_mask, mask_channels
from fedgen.task.task import Field, image_of, pairs_of, translation

SIZES = {2: (16, 16), 3: (8, 8, 8)}
CLASS = Field("class", "class", classes=("left", "right"))
KINDS = ("gan", "diffusion")


def small(**options) -> SpadeOptions:
    return SpadeOptions.model_validate({**SPEC.small.model_dump(), **options})


def family_of(kind: str, axes: int, *given: Field, **options) -> SpadeFamily:
    spec = ImageSpec(channels=1, size=SIZES[axes])
    return SpadeFamily(pairs_of(spec, ("lung", "heart"), *given), small(kind=kind, **options))


def shaken(family: SpadeFamily, dtype=torch.float32):
    """Networks away from their start, where what begins at zero hides what is before it."""
    torch.manual_seed(0)
    networks = family.networks()
    for network in networks.values():
        network.to(dtype)
        for parameter in network.parameters():
            parameter.data.add_(0.1 * torch.randn_like(parameter))
    return networks


def records_of(family: SpadeFamily, counts=(3, 1, 2), dtype=torch.float32) -> Records:
    records = noise_records(family.task, counts, torch.Generator().manual_seed(5))
    return Records(
        {n: t.to(dtype) if t.is_floating_point() else t for n, t in records.fields.items()},
        {n: t.to(dtype) for n, t in records.weights.items()},
    )


def test_only_pairs_are_supported() -> None:
    spec = ImageSpec(channels=1, size=(16, 16))
    assert SPEC.supports(pairs_of(spec, ("lung",))) is None
    assert SPEC.supports(pairs_of(spec.model_copy(update={"size": (8, 8, 8)}), ("lung",), CLASS)) is None
    for other in (image_of(spec, CLASS), translation({"mask": spec}, ("image", spec))):
        assert "an image with its mask" in str(SPEC.supports(other))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("axes", SIZES)
@pytest.mark.parametrize("given", [(), (CLASS, Field("covariates", "covariates", parts=(1, 2)))])
def test_pairs_have_masks_that_do_not_overlap_and_do_not_depend_on_the_chunk(
    kind, axes, given, monkeypatch
) -> None:
    family = family_of(kind, axes, *given)
    networks = shaken(family)
    fields = drawn_fields(family.task, (5,), torch.Generator().manual_seed(1))
    made = family.sample(networks, fields, 5, torch.Generator().manual_seed(2))
    assert made.shape == (5, 3, *SIZES[axes]) and made.dtype == torch.float32
    assert bool(made.abs().max() <= 1)
    masks = made[:, 1:]
    assert set(masks.unique().tolist()) <= {-1.0, 1.0}
    assert int((masks > 0).sum(dim=1).max()) == 1
    assert torch.equal(mask_channels(classes_of_mask(masks), 2), masks)
    monkeypatch.setattr("fedgen.families.spade.family.CHUNK", 2)
    again = family.sample(networks, fields, 5, torch.Generator().manual_seed(2))
    assert torch.allclose(made, again, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_no_mask_of_a_patient_is_read_where_a_pair_is_drawn(kind) -> None:
    """Neither is one an argument, nor does one change anything; nor is one given to the generator's own loss."""
    family = family_of(kind, 2, CLASS)
    assert [*inspect.signature(family.sample).parameters] == ["networks", "given", "n", "rng"]
    assert not {field.name for field in family.task.given} & {"mask", "image"}
    networks, labels = shaken(family), torch.tensor([0, 1])
    patients = records_of(family, (1, 1)).fields
    one = family.sample(networks, {"class": labels}, 2, torch.Generator().manual_seed(2))
    other = family.sample(
        networks, {"class": labels, "mask": patients["mask"][:, 0]}, 2, torch.Generator().manual_seed(2)
    )
    assert torch.equal(one, other)
    for objective in family.contributions():
        if not objective.touches_data:
            with pytest.raises(ValueError, match="must not see records"):
                objective.loss(networks, records_of(family), objective.draw(3, 3, 1, torch.Generator()))


@pytest.mark.parametrize("axes", SIZES)
@pytest.mark.parametrize("kind", KINDS)
def test_gradients_of_a_record_equal_a_loop_by_every_backend(kind, axes, looped) -> None:
    family = family_of(kind, axes, CLASS, norm="group")
    networks, records = shaken(family, torch.float64), records_of(family, dtype=torch.float64)
    for objective in (each for each in family.contributions() if each.touches_data):
        drawn = objective.draw(3, 3, 2, torch.Generator().manual_seed(7))
        draws = {name: draw.double() for name, draw in drawn.items()}
        for vector in looped(objective, networks, (records, draws)):
            assert vector.norm() > 1e-3


def test_the_masks_loss_is_a_cross_entropy_over_background_and_classes() -> None:
    torch.manual_seed(0)
    logits = torch.randn(4, 2, 6, 5)
    masks = torch.randint(3, (4, 1, 6, 5))
    whole = torch.cat([torch.zeros(4, 1, 6, 5), logits], dim=1)
    expected = torch_cross_entropy(whole, masks[:, 0], reduction="none").flatten(1).mean(dim=1)
    assert torch.allclose(cross_entropy(logits, mask_channels(masks, 2)), expected, atol=1e-6)
    likeliest = whole.argmax(dim=1, keepdim=True)
    assert torch.equal(classes_of_mask(hard_masks(logits)), likeliest.to(torch.uint8))


def test_the_flow_of_a_gaussian_is_followed_to_its_end() -> None:
    """Of images of N(mu, s^2) the velocity is known, and noise n must come out as mu + s n."""
    mu, s = 0.3, 0.5

    def velocity(x, t):
        t = t[:, None]
        variance = ((1 - t) * s).square() + t.square()
        noise = t * (x - (1 - t) * mu) / variance
        image = mu + (1 - t) * s**2 * (x - (1 - t) * mu) / variance
        return noise - image

    noise = torch.randn(50, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    errors = [(follow(velocity, noise, steps) - (mu + s * noise)).abs().max() for steps in (20, 40, 80)]
    assert errors[2] < 1e-3
    # Second order: half the step, a quarter of the error.
    assert errors[0] / errors[1] > 3 and errors[1] / errors[2] > 3


def test_images_that_cannot_be_halved_are_refused() -> None:
    with pytest.raises(StudyError, match=r"multiples of 4 and at least 8, or fewer levels"):
        SpadeFamily(pairs_of(ImageSpec(channels=1, size=(18, 16)), ("lung",)), small())
    with pytest.raises(StudyError, match=r"too small for model\.spade\.discriminator_layers 3"):
        SpadeFamily(pairs_of(ImageSpec(channels=1, size=(16, 16)), ("lung",)), small(discriminator_layers=3))


def discs(n: int, axes: int, rng: torch.Generator) -> Records:
    """A disc on the left or the right by its class; the image is bright in it and dark outside, with some noise."""
    size = SIZES[axes]
    labels = torch.randint(2, (n,), generator=rng)
    centre = torch.rand(n, axes, generator=rng) * 0.3 + 0.35
    centre[:, -1] = 0.3 + 0.4 * labels + 0.1 * (torch.rand(n, generator=rng) - 0.5)
    radius = 0.18 + 0.1 * torch.rand(n, generator=rng)
    places = torch.stack(torch.meshgrid(*[torch.linspace(0, 1, side) for side in size], indexing="ij"))
    away = (places - centre.reshape(n, axes, *[1] * axes)).square().sum(dim=1, keepdim=True).sqrt()
    masks = (away < radius.reshape(n, 1, *[1] * axes)).float() * 2 - 1
    images = (0.6 * masks + 0.1 * torch.randn(masks.shape, generator=rng)).clamp(-1, 1)
    return Records(
        {"image": images[:, None], "mask": masks[:, None], "class": labels[:, None]},
        {"patient": torch.ones(n, 1)},
    )


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "axes", "steps"), [("gan", 2, 400), ("diffusion", 2, 300), ("gan", 3, 400)])
def test_an_image_is_bright_where_its_mask_is(kind, axes, steps) -> None:
    """Discs whose truth is known: of the right size and side, and the image follows the mask that was drawn."""
    spec = ImageSpec(channels=1, size=SIZES[axes])
    options = small(kind=kind, learning_rate=2e-3, discriminator_channels=8, sampler_steps=6)
    family = SpadeFamily(pairs_of(spec, ("disc",), CLASS), options)
    torch.manual_seed(0)
    networks, rng = family.networks(), torch.Generator().manual_seed(0)
    objectives = family.contributions()
    optimizers = {
        o.name: torch.optim.Adam(
            [p for n in o.updates for p in networks[n].parameters()],
            o.optimizer.learning_rate,
            o.optimizer.betas,
        )
        for o in objectives
    }
    losses: dict[str, list[float]] = {o.name: [] for o in objectives}
    for _ in range(steps):
        for objective in objectives:
            records = discs(8, axes, rng) if objective.touches_data else None
            loss = objective.loss(networks, records, objective.draw(8, 1, 1, rng)).mean()
            optimizers[objective.name].zero_grad()
            loss.backward()
            optimizers[objective.name].step()
            losses[objective.name].append(loss.item())
    for name in {"masks", "flow"} & losses.keys():
        assert sum(losses[name][-20:]) < 0.5 * sum(losses[name][:20])
    labels = torch.arange(100) % 2
    made = family.sample(networks, {"class": labels}, 100, rng)
    images, inside = made[:, :1], made[:, 1:] > 0
    truth = discs(400, axes, rng).fields["mask"] > 0
    assert 0.6 < inside.float().mean() / truth.float().mean() < 1.6
    column = torch.linspace(0, 1, SIZES[axes][-1]).expand_as(inside)
    side = (column * inside).flatten(1).sum(dim=1) / inside.flatten(1).sum(dim=1).clamp_min(1)
    assert side[labels == 0].mean() < 0.42 and side[labels == 1].mean() > 0.58
    assert images[inside].mean() > 0.3 and images[~inside].mean() < -0.4

    def overlap(masks: torch.Tensor) -> torch.Tensor:
        both, either = ((images > 0) & masks).flatten(1), ((images > 0) | masks).flatten(1)
        return (both.sum(dim=1) / either.sum(dim=1).clamp_min(1)).mean()

    # Not only where discs of its class lie, but where its own does.
    assert overlap(inside) > (0.75 if axes == 2 else 0.55)
    assert overlap(inside) > 1.15 * overlap(inside.roll(2, 0))
