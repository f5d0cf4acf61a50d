"""What every family's losses promise: absent images are nothing, draws fold to means, records are alone."""

from __future__ import annotations

import math

import pytest
import torch
from torch.distributions import Normal, kl_divergence
from torch.nn.functional import binary_cross_entropy_with_logits

from fedgen.families.contract import objectives_of
from fedgen.families.gan.discriminator import DiscriminatorObjective
from fedgen.families.gan.generator import GeneratorObjective
from fedgen.families.parts.conditioning import one_hot
from fedgen.recipe import Recipe
from fedgen_privacy.gradients.tree import tree_map


def test_absent_images_contribute_exactly_nothing(stepping, perturbed, ragged, draw_for) -> None:
    networks, records = perturbed(stepping), ragged()
    absent = next(iter(records.weights.values())) == 0

    def disturbed(field: torch.Tensor) -> torch.Tensor:
        other = torch.randn(field.shape) if field.is_floating_point() else torch.full_like(field, 2)
        return torch.where(absent.reshape(4, 3, *[1] * (field.ndim - 2)), other, field)

    noisy = records._replace(fields={name: disturbed(field) for name, field in records.fields.items()})
    objective = objectives_of(stepping)[0]
    draws = draw_for(objective)
    before, after = objective.loss(networks, records, draws), objective.loss(networks, noisy, draws)
    assert before.shape == (4,)
    assert torch.equal(before, after)


def test_loss_is_the_mean_over_images_and_draws(stepping, perturbed, ragged, draw_for) -> None:
    networks, records = perturbed(stepping, torch.float64), ragged(torch.float64)
    objective = objectives_of(stepping)[0]
    draws = draw_for(objective, K=2, dtype=torch.float64)
    folded = objective.loss(networks, records, draws)
    for b in range(4):
        naive = []
        for m in range(3):
            if records.weights["patient"][b, m] == 0:
                continue
            one = tree_map(lambda tensor, b=b, m=m: tensor[b : b + 1, m : m + 1], records)
            one = one._replace(weights={"patient": torch.ones(1, 1, dtype=torch.float64)})
            for k in range(2):
                draw = {name: d[b : b + 1, m : m + 1, k : k + 1] for name, d in draws.items()}
                naive.append(objective.loss(networks, one, draw).item())
        assert folded[b].item() == pytest.approx(sum(naive) / len(naive), rel=1e-7)


def test_a_record_does_not_depend_on_the_others(stepping, perturbed, ragged, draw_for) -> None:
    networks, records = perturbed(stepping, torch.float64), ragged(torch.float64)
    objective = objectives_of(stepping)[0]
    draws = draw_for(objective, dtype=torch.float64)
    together = objective.loss(networks, records, draws)
    others = tree_map(torch.clone, records)
    for field in others.fields.values():
        if field.is_floating_point():
            field[1:] *= -1
    apart = objective.loss(networks, others, draws)
    assert apart[0].item() == pytest.approx(together[0].item(), rel=1e-9)
    assert not torch.allclose(apart[1:], together[1:])


def test_draws_are_reproducible_and_start_with_the_record(family) -> None:
    for objective in objectives_of(family):
        first = objective.draw(5, 3, 2, torch.Generator().manual_seed(1))
        again = objective.draw(5, 3, 2, torch.Generator().manual_seed(1))
        other = objective.draw(5, 3, 2, torch.Generator().manual_seed(2))
        for name, draw in first.items():
            assert draw.shape[:3] == (5, 3, 2)
            assert torch.equal(draw, again[name])
            assert not torch.equal(draw, other[name])


def test_objective_that_touches_data_refuses_to_run_without(stepping) -> None:
    objective = objectives_of(stepping)[0]
    assert objective.touches_data
    with pytest.raises(ValueError, match="needs records"):
        objective.loss({}, None, {})


