"""The family `vae_gan`: what each kind's objectives compute, whom they move, and each patient's own gradient."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import binary_cross_entropy_with_logits as bce

from fedgen.families.contract import objectives_of
from fedgen.families.vae_gan.games import KINDS
from fedgen.task.image_spec import ImageSpec
from fedgen.task.records import Records
from fedgen.task.task import Field, image_of, image_of_class, pairs_of

#: By kind: networks that each objective moves, and whether it reads patients.
PARTS = {
    "vae_gan": {
        "autoencoder": ("encoder decoder", True),
        "discriminator": ("discriminator", True),
        "generator": ("decoder", False),
    },
    "adversarial": {"autoencoder": ("encoder decoder", True), "critic": ("critic", True)},
    "intro": {
        "encoder": ("encoder", True),
        "decoder": ("decoder", True),
        "generator": ("decoder", False),
    },
    "alpha": {
        "autoencoder": ("encoder decoder", True),
        "discriminator": ("discriminator", True),
        "critic": ("critic", True),
        "generator": ("decoder", False),
    },
}


def test_every_kind_moves_its_networks_and_no_others(family_of) -> None:
    assert PARTS.keys() == KINDS.keys()
    for kind, parts in PARTS.items():
        family = family_of("vae_gan", kind=kind)
        found = {o.name: (" ".join(o.updates), o.touches_data) for o in objectives_of(family)}
        assert found == parts
        assert {name for names, _ in parts.values() for name in names.split()} == set(family.networks())


@pytest.mark.parametrize("size", [(16, 16), (8, 8, 8)], ids=["2D", "3D"])
@pytest.mark.parametrize("kind", KINDS)
def test_each_patients_gradient_is_its_own(kind, size, family_of, patients, error_of_gradients) -> None:
    spec = ImageSpec(channels=1, size=size)
    family = family_of("vae_gan", image_of_class(spec, ("left", "right")), kind=kind, margin=500.0)
    for objective in objectives_of(family):
        if objective.touches_data:
            worst, alive = error_of_gradients(family, objective, patients(spec))
            assert worst < 1e-9
            assert alive > 0.9


#: Weights under which the sides are left to the condition.
TOY = [
    pytest.param("vae_gan", {"reconstruction_std": 0.6}, 0.5),
    pytest.param("adversarial", {"reconstruction_std": 1.0, "adversary": 1.0}, 0.8, marks=pytest.mark.slow),
    pytest.param("intro", {"reconstruction_std": 2.0, "margin": 3.0}, 0.5, marks=pytest.mark.slow),
    pytest.param("alpha", {"reconstruction_std": 0.6}, 0.5, marks=pytest.mark.slow),
]


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "options", "falls_to"), TOY)
def test_the_toys_sides_are_learned(kind, options, falls_to, family_of, sides, trained, right_sides) -> None:
    family, networks, losses = trained(family_of("vae_gan", kind=kind, **options), sides(64), 150, rate=5.0)
    assert sum(losses[-10:]) < falls_to * sum(losses[:10])
    assert right_sides(family, networks) > 0.9


@pytest.mark.parametrize("given", ["nothing", "covariates", "embedding", "pairs"])
@pytest.mark.parametrize("kind", KINDS)
def test_any_condition_is_learned_and_drawn(kind, given, family_of) -> None:
    spec = ImageSpec(channels=1, size=(16, 16))
    field = {
        "covariates": (Field("covariates", "covariates", parts=(1, 2)),),
        "embedding": (Field("embedding", "embedding", parts=(5,)),),
    }.get(given, ())
    task = pairs_of(spec, ("lung",)) if given == "pairs" else image_of(spec, *field)
    family, width = family_of("vae_gan", task, kind=kind), task.condition_width
    fields = {"image": torch.rand(3, 2, 1, 16, 16), "mask": torch.rand(3, 2, 1, 16, 16)}
    fields |= {each.name: torch.rand(3, 2, width) for each in field}
    records = Records(fields, {"patient": torch.full((3, 2), 0.5)})
    networks = family.networks()
    for objective in objectives_of(family):
        draws = objective.draw(3, 2, 2, torch.Generator().manual_seed(0))
        loss = objective.loss(networks, records if objective.touches_data else None, draws)
        assert loss.shape == (3,)
        assert loss.isfinite().all()
    conditions = {each.name: torch.rand(4, width) for each in field}
    drawn = family.sample(networks, conditions, 4, torch.Generator().manual_seed(1))
    assert drawn.shape == (4, *task.stack.shape)


def test_what_reads_nobody_refuses_patients_and_the_others_ask_for_them(family_of, sides) -> None:
    for objective in objectives_of(family_of("vae_gan", kind="alpha")):
        draws = objective.draw(4, 1, 1, torch.Generator().manual_seed(0))
        wrong, sentence = (None, "needs records") if objective.touches_data else (sides(4), "must not see")
        with pytest.raises(ValueError, match=sentence):
            objective.loss({}, wrong, draws)


@pytest.fixture
def one_image(family_of, perturbed):
    """Networks of a kind, an image alone, and an objective's loss and draws on it."""

    def build(kind: str, name: str, **options):
        family = family_of("vae_gan", kind=kind, **options)
        networks = perturbed(family, torch.float64)
        image = torch.rand(1, 1, 1, 16, 16, dtype=torch.float64) * 2 - 1
        records = Records(
            {"image": image, "class": torch.tensor([[1]])}, {"patient": torch.ones(1, 1).double()}
        )
        (objective,) = (each for each in objectives_of(family) if each.name == name)
        drawn = objective.draw(1, 1, 1, torch.Generator().manual_seed(0))
        draws = {key: d.double() if d.is_floating_point() else d for key, d in drawn.items()}
        loss = objective.loss(networks, records if objective.touches_data else None, draws).item()
        y = torch.eye(2, dtype=torch.float64)[1:]
        eps, z = (draws[key][0, 0] if key in draws else None for key in ("eps", "z"))
        return networks, image[0], y, eps, z, loss

    return build


