"""Typed messages as bytes and vectors, and back, with strict checks on what came.

A message is one JSON object and at most one float32 vector, so any transport can carry it. Decoding
trusts nothing: a missing, extra or wrongly typed field is an error, never a default.
"""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal, Self, TypeVar

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from fedgen.errors import ExitCode, FederationError
from fedgen.protocol.messages import Answer, Describe, Refusal, RoundUpdate, SiteDescription, Task, TrainRound

Vector = np.ndarray[Any, np.dtype[np.float32]]

T = TypeVar("T")

Name = Annotated[str, Field(min_length=1, max_length=128)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Positive = Annotated[float, Field(ge=0)]


class _Wire(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class _Describe(_Wire):
    kind: Literal["describe"] = "describe"
    study_sha256: Sha256


class _Train(_Wire):
    kind: Literal["train"] = "train"
    study_sha256: Sha256
    round: Annotated[int, Field(ge=1)]
    model_sha256: Sha256


class _Description(_Wire):
    kind: Literal["description"] = "description"
    site: Name
    patients: Annotated[int, Field(ge=1)]
    sampling_rate: Annotated[float, Field(gt=0, le=1)]
    noise_multiplier: Positive
    steps_per_round: Annotated[int, Field(ge=0)]
    epsilon: Positive | None
    epsilon_rdp: Positive | None

    @model_validator(mode="after")
    def _noise_has_an_epsilon(self) -> Self:
        if len({self.noise_multiplier == 0, self.epsilon is None, self.epsilon_rdp is None}) > 1:
            raise ValueError("a site has noise and both epsilons, or none of them")
        return self


class _Update(_Wire):
    kind: Literal["update"] = "update"
    site: Name
    round: Annotated[int, Field(ge=1)]
    model_sha256: Sha256
    weight: Annotated[float, Field(gt=0)]
    losses: dict[Name, tuple[float, Positive]]


class _Refusal(_Wire):
    kind: Literal["refusal"] = "refusal"
    site: Name
    code: int
    reason: Annotated[str, Field(max_length=500)]


_TASK: TypeAdapter[_Describe | _Train] = TypeAdapter(
    Annotated[_Describe | _Train, Field(discriminator="kind")]
)
_ANSWER: TypeAdapter[_Description | _Update | _Refusal] = TypeAdapter(
    Annotated[_Description | _Update | _Refusal, Field(discriminator="kind")]
)


def encode_task(task: Task) -> tuple[str, Vector | None]:
    """A task as JSON text and vector."""
    if isinstance(task, Describe):
        return _Describe(study_sha256=task.study_sha256).model_dump_json(), None
    body = _Train(study_sha256=task.study_sha256, round=task.round, model_sha256=task.model_sha256)
    return body.model_dump_json(), task.model.numpy()


def decode_task(text: str, vector: Vector | None) -> Task:
    """A task from JSON text and vector.

    Raises:
        FederationError: the message is not a valid task.
    """
    body = _parse(_TASK, text)
    if isinstance(body, _Describe):
        return Describe(body.study_sha256)
    return TrainRound(body.study_sha256, body.round, body.model_sha256, _tensor(vector))


def encode_answer(answer: Answer) -> tuple[str, Vector | None]:
    """An answer as JSON text and vector."""
    if isinstance(answer, RoundUpdate):
        body = _Update(
            site=answer.site,
            round=answer.round,
            model_sha256=answer.model_sha256,
            weight=answer.weight,
            losses=answer.losses,
        )
        return body.model_dump_json(), answer.update.numpy()
    if isinstance(answer, Refusal):
        return _Refusal(site=answer.site, code=int(answer.code), reason=answer.reason).model_dump_json(), None
    return _Description(**vars(answer)).model_dump_json(), None


def decode_answer(text: str, vector: Vector | None) -> Answer:
    """An answer from JSON text and vector.

    Raises:
        FederationError: the message is not a valid answer.
    """
    body = _parse(_ANSWER, text)
    fields = {name: value for name, value in body if name != "kind"}
    if isinstance(body, _Update):
        return RoundUpdate(update=_tensor(vector), **fields)
    if isinstance(body, _Refusal):
        try:
            return Refusal(body.site, ExitCode(body.code), body.reason)
        except ValueError:
            raise FederationError(f"A site refused with the unknown code {body.code}.") from None
    return SiteDescription(**fields)


def _parse(adapter: TypeAdapter[T], text: str) -> T:
    try:
        return adapter.validate_python(_tuples(json.loads(text)))
    except (ValueError, RecursionError, ValidationError) as error:
        kind = error.errors()[0]["msg"] if isinstance(error, ValidationError) else "not JSON"
        raise FederationError(
            f"A message could not be read ({kind}): both sides must run the same version."
        ) from None


def _tuples(value: Any) -> Any:
    # JSON has no tuples and strict validation takes no list for one.
    if isinstance(value, dict) and isinstance(value.get("losses"), dict):
        losses = {k: tuple(v) if isinstance(v, list) else v for k, v in value["losses"].items()}
        return {**value, "losses": losses}
    return value


def _tensor(vector: Vector | None) -> torch.Tensor:
    if vector is None or vector.dtype != np.float32 or vector.ndim != 1:
        raise FederationError(
            "A message came without its float32 vector: both sides must run the same version."
        )
    return torch.from_numpy(np.array(vector, dtype=np.float32))
