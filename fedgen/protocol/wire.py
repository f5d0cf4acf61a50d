"""Typed messages as bytes and vectors, and back, with strict checks on what came.

A message is one JSON object and at most one vector, float32 or masked uint32, so any transport can carry it.
Decoding trusts nothing: a missing, extra or wrongly typed field is an error, never a default.
"""

from __future__ import annotations

import base64
import binascii
import json
from typing import Annotated, Any, Literal, Self, TypeVar

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from fedgen.errors import ExitCode, FederationError
from fedgen.protocol.messages import (
    Answer,
    Assess,
    Assessment,
    Describe,
    MaskedUpdate,
    Refusal,
    RoundUpdate,
    SecureReply,
    SecureStep,
    SiteDescription,
    Task,
    TrainMasked,
    TrainRound,
    Words,
)
from fedgen.protocol.numbers import MAX_BYTES, AuditNumbers, EvaluationNumbers
from fedgen.protocol.release import unpack
from fedgen_privacy.secagg import Advertisement, Phase

Vector = np.ndarray[Any, np.dtype[np.float32]] | Words

T = TypeVar("T")

#: Longer than any message of a roster of the largest size.
MAX_BASE64 = 2**24

Name = Annotated[str, Field(min_length=1, max_length=128)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Positive = Annotated[float, Field(ge=0)]
Round = Annotated[int, Field(ge=1, lt=2**32)]
Attempt = Annotated[int, Field(ge=1, lt=2**16)]
Base64 = Annotated[str, Field(max_length=MAX_BASE64, pattern=r"^[A-Za-z0-9+/]*={0,2}$")]
Size = Annotated[int, Field(ge=1, lt=2**40)]
PhaseName = Literal["advertise", "share", "mask", "confirm", "unmask"]


class _Wire(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class _Keys(_Wire):
    advert: Base64
    bound_to: list[Name]


class _Describe(_Wire):
    kind: Literal["describe"] = "describe"
    study_sha256: Sha256
    round: Round


class _Train(_Wire):
    kind: Literal["train"] = "train"
    study_sha256: Sha256
    round: Round
    model_sha256: Sha256


class _Masked(_Wire):
    kind: Literal["train_masked"] = "train_masked"
    study_sha256: Sha256
    round: Round
    model_sha256: Sha256
    attempt: Attempt
    request: Base64


class _Step(_Wire):
    kind: Literal["secure_step"] = "secure_step"
    study_sha256: Sha256
    round: Round
    attempt: Attempt
    phase: PhaseName
    request: Base64


class _Assess(_Wire):
    kind: Literal["assess"] = "assess"
    study_sha256: Sha256
    model_sha256: Sha256
    parameters: Size
    shape: Annotated[list[Size], Field(min_length=4, max_length=4)]


class _Description(_Wire):
    kind: Literal["description"] = "description"
    site: Name
    patients: Annotated[int, Field(ge=1)]
    sampling_rate: Annotated[float, Field(gt=0, le=1)]
    noise_multiplier: Positive
    steps_per_round: Annotated[int, Field(ge=0)]
    epsilon: Positive | None
    epsilon_rdp: Positive | None
    keys: _Keys | None

    @model_validator(mode="after")
    def _noise_has_an_epsilon(self) -> Self:
        if len({self.noise_multiplier == 0, self.epsilon is None, self.epsilon_rdp is None}) > 1:
            raise ValueError("a site has noise and both epsilons, or none of them")
        return self


class _Update(_Wire):
    kind: Literal["update"] = "update"
    site: Name
    round: Round
    model_sha256: Sha256
    weight: Annotated[float, Field(gt=0)]
    losses: dict[Name, tuple[float, Positive]]


class _Reply(_Wire):
    kind: Literal["secure_reply"] = "secure_reply"
    site: Name
    round: Round
    attempt: Attempt
    phase: PhaseName
    reply: Base64
    keys: _Keys | None


class _MaskedUpdate(_Wire):
    kind: Literal["masked_update"] = "masked_update"
    site: Name
    round: Round
    attempt: Attempt
    receipt: Base64


class _Assessment(_Wire):
    kind: Literal["assessment"] = "assessment"
    site: Name
    question_sha256: Sha256
    audit: AuditNumbers | None
    evaluation: EvaluationNumbers | None


class _Refusal(_Wire):
    kind: Literal["refusal"] = "refusal"
    site: Name
    code: int
    reason: Annotated[str, Field(max_length=500)]
    about: Annotated[list[Name], Field(max_length=1024)]


_TASK: TypeAdapter[_Describe | _Train | _Masked | _Step | _Assess] = TypeAdapter(
    Annotated[_Describe | _Train | _Masked | _Step | _Assess, Field(discriminator="kind")]
)
_ANSWER: TypeAdapter[_Description | _Update | _Reply | _MaskedUpdate | _Assessment | _Refusal] = TypeAdapter(
    Annotated[
        _Description | _Update | _Reply | _MaskedUpdate | _Assessment | _Refusal, Field(discriminator="kind")
    ]
)


def encode_task(task: Task) -> tuple[str, Vector | None]:
    """A task as JSON text and vector."""
    match task:
        case Describe():
            return _Describe(study_sha256=task.study_sha256, round=task.round).model_dump_json(), None
        case TrainRound():
            return _Train(**_round(task)).model_dump_json(), task.model.numpy()
        case TrainMasked():
            masked = _Masked(**_round(task.train), attempt=task.attempt, request=_text(task.request))
            return masked.model_dump_json(), task.train.model.numpy()
        case SecureStep():
            step = _Step(
                study_sha256=task.study_sha256,
                round=task.round,
                attempt=task.attempt,
                phase=task.phase.value,
                request=_text(task.request),
            )
            return step.model_dump_json(), None
        case Assess():
            question = _Assess(
                study_sha256=task.study_sha256,
                model_sha256=task.model_sha256,
                parameters=task.model.shape[0],
                shape=list(task.images.shape),
            )
            return question.model_dump_json(), task.vector.numpy()


def decode_task(text: str, vector: Vector | None) -> Task:
    """A task from JSON text and vector.

    Raises:
        FederationError: the message is not a valid task.
    """
    body = _parse(_TASK, text)
    match body:
        case _Describe():
            return Describe(body.study_sha256, body.round)
        case _Train():
            return TrainRound(body.study_sha256, body.round, body.model_sha256, _tensor(vector))
        case _Masked():
            train = TrainRound(body.study_sha256, body.round, body.model_sha256, _tensor(vector))
            return TrainMasked(train, body.attempt, _bytes(body.request))
        case _Step():
            return SecureStep(
                body.study_sha256, body.round, body.attempt, Phase(body.phase), _bytes(body.request)
            )
        case _Assess():
            parts = unpack(_tensor(vector), body.parameters, body.shape)
            return Assess(body.study_sha256, body.model_sha256, *parts)


def encode_answer(answer: Answer) -> tuple[str, Vector | None]:
    """An answer as JSON text and vector.

    Raises:
        ValueError: an assessment holds what may not leave a site (a defect of this version).
    """
    match answer:
        case RoundUpdate():
            body = _Update(
                site=answer.site,
                round=answer.round,
                model_sha256=answer.model_sha256,
                weight=answer.weight,
                losses=answer.losses,
            )
            return body.model_dump_json(), answer.update.numpy()
        case MaskedUpdate():
            masked = _MaskedUpdate(
                site=answer.site, round=answer.round, attempt=answer.attempt, receipt=_text(answer.receipt)
            )
            return masked.model_dump_json(), answer.words
        case SecureReply():
            reply = _Reply(
                site=answer.site,
                round=answer.round,
                attempt=answer.attempt,
                phase=answer.phase.value,
                reply=_text(answer.reply),
                keys=_encode_keys(answer.keys),
            )
            return reply.model_dump_json(), None
        case Refusal():
            refusal = _Refusal(
                site=answer.site, code=int(answer.code), reason=answer.reason, about=list(answer.about)
            )
            return refusal.model_dump_json(), None
        case Assessment():
            assessment = _Assessment.model_validate(vars(answer))
            text = assessment.model_dump_json(by_alias=True)
            if len(text) > MAX_BYTES:
                raise ValueError(f"an assessment of {len(text)} bytes is larger than {MAX_BYTES}")
            return text, None
        case SiteDescription():
            description = _Description(**{**vars(answer), "keys": _encode_keys(answer.keys)})
            return description.model_dump_json(), None


def decode_answer(text: str, vector: Vector | None) -> Answer:
    """An answer from JSON text and vector.

    Raises:
        FederationError: the message is not a valid answer.
    """
    body = _parse(_ANSWER, text)
    fields = {name: value for name, value in body if name != "kind"}
    match body:
        case _Update():
            return RoundUpdate(update=_tensor(vector), **fields)
        case _MaskedUpdate():
            return MaskedUpdate(**{**fields, "receipt": _bytes(body.receipt)}, words=_words(vector))
        case _Reply():
            typed = {
                "phase": Phase(body.phase),
                "reply": _bytes(body.reply),
                "keys": _decode_keys(body.keys),
            }
            return SecureReply(**{**fields, **typed})
        case _Refusal():
            try:
                return Refusal(body.site, ExitCode(body.code), body.reason, tuple(body.about))
            except ValueError:
                raise FederationError(f"A site refused with the unknown code {body.code}.") from None
        case _Assessment():
            if len(text) > MAX_BYTES:
                raise FederationError(f"A site sent an assessment of more than {MAX_BYTES} bytes.")
            parts = (None if part is None else part.to_json() for part in (body.audit, body.evaluation))
            return Assessment(body.site, body.question_sha256, *parts)
        case _Description():
            return SiteDescription(**{**fields, "keys": _decode_keys(body.keys)})


def _round(task: TrainRound) -> dict[str, Any]:
    return {"study_sha256": task.study_sha256, "round": task.round, "model_sha256": task.model_sha256}


def _encode_keys(keys: Advertisement | None) -> _Keys | None:
    return None if keys is None else _Keys(advert=_text(keys.advert), bound_to=list(keys.bound_to))


def _decode_keys(keys: _Keys | None) -> Advertisement | None:
    return None if keys is None else Advertisement(_bytes(keys.advert), tuple(keys.bound_to))


def _text(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")


def _bytes(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error:
        raise FederationError(
            "A message could not be read (not base64): both sides must run the same version."
        ) from None


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


def _words(vector: Vector | None) -> Words:
    if vector is None or vector.dtype != np.uint32 or vector.ndim != 1:
        raise FederationError(
            "A message came without its masked vector: both sides must run the same version."
        )
    return np.ascontiguousarray(vector, dtype=np.uint32)