def encoded(networks, x, y, eps):
    mu, logvar = networks["encoder"](x, y)
    z = mu + torch.exp(0.5 * logvar) * eps
    kl = torch.distributions.kl_divergence(
        torch.distributions.Normal(mu, torch.exp(0.5 * logvar)), torch.distributions.Normal(0.0, 1.0)
    ).sum()
    return z, networks["decoder"](z, y), kl


@torch.no_grad()
def test_the_discriminator_tells_one_real_image_from_two_others(one_image) -> None:
    networks, x, y, eps, z, loss = one_image("vae_gan", "discriminator")
    judge = networks["discriminator"]
    again, made = encoded(networks, x, y, eps)[1], networks["decoder"](z, y)
    one, zero = torch.ones(1, dtype=torch.float64), torch.zeros(1, dtype=torch.float64)
    others = [bce(judge(each, y).logits, zero) for each in (again, made)]
    assert loss == pytest.approx((bce(judge(x, y).logits, one) + sum(others) / 2).item(), rel=1e-9)


@torch.no_grad()
def test_the_critic_tells_the_prior_from_latents(one_image) -> None:
    networks, x, y, eps, z, loss = one_image("adversarial", "critic")
    one, zero = torch.ones(1, dtype=torch.float64), torch.zeros(1, dtype=torch.float64)
    critic = networks["critic"]
    expected = bce(critic(z, y), one) + bce(critic(encoded(networks, x, y, eps)[0], y), zero)
    assert loss == pytest.approx(expected.item(), rel=1e-9)


@torch.no_grad()
def test_a_vae_gan_is_a_vae_with_likeness_in_features(one_image) -> None:
    networks, x, y, eps, _, loss = one_image("vae_gan", "autoencoder", reconstruction_std=0.5, features=3.0)
    _, again, kl = encoded(networks, x, y, eps)
    features = [networks["discriminator"](each, y).features for each in (x, again)]
    expected = (x - again).square().mean() / 0.5 + 1.5 * (features[0] - features[1]).square().mean()
    assert loss == pytest.approx((expected + kl / 256).item(), rel=1e-9)
    assert features[0].shape[1] == 4 * 8 * 8


@torch.no_grad()
@pytest.mark.parametrize("margin", [0.001, 500.0])
def test_an_introvae_pushes_its_own_images_up_to_the_margin(margin, one_image) -> None:
    networks, x, y, eps, z, loss = one_image("intro", "encoder", reconstruction_std=0.5, margin=margin)
    _, again, kl = encoded(networks, x, y, eps)
    short = [
        max(0.0, margin - encoded(networks, each, y, eps)[2].item())
        for each in (again, networks["decoder"](z, y))
    ]
    assert (sum(short) > 0) == (margin > 1)
    expected = (x - again).square().mean().item() / 0.5 + (kl.item() + sum(short)) / 256
    assert loss == pytest.approx(expected, rel=1e-9)


@torch.no_grad()
def test_an_introvaes_decoder_makes_images_of_a_low_kl(one_image) -> None:
    networks, x, y, eps, _, loss = one_image("intro", "decoder", reconstruction_std=0.5)
    _, again, _ = encoded(networks, x, y, eps)
    kl = encoded(networks, again, y, eps)[2]
    assert loss == pytest.approx(((x - again).square().mean() / 0.5 + kl / 256).item(), rel=1e-9)


@torch.no_grad()
def test_an_alpha_gan_hears_both_adversaries(one_image) -> None:
    networks, x, y, eps, _, loss = one_image("alpha", "autoencoder", reconstruction_std=0.5, adversary=0.7)
    z, again, _ = encoded(networks, x, y, eps)
    one = torch.ones(1, dtype=torch.float64)
    passes = bce(networks["discriminator"](again, y).logits, one) + bce(networks["critic"](z, y), one)
    expected = (x - again).abs().mean() / 0.5 + 0.7 * passes
    assert loss == pytest.approx(expected.item(), rel=1e-9)
