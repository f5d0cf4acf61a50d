"""Files of pretrained weights: safetensors with one tensor a parameter, named `network/parameter`; never pickle.

The file's sha256 stands in the study, so whoever has approved the study has approved these very bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from pydantic import ValidationError
from safetensors.torch import save
from torch import Tensor

from fedgen.errors import DataError
from fedgen.priors.prior import Prior
from fedgen.run.tensors import KEY, NamedFile, metadata
from fedgen.schema.section import Section
from fedgen.training.vector import ParameterLayout

SUFFIX = ".safetensors"
FILE = NamedFile("pretrained weights", "model.pretrained", "--pretrained", "fedgen export")


class Origin(Section):
    """Where exported weights come from, as the file itself says; a phantom's sites have no patients and no names here.

    Attributes:
        study: name of the study that trained them; of a prior what it was made of.
        study_sha256: its hash.
        mode: its privacy.mode.
        public: whether the one who exported it declared its data public.
        unprotected: sites whose patients it, or what it started from, was trained on without privacy.
        protected: sites whose patients it, or what it started from, was trained on with privacy.
        source: the sentence for `model.pretrained.source`.
        statement: what the run's privacy.json states.
    """

    study: str
    study_sha256: str
    mode: str
    public: bool
    unprotected: tuple[str, ...]
    protected: tuple[str, ...]
    source: str
    statement: str


@dataclass(frozen=True)
class Pretrained:
    """A file of weights, checked against the study that starts from it.

    Attributes:
        weights: by `network/parameter`, all of the family's networks, float32.
        origin: None for a file that fedgen did not export.
        content: its bytes.
        prior: where it holds a public prior, and no weights.
    """

    weights: Mapping[str, Tensor]
    origin: Origin | None
    content: bytes
    prior: Prior | None = None


def encode(weights: Mapping[str, Tensor], origin: Origin) -> bytes:
    """A file of weights; the same weights and origin give the same bytes."""
    contiguous = {name: tensor.contiguous() for name, tensor in weights.items()}
    return save(contiguous, metadata={KEY: origin.model_dump_json()})


def read_pretrained(sha256: str, layout: ParameterLayout, path: Path) -> Pretrained:
    """The weights in a file.

    Args:
        sha256: of the file, as the study names it.
        layout: all parameters of the study's family.
        path: of the file.

    Raises:
        StudyError: the file is another than the study names.
        DataError: it is absent, no safetensors, not of the study's networks, or not finite.
    """
    content = FILE.read(sha256, path)
    return Pretrained(_weights(content, path, layout), _origin(content, path), content)


def _weights(content: bytes, path: Path, layout: ParameterLayout) -> dict[str, Tensor]:
    tensors = FILE.tensors(content, path)
    expected = dict(layout.entries)
    for name in sorted(expected.keys() | tensors.keys()):
        if name not in tensors:
            wrong = f"lacks {name}"
        elif name not in expected:
            wrong = f"has {name}, which the study's networks do not have"
        elif tuple(tensors[name].shape) != expected[name]:
            wrong = f"has {name} in the shape {tuple(tensors[name].shape)}, not {expected[name]}"
        elif tensors[name].dtype != torch.float32:
            wrong = f"has {name} as {tensors[name].dtype}, not torch.float32"
        elif not bool(torch.isfinite(tensors[name]).all()):
            wrong = f"has values in {name} that are not finite"
        else:
            continue
        raise DataError(
            f"{path} does not fit the study ({wrong}): use weights of the same family, image size, labels and options."
        )
    return tensors


def _origin(content: bytes, path: Path) -> Origin | None:
    text = metadata(content)
    if text is None:
        return None
    try:
        return Origin.model_validate_json(text)
    except ValidationError:
        raise DataError(
            f"The metadata of {path} cannot be read: export it again with this version."
        ) from None