def test_vae_loss_is_the_negative_elbo_a_pixel(study_of, perturbed, ragged, draw_for) -> None:
    s, beta, D = 0.3, 2.0, 16 * 16
    family = Recipe.of(study_of("vae", reconstruction_std=s, beta=beta)).family
    networks, records = perturbed(family, torch.float64), ragged(torch.float64)
    objective = objectives_of(family)[0]
    draws = draw_for(objective, K=1, dtype=torch.float64)
    losses = objective.loss(networks, records, draws)
    x, eps = records.fields["image"][1, :1], draws["eps"][1, :1, 0]
    y = one_hot(records.fields["class"][1, :1], 3, torch.float64)
    encoded = networks["vae"](x, y, eps)
    reconstruction, mu, logvar = encoded.reconstruction, encoded.mu, encoded.logvar
    posterior = Normal(mu, (0.5 * logvar).exp())
    # The sampled latent must be the posterior's: decode it again through the public decoder.
    again = networks["vae"].decode(posterior.mean + posterior.stddev * eps, y)
    assert torch.allclose(again, reconstruction)
    log_likelihood = Normal(reconstruction, s).log_prob(x).sum()
    kl = kl_divergence(posterior, Normal(torch.zeros_like(mu), torch.ones_like(mu))).sum()
    constant = math.log(s * math.sqrt(2 * math.pi))
    assert kl > 0.01
    assert losses[1].item() == pytest.approx((-(log_likelihood) + beta * kl).item() / D - constant, rel=1e-9)


def test_vae_loss_stays_finite_for_absurd_posteriors(study_of, ragged, draw_for) -> None:
    family = Recipe.of(study_of("vae")).family
    networks = family.networks()
    with torch.no_grad():
        networks["vae"].vae.logvar.bias.fill_(1e4)
    objective = objectives_of(family)[0]
    assert objective.loss(networks, ragged(), draw_for(objective)).isfinite().all()


def test_discriminator_loss_is_bce_of_real_and_fake(study_of, perturbed, ragged, draw_for) -> None:
    family = Recipe.of(study_of("gan")).family
    networks, records = perturbed(family, torch.float64), ragged(torch.float64)
    objective = objectives_of(family)[0]
    assert isinstance(objective, DiscriminatorObjective)
    draws = draw_for(objective, K=2, dtype=torch.float64)
    x, y = records.fields["image"][0], one_hot(records.fields["class"][0], 3, torch.float64)
    real, _ = networks["discriminator"](x, y)
    y_fake = y.repeat_interleave(2, dim=0)
    fakes = networks["generator"](draws["z"][0].reshape(6, -1), y_fake)
    fake, _ = networks["discriminator"](fakes, y_fake)
    expected = binary_cross_entropy_with_logits(real, torch.ones_like(real))
    expected = expected + binary_cross_entropy_with_logits(fake, torch.zeros_like(fake))
    losses = objective.loss(networks, records, draws)
    assert losses[0].item() == pytest.approx(expected.item(), rel=1e-9)
    losses.sum().backward()
    assert all(p.grad is None for p in networks["generator"].parameters())
    assert any(p.grad.abs().sum() > 0 for p in networks["discriminator"].parameters())


def test_generator_never_sees_data(study_of, perturbed, ragged, draw_for) -> None:
    family = Recipe.of(study_of("gan", discriminator_steps=3)).family
    networks = perturbed(family, torch.float64)
    objective = objectives_of(family)[1]
    assert isinstance(objective, GeneratorObjective)
    assert not objective.touches_data
    assert objective.every == 3
    draws = draw_for(objective, dtype=torch.float64)
    with pytest.raises(ValueError, match="must not see records"):
        objective.loss(networks, ragged(torch.float64), draws)
    z, y = draws["z"][2].reshape(6, -1), one_hot(draws["class"][2].reshape(6), 3, torch.float64)
    logits, _ = networks["discriminator"](networks["generator"](z, y), y)
    expected = binary_cross_entropy_with_logits(logits, torch.ones_like(logits))
    losses = objective.loss(networks, None, draws)
    assert losses.shape == (4,)
    assert losses[2].item() == pytest.approx(expected.item(), rel=1e-9)


def test_generator_labels_are_uniform(study_of) -> None:
    objective = objectives_of(Recipe.of(study_of("gan")).family)[1]
    labels = objective.draw(50, 10, 6, torch.Generator().manual_seed(0))["class"]
    share = labels.flatten().bincount(minlength=3) / labels.numel()
    assert torch.allclose(share, torch.full((3,), 1 / 3), atol=0.03)
