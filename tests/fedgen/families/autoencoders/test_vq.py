"""The family `vq`: codes that stay in use and are each patient's own, two levels of them, and priors that are exact."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor, nn

from fedgen.errors import PrivacyRefusedError
from fedgen.families.contract import objectives_of
from fedgen.families.vq.code_prior import CodePrior, by_diffusion, nats, one_by_one, picked
from fedgen.families.vq.codebook import Codebook, MovingCodebook, on_sphere
from fedgen.families.vq.networks import Grids
from fedgen.families.vq.options import VQOptions
from fedgen.task.image_spec import ImageSpec
from fedgen.task.records import Records
from fedgen.task.task import Field, image_of, image_of_class, pairs_of
from fedgen.training.backends import BACKENDS, gradients_of
from fedgen.training.functional import trainable

KINDS = {
    "transformer": {},
    "diffusion": {"prior": "diffusion", "prior_steps": 8},
    "hierarchical": {"hierarchical": True},
}


@pytest.mark.parametrize("size", [(16, 16), (8, 8, 8)], ids=["2D", "3D"])
@pytest.mark.parametrize("kind", KINDS)
def test_each_patients_gradient_is_its_own(kind, size, family_of, patients, error_of_gradients) -> None:
    spec = ImageSpec(channels=1, size=size)
    family = family_of("vq", image_of_class(spec, ("left", "right")), **KINDS[kind])
    for objective in objectives_of(family):
        worst, alive = error_of_gradients(family, objective, patients(spec))
        assert worst < 1e-9
        assert alive > 0.9


@pytest.mark.parametrize(
    "kind",
    ["diffusion", *(pytest.param(k, marks=pytest.mark.slow) for k in ("transformer", "hierarchical", "ema"))],
)
def test_the_toys_sides_are_learned_and_codes_stay_in_use(
    kind, family_of, sides, trained, right_sides
) -> None:
    options = {"codebook": "ema"} if kind == "ema" else KINDS[kind]
    steps = 200 if kind == "ema" else 120
    family, networks, losses = trained(family_of("vq", **options), sides(64), steps, rate=2.0)
    assert sum(losses[-10:]) < 0.2 * sum(losses[:10])
    assert right_sides(family, networks) > 0.9
    with torch.no_grad():
        codes = networks["vq"](sides(64).fields["image"][:, 0]).codes
    shares = codes.flatten().bincount() / codes.numel()
    perplexity = (-(shares * shares.clamp_min(1e-9).log()).sum()).exp()
    # Bright, dark, and the border between: fewer than three codes in use could not say it.
    assert perplexity > 2.0


@pytest.mark.parametrize("given", ["nothing", "covariates", "embedding", "pairs"])
@pytest.mark.parametrize("kind", ["diffusion", "hierarchical"])
def test_any_condition_is_learned_and_drawn(kind, given, family_of) -> None:
    spec = ImageSpec(channels=1, size=(16, 16))
    field = {
        "covariates": (Field("covariates", "covariates", parts=(1, 2)),),
        "embedding": (Field("embedding", "embedding", parts=(5,)),),
    }.get(given, ())
    task = pairs_of(spec, ("lung",)) if given == "pairs" else image_of(spec, *field)
    family, width = family_of("vq", task, **KINDS[kind]), task.condition_width
    fields = {"image": torch.rand(3, 2, 1, 16, 16), "mask": torch.rand(3, 2, 1, 16, 16)}
    fields |= {each.name: torch.rand(3, 2, width) for each in field}
    records = Records(fields, {"patient": torch.full((3, 2), 0.5)})
    networks = family.networks()
    for objective in objectives_of(family):
        loss = objective.loss(networks, records, objective.draw(3, 2, 2, torch.Generator().manual_seed(0)))
        assert loss.shape == (3,)
        assert loss.isfinite().all()
    conditions = {each.name: torch.rand(4, width) for each in field}
    drawn = family.sample(networks, conditions, 4, torch.Generator().manual_seed(1))
    assert drawn.shape == (4, *task.stack.shape)


def test_an_encoding_becomes_the_nearest_code() -> None:
    torch.manual_seed(0)
    book = Codebook(7, 4, 0.25)
    h = torch.randn(3, 4, 2, 5, requires_grad=True)
    quantised = book(h)
    points, places = on_sphere(book.embedding.weight, 1), on_sphere(h, 1).movedim(1, -1).reshape(-1, 4)
    expected = torch.cdist(places, points).argmin(dim=1).reshape(3, 2, 5)
    assert torch.equal(quantised.codes, expected)
    assert torch.allclose(quantised.vectors, book.vectors(expected), atol=1e-6)
    # Straight through: the encodings get the gradient of the codes' place on the sphere.
    (through,) = torch.autograd.grad(quantised.vectors[0, 1].sum(), h, retain_graph=True)
    (plain,) = torch.autograd.grad(on_sphere(h, 1)[0, 1].sum(), h, retain_graph=True)
    assert torch.allclose(through, plain)
    apart = (places.detach().reshape(3, 2, 5, 4).movedim(-1, 1) - book.vectors(expected)).square()
    assert torch.allclose(quantised.loss, 1.25 * apart.flatten(1).mean(dim=1), rtol=1e-5)


def test_moving_codes_are_the_papers_averages() -> None:
    """N_k and m_k of appendix A.1, kept apart for several batches, give the same codes m_k / N_k."""
    torch.manual_seed(0)
    book = MovingCodebook(3, 4, 0.25, decay=0.9)
    N, m = torch.ones(3), on_sphere(book.embedding.weight.detach(), 1).clone()
    for _ in range(3):
        h = torch.randn(2, 4, 3, 3)
        codes = book(h).codes.flatten()
        places = on_sphere(h, 1).movedim(1, -1).reshape(-1, 4)
        for k in range(3):
            N[k] = 0.9 * N[k] + 0.1 * (codes == k).sum()
            m[k] = 0.9 * m[k] + 0.1 * places[codes == k].sum(dim=0)
        assert torch.allclose(book.embedding.weight, m / N[:, None], atol=1e-5)
        # The book keeps codes on the sphere, where the next averages begin.
        m = N[:, None] * on_sphere(m / N[:, None], 1)
    before = book.embedding.weight.clone()
    with torch.no_grad():
        book(torch.randn(2, 4, 3, 3))
    assert torch.equal(book.embedding.weight, before)


@pytest.mark.parametrize("backend", BACKENDS)
def test_no_backend_takes_moving_codes(backend, family_of, patients) -> None:
    family = family_of("vq", codebook="ema")
    networks = {name: network.double() for name, network in family.networks().items()}
    (objective, _) = objectives_of(family)
    values = {name: p.detach() for name, p in trainable(objective, networks).items()}
    with pytest.raises((PrivacyRefusedError, RuntimeError), match=r"buffer|in-?place"):
        list(gradients_of(objective, networks, backend)(values, (patients(), {}), chunk=4))


def test_the_prior_moves_no_code(family_of, sides) -> None:
    family = family_of("vq", codebook="ema")
    networks = family.networks()
    before = {name: p.clone() for name, p in networks["vq"].state_dict().items()}
    (_, prior) = objectives_of(family)
    prior.loss(networks, sides(8), {}).sum().backward()
    assert all(torch.equal(p, before[name]) for name, p in networks["vq"].state_dict().items())
    assert all(p.grad is None for p in networks["vq"].parameters())


def test_two_levels_have_codes_of_their_own(family_of, perturbed) -> None:
    family = family_of("vq", hierarchical=True)
    networks = perturbed(family)
    x = torch.rand(2, 1, 16, 16) * 2 - 1
    made = networks["vq"](x)
    assert Grids.of(ImageSpec(channels=1, size=(64, 48)), VQOptions(hierarchical=True)).places == (12, 48)
    assert family.grids.places == (4, 16)
    assert made.codes.shape == (2, 20)
    assert made.codes[:, :4].max() < 16 <= made.codes[:, 4:].min()
    # What is read is what is written.
    assert torch.allclose(networks["vq"].decode(made.codes), made.reconstruction.clamp(-1, 1), atol=1e-5)
    allowed = networks["prior"].allowed
    assert torch.equal(allowed[:4], torch.tensor([True] * 16 + [False] * 16).expand(4, -1))
    assert torch.equal(allowed[4:], ~allowed[:1].expand(16, -1))
    condition = torch.eye(2)[[0, 1, 1]]
    drawn = one_by_one(networks["prior"], condition, torch.rand(3, 20))
    assert drawn[:, :4].max() < 16 <= drawn[:, 4:].min()


def _prior(kind: str) -> tuple[CodePrior, Tensor]:
    """Of three places with three codes, and a condition."""
    torch.manual_seed(1)
    options = VQOptions(prior=kind, prior_width=8, prior_heads=2, prior_depth=1)
    prior = CodePrior(torch.ones(3, 3, dtype=torch.bool), 2, options).eval()
    for parameter in prior.parameters():
        nn.init.normal_(parameter, std=0.4)
    return prior, torch.tensor([[1.0, -0.5]])


@torch.no_grad()
def test_codes_are_drawn_as_the_transformer_says() -> None:
    prior, y = _prior("transformer")
    every = torch.tensor(list(itertools.product(range(3), repeat=3)))
    tokens = torch.cat([torch.full((27, 1), 3), every[:, :-1]], dim=1)
    truth = (-nats(prior(tokens, y.expand(27, -1)), every).sum(dim=1)).exp()
    assert truth.sum().item() == pytest.approx(1.0, abs=1e-5)
    n = 20000
    drawn = one_by_one(prior, y.expand(n, -1), torch.rand(n, 3, generator=torch.Generator().manual_seed(0)))
    index = drawn @ torch.tensor([9, 3, 1])
    assert torch.allclose(index.bincount(minlength=27) / n, truth, atol=0.015)


@torch.no_grad()
def test_diffusion_draws_a_code_a_step_exactly_and_all_at_once_as_if_independent() -> None:
    prior, y = _prior("diffusion")
    n, rng = 20000, torch.Generator().manual_seed(0)
    uniform, order = (torch.rand(n, 3, generator=rng) for _ in range(2))
    unknown = torch.full((1, 3), 3)
    alone = prior(unknown, y)[0].exp()
    at_once = by_diffusion(prior, y.expand(n, -1), uniform, order, 1)
    for place in range(3):
        assert torch.allclose(at_once[:, place].bincount(minlength=3) / n, alone[place], atol=0.015)
    # In the order 2, 0, 1, by the chain rule along it.
    fixed = torch.tensor([[0.5, 0.9, 0.1]]).expand(n, -1)
    drawn = by_diffusion(prior, y.expand(n, -1), uniform, fixed, 3)
    for last in range(3):
        of_last = drawn[drawn[:, 2] == last]
        assert len(of_last) > 1000
        known = torch.tensor([[3, 3, last]])
        expected = prior(known, y)[0, 0].exp()
        assert torch.allclose(of_last[:, 0].bincount(minlength=3) / len(of_last), expected, atol=0.03)
    # A diffusion looks at later places too.
    assert not torch.allclose(prior(torch.tensor([[3, 3, 0]]), y)[0, 0], prior(unknown, y)[0, 0])


@torch.no_grad()
def test_a_transformer_looks_back_alone() -> None:
    prior, y = _prior("transformer")
    one, other = prior(torch.tensor([[3, 1, 2]]), y), prior(torch.tensor([[3, 1, 0]]), y)
    assert torch.allclose(one[:, :2], other[:, :2])
    assert not torch.allclose(one[:, 2], other[:, 2])


def test_a_number_falls_on_a_code_by_its_share() -> None:
    shares = torch.tensor([0.2, 0.0, 0.8]).log()
    assert picked(shares.expand(4, 3), torch.tensor([0.0, 0.19, 0.21, 0.9999999])).tolist() == [0, 0, 2, 2]


def test_heads_must_share_the_width() -> None:
    with pytest.raises(ValueError, match="prior_width must be a multiple of prior_heads"):
        VQOptions(prior_width=30)
