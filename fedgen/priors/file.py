"""Files of priors: safetensors with the card in the metadata; the file's sha256 stands in the study."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from pydantic import ValidationError
from safetensors.torch import save
from torch import Tensor

from fedgen.errors import DataError
from fedgen.priors.autoencoder import code_shape, expected_of, from_tensors
from fedgen.priors.card import Card
from fedgen.priors.linear_space import LinearSpace
from fedgen.priors.prior import Prior, no_donors
from fedgen.priors.space import Space
from fedgen.run.tensors import KEY, NamedFile, metadata

FILE = NamedFile("a public prior", "model.prior", "--prior", "fedgen prior build")
#: Donors that are looked at before a file is used.
PROBED = 16
#: How far from orthonormal components may be.
TOLERANCE = 1e-3


@dataclass(frozen=True)
class PriorFile:
    """A prior's file, checked.

    Attributes:
        prior: what it holds.
        card: what it says of itself.
        content: its bytes.
    """

    prior: Prior
    card: Card
    content: bytes

    @property
    def sha256(self) -> str:
        """Of the file."""
        return hashlib.sha256(self.content).hexdigest()


def encode(prior: Prior, card: Card) -> bytes:
    """A file; the same prior and card give the same bytes."""
    tensors = dict(prior.space.tensors())
    if len(prior.donors):
        tensors["donors"] = prior.donors.half()
    contiguous = {name: tensor.contiguous() for name, tensor in tensors.items()}
    return save(contiguous, metadata={KEY: card.model_dump_json()})


def read_prior(path: Path, sha256: str | None = None) -> PriorFile:
    """The prior in a file.

    Args:
        path: of the file.
        sha256: that it must have; None where any will do.

    Raises:
        StudyError: the file is another than the study names.
        DataError: it is absent, no safetensors, without a card, not finite, or not what its card says.
    """
    return parse_prior(FILE.content(path) if sha256 is None else FILE.read(sha256, path), path)


def parse_prior(content: bytes, path: Path) -> PriorFile:
    """The prior in the bytes of a file.

    Args:
        content: the bytes.
        path: how a message calls the file.

    Raises:
        DataError: as `read_prior`.
    """
    tensors = FILE.tensors(content, path)
    card = _card(content, path)
    wrong = _wrong(tensors, _expected(card))
    if wrong is not None:
        raise DataError(f"{path} is not what its card says ({wrong}): make one with `{FILE.made_by}`.")
    prior = Prior(_space(card, tensors), tensors["donors"].float() if card.donors else no_donors(card.shape))
    if not _tells_finite(prior):
        raise DataError(
            f"{path} gives latents or images that are not finite, so that no patient could be asked about them: make "
            f"another with `{FILE.made_by}`."
        )
    return PriorFile(prior, card, content)


def _expected(card: Card) -> dict[str, tuple[int, ...]]:
    """Names and shapes of what a file with this card holds."""
    network = card.network
    shape = card.shape if network is None else code_shape(network, card.size)
    expected = {"mean": shape, "components": (card.components, *shape), "stds": (card.components,)}
    if network is not None:
        expected |= expected_of(network, card.shape)
    if card.donors:
        expected["donors"] = (card.donors, *card.shape)
    return expected


def _space(card: Card, tensors: Mapping[str, Tensor]) -> Space:
    linear = LinearSpace(tensors["mean"], tensors["components"], tensors["stds"])
    return linear if card.network is None else from_tensors(card.network, card.shape, linear, tensors)


@torch.no_grad()
def _tells_finite(prior: Prior) -> bool:
    """Whether plain images and the donors, and what is made of them again, are finite in the space."""
    plain = torch.stack([torch.full(prior.shape, level) for level in (-1.0, 0.0, 1.0)])
    z = prior.space.encode(torch.cat([plain, prior.donors[:PROBED]]))
    return bool(torch.isfinite(z).all() and torch.isfinite(prior.space.decode(z)).all())


def _card(content: bytes, path: Path) -> Card:
    text = metadata(content)
    if text is None:
        raise DataError(
            f"{path} has no card, so that nobody can say what it was made of: make one with `{FILE.made_by}`."
        )
    try:
        return Card.model_validate_json(text)
    except ValidationError:
        raise DataError(
            f"The card of {path} cannot be read: build the prior again with this version. Weights that `fedgen export` "
            "wrote are no prior, and belong to model.pretrained."
        ) from None


def _wrong(tensors: dict[str, Tensor], expected: dict[str, tuple[int, ...]]) -> str | None:
    for name in sorted(expected.keys() | tensors.keys()):
        if name not in tensors:
            return f"lacks {name}"
        if name not in expected:
            return f"has {name}, which no prior has"
        found = tensors[name]
        if tuple(found.shape) != expected[name]:
            return f"has {name} in the shape {tuple(found.shape)}, not {expected[name]}"
        if found.dtype != (torch.float16 if name == "donors" else torch.float32):
            return f"has {name} as {found.dtype}"
        if not bool(torch.isfinite(found).all()):
            return f"has values in {name} that are not finite"
    if not all(bool((tensors[name] > 0).all()) for name in ("stds", "spread") if name in tensors):
        return "has a standard deviation that is not above 0"
    basis = tensors["components"].flatten(1).double()
    if float((basis @ basis.T - torch.eye(len(basis))).abs().max()) > TOLERANCE:
        return "has components that are not orthonormal"
    return None
