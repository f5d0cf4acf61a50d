"""What crosses the wire between coordinator and site: these models are the wire (`fedgen.protocol.wire` carries them).

Tasks go down, answers come up. A model or an update is one flat float32 vector beside the text; everything else is
numbers and short strings. A site's error travels as a code and a fixed sentence, never as its text:
error texts can quote paths, and paths can quote patients.

A new message is one class here, added to `Task` or `Answer`. Limits hold where a message is made as where it arrives.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Annotated, Any, ClassVar, Literal, Self

import numpy as np
from pydantic import (
    AfterValidator,
    ConfigDict,
    Field,
    model_validator,
)

from fedgen.errors import ExitCode
from fedgen.protocol.fields import Hex32
from fedgen.protocol.parts import (
    FloatVector,
    ImageBatch,
    LabelBatch,
    MaskBatch,
    Vector,
    VectorPart,
    WordVector,
)
from fedgen.protocol.receipt import SignedReceipt
from fedgen.protocol.release import released_sha256
from fedgen.run.evidence_files import AuditNumbers, EvaluationNumbers
from fedgen.schema.section import Section
from fedgen.task.image_spec import ImageSpec
from fedgen_privacy.secagg import Advertisement, Phase

#: Characters of any message's JSON text: a `Content` of the largest size, its site's keys and some more.
MAX_TEXT = 2**25
#: Longer than any message of the secure aggregation of a roster of the largest size.
MAX_CONTENT = 3 * 2**22
#: Characters of an assessment.
MAX_ASSESSMENT = 2**18
MAX_NAMES = 1024
MAX_REASON = 500

Name = Annotated[str, Field(min_length=1, max_length=128)]
Names = Annotated[tuple[Name, ...], Field(max_length=MAX_NAMES)]
Positive = Annotated[float, Field(ge=0)]
Count = Annotated[int, Field(ge=0)]
Round = Annotated[int, Field(ge=1, lt=2**32)]
Attempt = Annotated[int, Field(ge=1, lt=2**16)]
Content = Annotated[bytes, Field(max_length=MAX_CONTENT, repr=False)]


def _keys_within_limits(keys: Advertisement) -> Advertisement:
    lengths = [len(name) for name in keys.bound_to]
    if len(keys.advert) > MAX_CONTENT or len(lengths) > MAX_NAMES or not all(1 <= n <= 128 for n in lengths):
        raise ValueError("keys of a session are shorter and name other sites")
    return keys


Keys = Annotated[Advertisement, AfterValidator(_keys_within_limits)]


class Message(Section):
    """The base of all messages: JSON with a `kind`, bytes in it as base64, and long vectors beside it.

    In JSON every field is said; a default below is for Python alone.
    """

    # What a site computed must not be quoted by an error about it.
    model_config = ConfigDict(ser_json_bytes="base64", val_json_bytes="base64", hide_input_in_errors=True)

    #: Characters of its JSON text, at most.
    longest: ClassVar[int] = MAX_TEXT

    def vector(self) -> Vector | None:
        """All parts, one after the other, as the one flat vector that travels; None where it has none."""
        parts: list[Any] = list(self.parts())
        if len(parts) < 2:
            return parts[0] if parts else None
        return np.concatenate(parts)

    def parts(self) -> Iterator[Vector]:
        """Its own parts and those of messages within it, flat, in the order of the fields."""
        for name, field in type(self).model_fields.items():
            value = getattr(self, name)
            if isinstance(value, Message):
                yield from value.parts()
            for marker in field.metadata:
                if isinstance(marker, VectorPart) and value is not None:
                    yield marker.flat(value)


class Describe(Message):
    """Ask a site what it would bring and spend.

    Attributes:
        study_sha256: of the resolved study.
        round: the round that training will go on with; a site adds its keys for it.
    """

    kind: Literal["describe"] = "describe"
    study_sha256: Hex32
    round: Round


class SiteDescription(Message):
    """A site's answer to `Describe`.

    Attributes:
        site: name.
        patients: N, training patients; treated as public (docs/explanation/privacy-claims.md).
        sampling_rate: q.
        noise_multiplier: sigma, or 0 without privacy.
        steps_per_round: how often a round touches the data.
        epsilon: PRV epsilon of the whole study at this site, or None without privacy.
        epsilon_rdp: the same by RDP.
        keys: for the secure aggregation of the round asked for; None where the study has none.
        grid: what the site's prepared images are, with spacing and orientation; None where it does not say.
    """

    kind: Literal["site_description"] = "site_description"
    site: Name
    patients: Annotated[int, Field(ge=1)]
    sampling_rate: Annotated[float, Field(gt=0, le=1)]
    noise_multiplier: Positive
    steps_per_round: Count
    epsilon: Positive | None
    epsilon_rdp: Positive | None
    keys: Keys | None = None
    grid: ImageSpec | None = None

    @model_validator(mode="after")
    def _noise_has_an_epsilon(self) -> Self:
        if len({self.noise_multiplier == 0, self.epsilon is None, self.epsilon_rdp is None}) > 1:
            raise ValueError("a site has noise and both epsilons, or none of them")
        return self


class TrainRound(Message):
    """Ask a site for its update in a round.

    Attributes:
        study_sha256: of the resolved study; a site refuses another.
        round: from 1.
        model_sha256: of `model`; a site checks it.
        model: (P,) float32.
    """

    kind: Literal["train_round"] = "train_round"
    study_sha256: Hex32
    round: Round
    model_sha256: Hex32
    model: FloatVector


class RoundUpdate(Message):
    """A site's answer to `TrainRound`.

    Attributes:
        site: name.
        round: the round it answers.
        model_sha256: the model it started from.
        update: (P,) float32, model after minus model before.
        weight: the update's weight in the average.
        losses: objective to (mean loss, standard deviation of the privacy noise in it).
    """

    kind: Literal["round_update"] = "round_update"
    site: Name
    round: Round
    model_sha256: Hex32
    update: FloatVector
    weight: Annotated[float, Field(gt=0)]
    losses: dict[Name, tuple[float, Positive]]


class SecureStep(Message):
    """One exchange of a secure aggregation that carries no vector.

    Attributes:
        study_sha256: of the resolved study.
        round: of the study.
        attempt: session of the round, from 1.
        phase: which exchange.
        request: the protocol's own message (fedgen_privacy.secagg.messages); empty for ADVERTISE.
    """

    kind: Literal["secure_step"] = "secure_step"
    study_sha256: Hex32
    round: Round
    attempt: Attempt
    phase: Phase
    request: Content


class SecureReply(Message):
    """A site's answer to `SecureStep`.

    Attributes:
        site: name.
        round, attempt, phase: what it answers.
        reply: the protocol's own message; empty for ADVERTISE.
        keys: for ADVERTISE those of this session, with UNMASK those for the next round.
    """

    kind: Literal["secure_reply"] = "secure_reply"
    site: Name
    round: Round
    attempt: Attempt
    phase: Phase
    reply: Content
    keys: Keys | None


class TrainMasked(Message):
    """Ask a site to train a round and send its update masked: the MASK exchange.

    Attributes:
        train: the round, as without secure aggregation.
        attempt: session of the round.
        request: the protocol's own message.
    """

    kind: Literal["train_masked"] = "train_masked"
    train: TrainRound
    attempt: Attempt
    request: Content


class MaskedUpdate(Message):
    """A site's answer to `TrainMasked`: nothing in it says anything without the other sites' masks.

    Attributes:
        site: name.
        round, attempt: what it answers.
        receipt: the protocol's own message.
        words: (n,) uint32, masked update, weight and losses.
    """

    kind: Literal["masked_update"] = "masked_update"
    site: Name
    round: Round
    attempt: Attempt
    receipt: Content
    words: WordVector


class Assess(Message):
    """Ask a site to audit the trained model and the release, and to evaluate the release, on its own patients.

    Attributes:
        study_sha256: of the resolved study; a site refuses another.
        model_sha256: of `model`; a site checks it.
        model: (P,) float32, the averaged model that the release was drawn from.
        images: (n, C, *size) float32 in [-1, 1], each value one of float16: exactly what the release holds.
        labels: (n,) int64 class index.
        masks: (n, 1, *size) uint8 classes of the images' masks, where the study makes them.
    """

    kind: Literal["assess"] = "assess"
    study_sha256: Hex32
    model_sha256: Hex32
    model: FloatVector
    images: ImageBatch
    labels: LabelBatch
    masks: MaskBatch = None

    @model_validator(mode="after")
    def _every_image_has_a_label(self) -> Self:
        if len(self.labels) != len(self.images):
            raise ValueError(f"{len(self.images)} images have {len(self.labels)} labels")
        if self.masks is not None and self.masks.shape != (len(self.images), 1, *self.images.shape[2:]):
            raise ValueError(f"masks of shape {tuple(self.masks.shape)} are not of these images")
        return self

    @property
    def sha256(self) -> str:
        """Of the whole question: study, model, images, labels and masks; reads all of it."""
        shapes = f"{tuple(self.images.shape)}/{'' if self.masks is None else 'masks/'}"
        return _of_question(self, shapes)

    @property
    def release_sha256(self) -> str | None:
        """Of images, labels and masks alone; reads all of them."""
        return released_sha256(self.images, self.labels, self.masks)


class AssessModel(Message):
    """Ask a site to audit a trained model, and to evaluate it on its own patients: the model is the release.

    Attributes:
        study_sha256: of the resolved study; a site refuses another.
        model_sha256: of `model`; a site checks it.
        model: (P,) float32, the averaged model.
    """

    kind: Literal["assess_model"] = "assess_model"
    study_sha256: Hex32
    model_sha256: Hex32
    model: FloatVector

    @property
    def sha256(self) -> str:
        """Of the whole question: study and model."""
        return _of_question(self, "model/")

    @property
    def release_sha256(self) -> str | None:
        """None: the model is the release."""
        return None


def _of_question(asked: Assess | AssessModel, what: str) -> str:
    digest = hashlib.sha256(f"{asked.study_sha256}/{asked.model.shape[0]}/{what}".encode())
    # Part by part, since a site and a coordinator ask for it several times and a release is large.
    for part in asked.parts():
        digest.update(np.ascontiguousarray(part, "<f4").data)
    return digest.hexdigest()


class Assessment(Message):
    """A site's answer to a `Question`: numbers over its patients, never of one (fedgen/run/row.py).

    Attributes:
        site: name.
        question_sha256: of the question it answers.
        audit: None where the site's policy withholds it.
        evaluation: None likewise.
        receipt: what the site signs of its part in the study; None likewise.
    """

    longest = MAX_ASSESSMENT

    kind: Literal["assessment"] = "assessment"
    site: Name
    question_sha256: Hex32
    audit: AuditNumbers | None
    evaluation: EvaluationNumbers | None
    receipt: SignedReceipt | None = None


class Refusal(Message):
    """A site could not or would not do a task.

    Attributes:
        site: name.
        code: the exit code that fits.
        reason: a sanitised sentence.
        about: other sites whose part in a secure aggregation it could not accept.
    """

    kind: Literal["refusal"] = "refusal"
    site: Name
    code: ExitCode
    reason: Annotated[str, Field(max_length=MAX_REASON)]
    about: Names = ()


#: What a site is asked of the finished model; one question a study.
Question = Assess | AssessModel
Task = Annotated[
    Describe | TrainRound | SecureStep | TrainMasked | Assess | AssessModel, Field(discriminator="kind")
]
Answer = Annotated[
    SiteDescription | RoundUpdate | SecureReply | MaskedUpdate | Assessment | Refusal,
    Field(discriminator="kind"),
]
