"""The kinds of autoencoder with adversaries: which objectives each has. Another one is another function here."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from fedgen.families.contract import Objective
from fedgen.families.vae_gan import terms
from fedgen.families.vae_gan.objectives import OnPatients, OnPrior
from fedgen.families.vae_gan.options import VAEGANOptions
from fedgen.families.vae_gan.terms import Term, weighted
from fedgen.task.task import Task

#: What two undecided players, and two that are beaten, stay below.
PLAYERS = 4.0


class _Kind:
    """What all kinds share: pixels, weights and bounds."""

    def __init__(self, task: Task, options: VAEGANOptions) -> None:
        self._task = task
        #: One nat of an image, in nats a pixel.
        self.nat = 1.0 / math.prod(task.stack.shape)
        self.pixels = 1 / (2 * options.reconstruction_std**2)
        # The loss of a reconstruction wrong by a quarter of the intensity range at every pixel.
        self.bound = 0.125 / options.reconstruction_std**2
        self.adversary = options.adversary
        self.options = options

    def patients(self, name: str, updates: tuple[str, ...], term: Term, bound: float) -> Objective:
        """An objective that reads patients."""
        return OnPatients(name, updates, term, bound, **self._common)

    def prior(self, name: str, updates: tuple[str, ...], term: Term, bound: float) -> Objective:
        """An objective that reads nobody."""
        return OnPrior(name, updates, term, bound, **self._common)

    @property
    def _common(self) -> dict[str, Any]:
        o = self.options
        return {"task": self._task, "latent_size": o.latent_size, "learning_rate": o.learning_rate}


def vae_gan(kind: _Kind) -> tuple[Objective, ...]:
    """Larsen et al. 2016: the image again in pixels and in the discriminator's features, and the KL.

    The paper's decoder hears of the discriminator by the prior's images and by reconstructions at once; here by the
    prior's alone, in a loss of its own that reads no patient. Likeness in pixels, which the paper has not, holds an
    autoencoder together whose discriminator has learned little yet.
    """
    parts: dict[Term, float] = {
        terms.squared_error: kind.pixels,
        terms.feature_error: 0.5 * kind.options.features,
        terms.divergence: kind.nat,
    }
    return (
        kind.patients("autoencoder", ("encoder", "decoder"), weighted(parts), kind.bound),
        kind.patients("discriminator", ("discriminator",), terms.discrimination, PLAYERS),
        kind.prior("generator", ("decoder",), terms.made_passes, PLAYERS),
    )


def adversarial(kind: _Kind) -> tuple[Objective, ...]:
    """Makhzani et al. 2016, with a Gaussian encoder: the image again, and latents that pass for the prior's."""
    parts: dict[Term, float] = {terms.squared_error: kind.pixels, terms.latent_passes: kind.adversary}
    return (
        kind.patients("autoencoder", ("encoder", "decoder"), weighted(parts), kind.bound),
        kind.patients("critic", ("critic",), terms.criticism, PLAYERS),
    )


def intro(kind: _Kind) -> tuple[Objective, ...]:
    """Huang et al. 2018: the encoder gives the model's own images a high KL, the decoder makes images of a low one.

    The decoder's part on images of the prior reads no patient, and is a loss of its own. Margins are each image's
    (`terms.short_of`), the whole in nats a pixel with weights alpha = beta = 1, as of a VAE.
    """
    margin, nat = kind.options.margin, kind.nat
    encoder: dict[Term, float] = {
        terms.squared_error: kind.pixels,
        terms.divergence: nat,
        terms.short_of(margin, lambda way: way.reconstruction): nat,
        terms.short_of(margin, lambda way: way.made): nat,
    }
    decoder: dict[Term, float] = {terms.squared_error: kind.pixels, terms.divergence_of_reconstruction: nat}
    made: dict[Term, float] = {terms.divergence_of_made: nat}
    return (
        kind.patients("encoder", ("encoder",), weighted(encoder), kind.bound),
        kind.patients("decoder", ("decoder",), weighted(decoder), kind.bound),
        kind.prior("generator", ("decoder",), weighted(made), kind.bound),
    )


def alpha(kind: _Kind) -> tuple[Objective, ...]:
    """Rosca et al. 2017: the image again by absolute error, both adversaries' word, and no KL.

    Absolute error over the likelihood's standard deviation is the paper's Laplace likelihood.
    """
    parts: dict[Term, float] = {
        terms.absolute_error: 1 / kind.options.reconstruction_std,
        terms.reconstructed_passes: kind.adversary,
        terms.latent_passes: kind.adversary,
    }
    return (
        kind.patients("autoencoder", ("encoder", "decoder"), weighted(parts), kind.bound),
        kind.patients("discriminator", ("discriminator",), terms.discrimination, PLAYERS),
        kind.patients("critic", ("critic",), terms.criticism, PLAYERS),
        kind.prior("generator", ("decoder",), terms.made_passes, PLAYERS),
    )


#: By `VAEGANOptions.kind`.
KINDS: Mapping[str, Callable[[_Kind], tuple[Objective, ...]]] = MappingProxyType(
    {"vae_gan": vae_gan, "adversarial": adversarial, "intro": intro, "alpha": alpha}
)


def objectives(task: Task, options: VAEGANOptions) -> tuple[Objective, ...]:
    """Of the kind that the options name."""
    return KINDS[options.kind](_Kind(task, options))
