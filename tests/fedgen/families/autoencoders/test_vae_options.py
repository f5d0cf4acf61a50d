"""The options of the family `vae`, each against what its paper says, and each patient's gradient with all of them."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch.distributions import Categorical, Independent, MixtureSameFamily, Normal
from torch.distributions.kl import kl_divergence

from fedgen.errors import StudyError
from fedgen.families.contract import objectives_of
from fedgen.families.vae.flow import InverseAutoregressiveFlow
from fedgen.families.vae.metric import REGULARISATION, Metric, hamiltonian
from fedgen.families.vae.mmd import discrepancy
from fedgen.families.vae.options import VAEOptions
from fedgen.families.vae.priors import DiagonalGaussians, MixturePrior, Shares, chosen, kl
from fedgen.task.image_spec import ImageSpec
from fedgen.task.records import Records
from fedgen.task.task import Field, image_of, image_of_class, pairs_of

KINDS = {
    "mmd": {"mmd": 300.0, "beta": 0.0},
    "flow": {"iaf_steps": 2, "iaf_hidden": 8},
    "mixture": {"prior": "mixture", "prior_components": 3},
    "vamp": {"prior": "vamp", "prior_components": 3},
    "separated": {"condition_latent": 2},
    "all": {"iaf_steps": 2, "prior": "mixture", "condition_latent": 2, "latent_size": 5},
}


@pytest.mark.parametrize("size", [(16, 16), (8, 8, 8)], ids=["2D", "3D"])
@pytest.mark.parametrize("kind", KINDS)
def test_each_patients_gradient_is_its_own(kind, size, family_of, patients, error_of_gradients) -> None:
    spec = ImageSpec(channels=1, size=size)
    family = family_of("vae", image_of_class(spec, ("left", "right")), **KINDS[kind])
    (objective,) = objectives_of(family)
    worst, alive = error_of_gradients(family, objective, patients(spec))
    assert worst < 1e-9
    assert alive > 0.9


#: KL weights under which the sides are left to the condition, and steps that it takes; one in every run.
TOY = [
    pytest.param("vamp", {"beta": 5.0}, 150),
    pytest.param("all", {"beta": 10.0}, 200, marks=pytest.mark.slow),
    pytest.param("mmd", {}, 100, marks=pytest.mark.slow),
    pytest.param("flow", {}, 100, marks=pytest.mark.slow),
    pytest.param("mixture", {}, 100, marks=pytest.mark.slow),
    pytest.param("separated", {"beta": 20.0}, 150, marks=pytest.mark.slow),
]


@pytest.mark.parametrize(("kind", "options", "steps"), TOY)
def test_the_toys_sides_are_learned(kind, options, steps, family_of, sides, trained, right_sides) -> None:
    family = family_of("vae", reconstruction_std=0.6, **{**KINDS[kind], **options})
    family, networks, losses = trained(family, sides(64), steps, rate=5.0)
    assert sum(losses[-10:]) < 0.5 * sum(losses[:10])
    assert right_sides(family, networks) >= 0.9


@pytest.mark.parametrize("given", ["nothing", "covariates", "embedding", "pairs"])
def test_any_condition_is_learned_and_drawn(given, family_of) -> None:
    spec = ImageSpec(channels=1, size=(16, 16))
    field = {
        "nothing": (),
        "covariates": (Field("covariates", "covariates", parts=(1, 2)),),
        "embedding": (Field("embedding", "embedding", parts=(5,)),),
        "pairs": (),
    }[given]
    task = pairs_of(spec, ("lung", "heart"), *field) if given == "pairs" else image_of(spec, *field)
    for kind in ("mixture", "vamp", "flow", *(["separated"] if field else [])):
        family = family_of("vae", task, **KINDS[kind])
        width = task.condition_width
        fields = {"image": torch.rand(3, 2, 1, 16, 16), "mask": torch.rand(3, 2, 2, 16, 16)}
        fields |= {each.name: torch.rand(3, 2, width) for each in field}
        records = Records(fields, {"patient": torch.full((3, 2), 0.5)})
        (objective,) = objectives_of(family)
        networks = family.networks()
        loss = objective.loss(networks, records, objective.draw(3, 2, 2, torch.Generator().manual_seed(0)))
        assert loss.shape == (3,)
        assert loss.isfinite().all()
        drawn = family.sample(
            networks, {each.name: torch.rand(4, width) for each in field}, 4, torch.Generator().manual_seed(1)
        )
        assert drawn.shape == (4, *task.stack.shape)


def test_a_part_of_the_condition_needs_one(family_of) -> None:
    with pytest.raises(StudyError, match="condition_latent needs a condition, but the task gives none"):
        family_of("vae", image_of(ImageSpec(channels=1, size=(16, 16))), condition_latent=2)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"condition_latent": 15}, "must leave two dimensions"),
        ({"beta": 0.0}, "nothing ties latents to the prior"),
        ({"mmd": 1.0, "prior": "vamp"}, "set prior to standard"),
        ({"prior": "vamp", "iaf_steps": 1}, "set iaf_steps to 0"),
        ({"sampling": "geometry", "prior": "mixture"}, "needs Gaussian posteriors"),
    ],
)
def test_what_does_not_go_together_is_refused(options, sentence) -> None:
    with pytest.raises(ValueError, match=sentence):
        VAEOptions(**options)


def test_the_flow_is_autoregressive_and_knows_its_volume() -> None:
    torch.manual_seed(0)
    flow = InverseAutoregressiveFlow(2, 5, 16, 3).double()
    for parameter in flow.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    z, context = torch.randn(1, 5, dtype=torch.float64), torch.randn(1, 3, dtype=torch.float64)
    volume = flow(z, context)[1]
    jacobian = torch.autograd.functional.jacobian(lambda z: flow(z, context)[0], z)[0, :, 0]
    assert volume.item() == pytest.approx(torch.linalg.slogdet(jacobian)[1].item(), rel=1e-9)
    one = torch.autograd.functional.jacobian(lambda z: flow.steps[0](z, context)[0], z)[0, :, 0]
    assert torch.equal(one, one.tril())
    assert (one.tril() != 0).sum() == 15
    assert not torch.allclose(flow(z, context)[0], flow(z, context + 1)[0])


def test_a_mixture_is_torchs_own() -> None:
    torch.manual_seed(0)
    prior, shares = MixturePrior(3, 2), Shares(3, 2)
    torch.nn.init.normal_(shares.logits.weight)
    y = torch.tensor([[0.0, 1.0]])
    parts = Independent(Normal(prior.means, (0.5 * prior.logvars).exp()), 1)
    truth = MixtureSameFamily(Categorical(logits=shares(y)[0]), parts)
    z = torch.randn(6, 2)
    assert torch.allclose(prior(z, shares(y).expand(6, -1)), truth.log_prob(z), atol=1e-5)
    rng = torch.Generator().manual_seed(0)
    with torch.no_grad():
        which = chosen(shares(y.expand(20000, -1)), torch.rand(20000, generator=rng))
        drawn = prior.drawn(torch.randn(20000, 2, generator=rng), which)
        assert torch.allclose(drawn.mean(dim=0), truth.mean, atol=0.03)
        assert torch.allclose(drawn.var(dim=0), truth.variance, atol=0.05)


def test_a_component_is_chosen_by_its_share() -> None:
    shares = torch.tensor([[0.2, 0.5, 0.3]]).log().expand(6, -1)
    assert chosen(shares, torch.tensor([0.0, 0.19, 0.21, 0.69, 0.71, 0.9999999])).tolist() == [
        0,
        0,
        1,
        1,
        2,
        2,
    ]


def test_kl_is_torchs_own() -> None:
    torch.manual_seed(0)
    q, p = (DiagonalGaussians(torch.randn(4, 3), torch.randn(4, 3)) for _ in range(2))
    truth = kl_divergence(*(Normal(g.mu, (0.5 * g.logvar).exp()) for g in (q, p))).sum(dim=1)
    assert torch.allclose(kl(q, p), truth, rtol=1e-5)


def test_an_estimated_divergence_is_the_true_one_on_average(family_of, perturbed) -> None:
    """With one component a learned prior is a Gaussian, whose KL from the posterior has a closed form."""
    family = family_of("vae", prior="mixture", prior_components=2)
    network = perturbed(family, torch.float64)["vae"]
    with torch.no_grad():
        network.shares.logits.weight.copy_(torch.tensor([[60.0] * 3, [0.0] * 3]))
        x = torch.rand(1, 1, 16, 16, dtype=torch.float64) * 2 - 1
        y = torch.tensor([[1.0, 0.0]], dtype=torch.float64)
        q = network.encode(x, y)
        p = DiagonalGaussians(network.mixture.means[:1], network.mixture.logvars[:1])
        n = 4000
        eps = torch.randn(n, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
        many = network(x.expand(n, -1, -1, -1), y.expand(n, -1), eps)
    spread = many.divergence.std().item() / math.sqrt(n)
    assert many.divergence.mean().item() == pytest.approx(kl(q, p).item(), abs=4 * spread)


def test_a_vamp_prior_is_the_mean_of_the_pseudo_inputs_posteriors(family_of, perturbed) -> None:
    network = perturbed(family_of("vae", prior="vamp", prior_components=3))["vae"]
    rows, each, y = torch.randn(4, 4), torch.eye(3), torch.eye(2).repeat(2, 1)
    with torch.no_grad():
        q = network._posterior(network._features(network.pseudo(each)))
        truth = torch.stack(
            [Independent(Normal(m, (0.5 * v).exp()), 1).log_prob(rows) for m, v in zip(*q, strict=True)]
        )
        expected = torch.logsumexp(truth + network.shares(y).T, dim=0)
        # However many records the rows belong to.
        for records in (1, 2, 4):
            assert torch.allclose(network._log_prior(rows, y, records), expected, rtol=1e-4)


def test_separated_conditions_reach_the_decoder_through_their_own_latents(family_of, perturbed) -> None:
    network = perturbed(family_of("vae", condition_latent=2))["vae"]
    noise, uniform = torch.randn(5, 4), torch.rand(5)
    one, other = (torch.nn.functional.one_hot(torch.full((5,), k), 2).float() for k in (0, 1))
    a, b = network.drawn(noise, uniform, one), network.drawn(noise, uniform, other)
    assert torch.equal(a[:, 2:], b[:, 2:])
    assert not torch.allclose(a[:, :2], b[:, :2])
    assert torch.equal(network.decode(a, one), network.decode(a, other))


def test_mmd_is_the_sum_over_pairs_and_one_records_own() -> None:
    rng = torch.Generator().manual_seed(0)
    z, prior = torch.randn(2, 3, 4, generator=rng), torch.randn(2, 5, 4, generator=rng)
    weights = torch.tensor([[0.5, 0.25, 0.25], [1.0, 0.0, 0.0]])
    for b in range(2):
        points = [(w.item(), p) for w, p in zip(weights[b], z[b], strict=True)]
        points += [(-0.2, p) for p in prior[b]]
        total = sum(
            v * w * math.exp(-(p - q).square().sum().item() / 8)
            for (v, p), (w, q) in itertools.product(points, points)
        )
        assert discrepancy(z, weights, prior)[b].item() == pytest.approx(total, abs=1e-6)
    moved = discrepancy(torch.cat([z[:1], 9 * z[1:]]), weights, prior)
    assert moved[0] == discrepancy(z, weights, prior)[0]
    far = z.clone()
    far[1, 1:] = 1e3
    assert torch.equal(discrepancy(far, weights, prior), discrepancy(z, weights, prior))


def test_mmd_is_small_where_latents_are_the_priors() -> None:
    rng = torch.Generator().manual_seed(0)
    weights = torch.full((1, 400), 1 / 400)
    prior = torch.randn(1, 400, 4, generator=rng)
    own = torch.randn(1, 400, 4, generator=rng)
    near, far = (discrepancy(z, weights, prior).item() for z in (own, own + 1))
    assert 0 <= near < 0.01
    assert far > 0.05


def test_hamiltonian_chains_draw_from_their_density() -> None:
    mean, std = torch.tensor([1.0, -2.0]), torch.tensor([0.5, 2.0])
    rng = torch.Generator().manual_seed(0)
    n, T = 4000, 60
    ends = hamiltonian(
        lambda z: -0.5 * ((z - mean) / std).square().sum(dim=1),
        torch.zeros(n, 2),
        std,
        torch.randn(T, n, 2, generator=rng),
        torch.rand(T, n, generator=rng),
    )
    assert torch.allclose(ends.mean(dim=0), mean, atol=0.12)
    assert torch.allclose(ends.std(dim=0), std, rtol=0.06)


def test_the_metric_is_the_papers() -> None:
    mu = torch.tensor([[0.0, 0.0], [2.0, 0.0], [0.0, 1.0]], dtype=torch.float64)
    logvar = torch.tensor([[0.0, 0.0], [0.5, -0.5], [1.0, 0.0]], dtype=torch.float64)
    metric = Metric.of(mu, logvar)
    z = torch.tensor([[0.3, -0.4]], dtype=torch.float64)
    G = torch.zeros(2, 2, dtype=torch.float64)
    for m, v in zip(mu, logvar, strict=True):
        precision = torch.diag(torch.exp(-v))
        away = z[0] - m
        G += precision * math.exp(-(away @ precision @ away).item() / metric.reach)
    G += REGULARISATION * math.exp(-0.5 * z.square().sum().item()) * torch.eye(2, dtype=torch.float64)
    assert metric.log_density(z).item() == pytest.approx(0.5 * torch.logdet(G).item(), rel=1e-9)
    # The second centre's nearest other is the third, whose posterior is wide along the first axis.
    assert metric.reach == pytest.approx(4 / math.e + 1)


@pytest.mark.slow
def test_geometry_draws_where_the_models_images_are(family_of, sides, trained, right_sides) -> None:
    chains = {"sampling": "geometry", "geometry_centres": 40, "geometry_steps": 10}
    family = family_of("vae", reconstruction_std=0.6, beta=4.0, **chains)
    family, networks, _ = trained(family, sides(64), 100, rate=5.0)
    assert right_sides(family, networks) >= 0.9
    labels = {"class": torch.arange(6) % 2}
    first, again, other = (
        family.sample(networks, labels, 6, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)
    )
    assert torch.equal(first, again)
    assert not torch.allclose(first, other)


@pytest.mark.slow
def test_a_marginal_that_is_known_is_learned(family_of, trained) -> None:
    """One pattern whose strength is Gaussian: so must be its strength in what is drawn.

    With norms of several channels, since norms of each alone would take the strength away.
    """
    rng = torch.Generator().manual_seed(0)
    spec = ImageSpec(channels=1, size=(8, 8))
    pattern = torch.where(torch.arange(8) < 4, 1.0, -1.0).expand(8, 8)
    strength = 0.1 + 0.2 * torch.randn(400, generator=rng)
    images = strength[:, None, None, None, None] * pattern + 0.1 * torch.randn(400, 1, 1, 8, 8, generator=rng)
    records = Records({"image": images}, {"patient": torch.ones(400, 1)})
    family = family_of("vae", image_of(spec), channels=(16, 32), reconstruction_std=0.1, latent_size=2)
    family, networks, _ = trained(family, records, 300, batch=32, rate=5.0)
    drawn = family.sample(networks, {}, 2000, torch.Generator().manual_seed(1))[:, 0]
    found = (drawn * pattern).mean(dim=(1, 2))
    assert found.mean().item() == pytest.approx(0.1, abs=0.04)
    assert found.std().item() == pytest.approx(0.2, abs=0.05)
