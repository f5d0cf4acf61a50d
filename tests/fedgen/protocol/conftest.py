"""Messages drawn from their own declaration: a kind that is added is drawn without a word here."""

from __future__ import annotations

import dataclasses
import enum
import types
from collections.abc import Callable
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import numpy as np
import pytest
import torch
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pydantic.fields import FieldInfo

from fedgen.protocol.messages import Assess, Message, SiteDescription
from fedgen.protocol.parts import Labels, MaskedWords, Pixels, ReleasedMasks, VectorPart
from fedgen.run.evidence_files import AuditNumbers, EvaluationNumbers
from fedgen.run.row import Finding, Row, Value, Verdict
from fedgen.schema.section import Section
from fedgen.task.image_spec import ImageSpec
from fedgen_privacy.secagg import Advertisement

Drawn = Callable[[type[Message]], st.SearchStrategy[Any]]

# Lone surrogates are no text: a site cannot have such a name.
LETTERS = st.characters(exclude_categories=["Cs"])
NAMES = st.text(LETTERS, min_size=1, max_size=128)
SPECS = [
    ImageSpec(channels=1, size=(16, 24)),
    ImageSpec(channels=3, size=(8, 9), spacing=(0.5, 2.0), orientation="PL"),
    ImageSpec(channels=1, size=(4, 5, 6), spacing=(1.0, 1.0, 2.5), orientation="SPR"),
]


def _limits(metadata: tuple[Any, ...]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for item in metadata:
        found |= _limits(tuple(item.metadata)) if isinstance(item, FieldInfo) else {}
        for name in ("ge", "gt", "le", "lt", "min_length", "max_length", "pattern"):
            value = getattr(item, name, None)
            found |= {} if value is None or isinstance(item, FieldInfo) else {name: value}
    return found


def _values(part: VectorPart) -> st.SearchStrategy[Any]:
    if isinstance(part, MaskedWords):
        return hnp.arrays(np.uint32, st.integers(1, 20))
    if isinstance(part, Labels):
        return st.lists(st.integers(0, 2**16 - 1), min_size=1, max_size=3).map(torch.tensor)
    if isinstance(part, ReleasedMasks):
        of_class = st.integers(0, 255).map(lambda value: torch.tensor(value, dtype=torch.uint8))
        return st.none() | of_class
    if isinstance(part, Pixels):
        shapes = hnp.array_shapes(min_dims=4, max_dims=5, max_side=3)
        return hnp.arrays(np.float32, shapes, elements=st.floats(-1, 1, width=16)).map(torch.from_numpy)
    elements = st.floats(width=32)
    return hnp.arrays(np.float32, st.integers(1, 20), elements=elements).map(torch.from_numpy)


def _text(limits: dict[str, Any]) -> st.SearchStrategy[str]:
    longest = limits.get("max_length", 200)
    if "pattern" not in limits:
        return st.text(LETTERS, min_size=limits.get("min_length", 0), max_size=longest)
    texts = st.from_regex(limits["pattern"], fullmatch=True, alphabet=LETTERS)
    # Here `$` also matches before a last line break, and in the messages it does not.
    return texts.filter(lambda text: len(text) <= longest and not text.endswith("\n"))


def _whole(limits: dict[str, Any]) -> st.SearchStrategy[int]:
    return st.integers(limits.get("ge", -(2**53)), limits.get("lt", 2**53) - 1)


def _number(limits: dict[str, Any]) -> st.SearchStrategy[float]:
    low, high = limits.get("ge", limits.get("gt")), limits.get("le", limits.get("lt"))
    return st.floats(
        low,
        high,
        allow_nan=False,
        allow_infinity=False,
        exclude_min="gt" in limits,
        exclude_max="lt" in limits,
    )


def drawn(kind: Any, *metadata: Any) -> st.SearchStrategy[Any]:
    """Values of an annotation within its limits."""
    for item in metadata:
        if isinstance(item, VectorPart):
            return _values(item)
    origin, arguments, limits = get_origin(kind), get_args(kind), _limits(metadata)
    few = {"min_size": limits.get("min_length", 0), "max_size": 3}
    if hasattr(kind, "__metadata__"):
        return drawn(kind.__origin__, *kind.__metadata__, *metadata)
    if origin in (Union, types.UnionType):
        return st.one_of([drawn(argument) for argument in arguments])
    if origin is Literal:
        return st.sampled_from(arguments)
    if origin is tuple and arguments[-1] is not Ellipsis:
        return st.tuples(*map(drawn, arguments))
    if origin in (tuple, list):
        return st.lists(drawn(arguments[0]), **few).map(origin)
    if origin is dict:
        return st.dictionaries(drawn(arguments[0]), drawn(arguments[1]), max_size=3)
    if kind in (str, int, float, bytes):
        simple = {str: _text, int: _whole, float: _number, bytes: lambda limits: st.binary(max_size=60)}
        return simple[kind](limits)
    if kind is Advertisement:
        return st.builds(Advertisement, st.binary(max_size=60), st.lists(NAMES, max_size=3).map(tuple))
    if kind is ImageSpec:
        return st.sampled_from(SPECS)
    if kind is type(None):
        return st.none()
    if issubclass(kind, enum.Enum):
        return st.sampled_from(kind)
    assert not dataclasses.is_dataclass(kind), f"{kind} needs its limits told, as Advertisement"
    return _model(kind)


def _model(kind: type[Section]) -> st.SearchStrategy[Any]:
    hints = get_type_hints(kind, include_extras=True)
    fields = {field.alias or name: drawn(hints[name]) for name, field in kind.model_fields.items()}
    return st.fixed_dictionaries(fields).map(lambda values: kind(**_fitted(kind, values)))


def _fitted(kind: type[Section], values: dict[str, Any]) -> dict[str, Any]:
    """What two fields have to agree on."""
    if kind is SiteDescription and None in (values["epsilon"], values["epsilon_rdp"]):
        return {**values, "epsilon": None, "epsilon_rdp": None, "noise_multiplier": 0.0}
    if kind is SiteDescription:
        return {**values, "noise_multiplier": values["noise_multiplier"] or 1.0}
    if kind is Value:
        weight = (values["weight"] or "n") if values["pool"] == "mean" else None
        return {**values, "weight": weight, "without": ()}
    if kind is Finding:
        return {**values, "sites": ()}
    if kind is Row:
        return {**values, "per_site": ()}
    if kind in (AuditNumbers, EvaluationNumbers):
        rows = tuple({row.id: row for row in values["rows"]}.values())
        calm = (Finding(verdict=Verdict.PASS, sentence=""),)
        judged = (row.model_copy(update={"findings": row.findings or calm}) for row in rows)
        return {**values, "rows": tuple(judged) if kind is AuditNumbers else rows}
    if kind is Assess:
        images, first = values["images"], values["masks"]
        masks = None if first is None else first.expand(len(images), 1, *images.shape[2:]).contiguous()
        return {**values, "labels": values["labels"][0].repeat(len(images)), "masks": masks}
    return values


@pytest.fixture(scope="session", name="drawn")
def drawn_fixture() -> Drawn:
    """Strategies of messages, by their class."""
    return drawn
