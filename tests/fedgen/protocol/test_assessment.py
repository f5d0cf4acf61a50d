"""An assessment holds the numbers that are named and nothing else; its question is exactly a model and a release."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fedgen.errors import FederationError
from fedgen.protocol.messages import Assess, Assessment
from fedgen.protocol.numbers import MAX_BYTES
from fedgen.protocol.wire import decode_answer, decode_task, encode_answer, encode_task

HASH = "a" * 64
number = st.none() | st.floats(allow_nan=False, allow_infinity=False)
count = st.integers(0, 10**9)
word = st.text("abcdefghijklmnopqrstuvwxyz-_+0189ABC", min_size=1, max_size=20)
sentence = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=60)
verdict = st.sampled_from(["PASS", "REVIEW", "FAIL", "INSUFFICIENT"])
counts = st.dictionaries(word, count, max_size=4)
optional = st.none() | sentence


def rows(**fields: Any) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(fields)


value = rows(name=sentence, value=number, low=number, high=number, note=optional)
audits = rows(
    verdict=verdict,
    reasons=st.lists(sentence, max_size=3),
    alpha=st.floats(0, 1, exclude_min=True, exclude_max=True),
    n=counts,
    claim=rows(epsilon=number, delta=st.floats(0, 1)),
    audits=st.lists(
        rows(
            id=word,
            title=sentence,
            verdict=verdict,
            reason=sentence,
            values=st.lists(value, max_size=3),
            n=counts,
        ),
        min_size=1,
        max_size=3,
    ),
    limits=st.lists(sentence, max_size=3),
    seed=count,
)
score = st.none() | rows(
    value=st.floats(0, 1), low=st.floats(0, 1), high=st.floats(0, 1), std_seeds=st.none() | st.floats(0, 1)
)
evaluations = rows(
    n=counts,
    fidelity=st.lists(
        rows(
            extractor=rows(name=word, hash=word, dimensions=count),
            metric=word,
            n_real=count,
            n_synthetic=count,
            note=optional,
            value=number,
            std=number,
            floor=number,
            floor_std=number,
        ),
        max_size=2,
    ),
    diversity=rows(
        metric=sentence,
        scales=count,
        classes=st.lists(
            st.fixed_dictionaries(
                {"class": sentence, "synthetic": number, "real": number, "pairs": count, "note": optional}
            ),
            max_size=2,
        ),
    ),
    downstream=rows(
        steps=count,
        seeds=count,
        arms=st.lists(
            rows(
                arm=word, title=sentence, n_train=count, auroc=score, balanced_accuracy=score, note=optional
            ),
            max_size=2,
        ),
        differences=st.lists(
            rows(arm=word, against=word, metric=word, value=number, low=number, high=number), max_size=2
        ),
    ),
    limits=st.lists(sentence, max_size=2),
    seed=count,
)


@given(
    st.builds(
        Assessment,
        site=st.just("north"),
        question_sha256=st.just(HASH),
        audit=st.none() | audits,
        evaluation=st.none() | evaluations,
    )
)
def test_assessments_round_trip(answer) -> None:
    text, sent = encode_answer(answer)
    assert sent is None
    assert decode_answer(text, None) == answer


AUDIT: dict[str, Any] = {
    "verdict": "PASS", "reasons": ["fine"], "alpha": 0.05, "n": {"train_patients": 5},
    "claim": {"epsilon": None, "delta": 1e-5},
    "audits": [{"id": "a", "title": "A", "verdict": "PASS", "reason": "fine", "values": [], "n": {}}],
    "limits": [], "seed": 1,
}  # fmt: skip


def told(**changes: Any) -> str:
    body = {"site": "n", "question_sha256": HASH, "audit": {**AUDIT, **changes}, "evaluation": None}
    return json.dumps({"wire": 1, "message": {"kind": "assessment", **body}})


@pytest.mark.parametrize(
    "changes",
    [
        {"patients": [1, 2, 3]}, {"picture": "iVBORw0KGgo="}, {"audits": []}, {"verdict": "FINE"},
        {"reasons": ["two\nlines"]}, {"reasons": ["long " * 300]}, {"reasons": ["r"] * 65}, {"n": {"a": 0.5}},
        {"n": {"a": [1, 2]}}, {"n": {"/data/north/p1.dcm": 1}}, {"alpha": 0.0}, {"seed": -1},
        {"claim": {"epsilon": None}}, {"audits": [{**AUDIT["audits"][0], "per_patient": [0.1]}]},
        {"audits": AUDIT["audits"] * 33},
    ],
)  # fmt: skip
def test_anything_else_is_refused_at_both_ends(changes) -> None:
    decode_answer(told(), None)
    with pytest.raises(FederationError):
        decode_answer(told(**changes), None)
    with pytest.raises(ValueError, match="1 validation error"):
        encode_answer(Assessment(site="n", question_sha256=HASH, audit={**AUDIT, **changes}, evaluation=None))


def test_an_assessment_has_a_size_limit() -> None:
    row = {"name": "s" * 900, "value": 1.0, "low": None, "high": None, "note": "n" * 900}
    large = [{**AUDIT["audits"][0], "values": [row] * 32}] * 32
    assert len(told(audits=large)) > MAX_BYTES
    with pytest.raises(FederationError, match="more than"):
        decode_answer(told(audits=large), None)
    with pytest.raises(ValueError, match="larger than"):
        encode_answer(
            Assessment(site="n", question_sha256=HASH, audit={**AUDIT, "audits": large}, evaluation=None)
        )


def question() -> Assess:
    images = torch.tensor([[[[0.5, -1.0], [0.25, 1.0]]]])
    return Assess(
        study_sha256=HASH, model_sha256=HASH, model=torch.arange(3.0), images=images, labels=torch.tensor([1])
    )


@pytest.mark.parametrize(
    ("place", "number"),
    [
        (3, 1.5),
        (3, float("nan")),
        (4, -1.001),
        (5, 0.1),
        (7, -1.0),
        (7, 0.5),
        (7, 2.0**16),
        (7, float("inf")),
    ],
)
def test_a_release_that_could_not_be_one_is_refused(place, number) -> None:
    text, sent = encode_task(question())
    assert sent is not None
    changed = sent.copy()
    changed[place] = number
    decode_task(text, sent)
    with pytest.raises(FederationError, match="synthesize it again"):
        decode_task(text, changed)


@pytest.mark.parametrize("size", [7, 9])
def test_sizes_must_fit(size) -> None:
    text, _ = encode_task(question())
    with pytest.raises(FederationError, match="sizes of its parts make 8"):
        decode_task(text, np.zeros(size, np.float32))


@pytest.mark.parametrize(
    "change",
    [
        {"study_sha256": "b" * 64},
        {"model": torch.tensor([0.0, 1.0, 3.0])},
        {"images": -question().images},
        {"images": question().images.reshape(1, 1, 1, 4)},
        {"labels": torch.tensor([0])},
    ],
)
def test_the_hash_is_of_the_whole_question(change) -> None:
    asked = question()
    other = Assess(
        **{
            name: getattr(asked, name)
            for name in ("study_sha256", "model_sha256", "model", "images", "labels")
        }
        | change
    )
    assert decode_task(*encode_task(asked)).sha256 == asked.sha256
    assert other.sha256 != asked.sha256
