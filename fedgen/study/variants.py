"""A study file as it would be with another family: what a comparison of families reads, and what `auto` becomes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from pydantic import ValidationError

from fedgen.families.registry import specs
from fedgen.families.spec import FamilySpec
from fedgen.schema.document import Document
from fedgen.study.model import ModelSection
from fedgen.study.training import TrainingSection

#: Of `model.family`: the plan is to settle it.
AUTO = "auto"
#: Keys of `model` that are of the family which the file names, and of no other.
_OF_ONE_FAMILY = ("pretrained", "adapters", "chosen")


def family_asked(document: Document) -> object:
    """What the file says of `model.family`, which may be nonsense; the default where it says nothing."""
    model = document.values.get("model")
    default = ModelSection.model_fields["family"].default
    return model.get("family", default) if isinstance(model, dict) else default


def in_family(document: Document, family: str) -> Document:
    """The document with that family.

    Pretrained weights go with the family that they are of, a prior with the families that stand on one. In mode
    distributed a round is one step, so a family that takes steps gets `local_steps` times as many rounds of one.
    """
    spec, asked = specs()[family], family_asked(document)
    model = document.values.get("model")
    kept = dict(model) if isinstance(model, dict) else {}
    if family != asked:
        for key in _OF_ONE_FAMILY:
            kept.pop(key, None)
    if not _stands(spec, kept.get(family)):
        kept.pop("prior", None)
    values: dict[str, Any] = {**document.values, "model": {**kept, "family": family}}
    privacy, training = values.get("privacy"), values.get("training") or {}
    if family != asked and isinstance(privacy, dict) and isinstance(training, dict):
        if spec.sums:
            values["privacy"] = {key: value for key, value in privacy.items() if key != "central_images"}
        elif privacy.get("mode") == "distributed":
            values["training"] = _one_step_a_round(training)
    return replace(document, values=values)


def _stands(spec: FamilySpec, options: object) -> bool:
    """Whether the family stands on a prior with the options that a file has for it, which may be nonsense."""
    try:
        return spec.stands(spec.options.model_validate(options or {}))
    except ValidationError:
        # Told where the options are read.
        return spec.prior


def _one_step_a_round(training: dict[str, Any]) -> dict[str, Any]:
    fields = TrainingSection.model_fields
    rounds, steps = (training.get(key, fields[key].default) for key in ("rounds", "local_steps"))
    if not isinstance(rounds, int) or not isinstance(steps, int):
        return training
    return {**training, "rounds": rounds * steps, "local_steps": 1}
