"""What a loss of these autoencoders is made of, each a number for each row; and one image's way through them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor
from torch.nn.functional import softplus

from fedgen.families.contract import Apply


@dataclass(frozen=True)
class Passes:
    """n images on their way: encoded, decoded, and beside them images made of the prior with the same conditions.

    What is made is made once, and only if a term asks for it.

    Attributes:
        networks: every network by name, callable.
        x, y: (n, C, *size) and (n, width); x is None where no patient is read.
        eps: (n, latent_size) standard normal, of the posterior; None likewise.
        z: (n, latent_size) standard normal, of the prior.
    """

    networks: Mapping[str, Apply]
    x: Tensor | None
    y: Tensor
    eps: Tensor | None
    z: Tensor

    @property
    def image(self) -> Tensor:
        """x.

        Raises:
            ValueError: no patient is read.
        """
        if self.x is None:
            raise ValueError("this loss reads images, and was given none")
        return self.x

    @cached_property
    def posterior(self) -> tuple[Tensor, Tensor]:
        """mu and ln sigma^2 of the images."""
        mu, logvar = self.networks["encoder"](self.image, self.y)
        return mu, logvar

    @cached_property
    def encoded(self) -> Tensor:
        """z of the images."""
        assert self.eps is not None
        mu, logvar = self.posterior
        return mu + torch.exp(0.5 * logvar) * self.eps

    @cached_property
    def reconstruction(self) -> Tensor:
        """The images again."""
        again: Tensor = self.networks["decoder"](self.encoded, self.y)
        return again

    @cached_property
    def made(self) -> Tensor:
        """Images of the prior."""
        images: Tensor = self.networks["decoder"](self.z, self.y)
        return images


#: One number a row, (n,).
Term = Callable[[Passes], Tensor]


def weighted(parts: Mapping[Term, float]) -> Term:
    """The sum of terms with their weights; a term of weight 0 is not computed."""

    def total(way: Passes) -> Tensor:
        return torch.stack([weight * term(way) for term, weight in parts.items() if weight]).sum(dim=0)

    return total


def squared_error(way: Passes) -> Tensor:
    """Mean over pixels of (x - x_hat)^2."""
    return (way.image - way.reconstruction).square().flatten(1).mean(dim=1)


def absolute_error(way: Passes) -> Tensor:
    """Mean over pixels of |x - x_hat|."""
    return (way.image - way.reconstruction).abs().flatten(1).mean(dim=1)


def reconstructed(way: Passes) -> Tensor:
    """Minus `squared_error`: of an attack, not of a loss."""
    return -squared_error(way)


def judged(way: Passes) -> Tensor:
    """The discriminator's logit of the image (LOGAN, Hayes et al. 2019): of an attack, not of a loss."""
    logits: Tensor = way.networks["discriminator"](way.image, way.y).logits
    return logits


def feature_error(way: Passes) -> Tensor:
    """Mean over the discriminator's features of their squared differences (Larsen et al. 2016, equation 7)."""
    judge = way.networks["discriminator"]
    # Of the image itself there is nothing to learn here.
    truth = judge(way.image, way.y).features.detach()
    return (truth - judge(way.reconstruction, way.y).features).square().mean(dim=1)


def nats(posterior: tuple[Tensor, Tensor]) -> Tensor:
    """KL(N(mu, diag exp(logvar)) || N(0, I)), (n,)."""
    mu, logvar = posterior
    return 0.5 * (mu.square() + logvar.exp() - 1 - logvar).sum(dim=1)


def divergence(way: Passes) -> Tensor:
    """KL of the images' posterior from the prior."""
    return nats(way.posterior)


def divergence_of_reconstruction(way: Passes) -> Tensor:
    """KL of what the encoder says of the reconstruction."""
    return nats(way.networks["encoder"](way.reconstruction, way.y))


def divergence_of_made(way: Passes) -> Tensor:
    """KL of what the encoder says of images of the prior."""
    return nats(way.networks["encoder"](way.made, way.y))


def short_of(margin: float, images: Callable[[Passes], Tensor]) -> Term:
    """[m - KL]+ of images that the encoder is to know as the model's own (Huang et al. 2018, equation 11).

    In the paper the KL is a mean over the batch before it is cut off; here it is cut off image by image, so that a
    patient's loss is nobody else's.
    """

    def shortfall(way: Passes) -> Tensor:
        return (margin - nats(way.networks["encoder"](images(way).detach(), way.y))).clamp_min(0)

    return shortfall


def reconstructed_passes(way: Passes) -> Tensor:
    """-log D(x_hat)."""
    return softplus(-way.networks["discriminator"](way.reconstruction, way.y).logits)


def made_passes(way: Passes) -> Tensor:
    """-log D(G(z))."""
    return softplus(-way.networks["discriminator"](way.made, way.y).logits)


def latent_passes(way: Passes) -> Tensor:
    """-log C(z_hat)."""
    return softplus(-way.networks["critic"](way.encoded, way.y))


def discrimination(way: Passes) -> Tensor:
    """-log D(x) - (log(1 - D(x_hat)) + log(1 - D(G(z)))) / 2: as many real images as others (Larsen et al. 2016)."""
    judge = way.networks["discriminator"]
    real = softplus(-judge(way.image, way.y).logits)
    others = [softplus(judge(each.detach(), way.y).logits) for each in (way.reconstruction, way.made)]
    return real + 0.5 * (others[0] + others[1])


def criticism(way: Passes) -> Tensor:
    """-log C(z) - log(1 - C(z_hat)) (Makhzani et al. 2016)."""
    critic = way.networks["critic"]
    return softplus(-critic(way.z, way.y)) + softplus(critic(way.encoded.detach(), way.y))
