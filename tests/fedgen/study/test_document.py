"""YAML that is not a study, or not YAML, is refused with its line; numbers mean what they look like."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from fedgen.schema.document import read_document
from fedgen.study.load import STUDY_FILE, parse_study

Refusal = Callable[..., list[str]]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "s.yaml is empty: it needs"),
        ("# only a comment\n", "s.yaml is empty: it needs"),
        ("- a\n- b", "s.yaml, line 1: expected sections such as study: and training:, found a list."),
        (
            "\njust words",
            "s.yaml, line 2: expected sections such as study: and training:, found a single value.",
        ),
        (
            "study:\n\tname: x",
            "s.yaml, line 2: this is not valid YAML (while scanning for the next token, found",
        ),
        ("study: {name: a", "s.yaml, line 1: this is not valid YAML"),
        ("a: 1\nb: c: d", "s.yaml, line 2: this is not valid YAML (mapping values are not allowed here)."),
        ("a: 1\n---\nb: 1", "s.yaml, line 2: this is not valid YAML (expected a single document"),
        ("a: &x 1\nb: *x", "s.yaml, line 2: aliases (*x) are not allowed, write it out."),
        ("a: &x [*x]", "s.yaml, line 1: aliases (*x) are not allowed"),
        ("a: 1\nb: \x00", "s.yaml, line 2: the character U+0000 is not allowed."),
    ],
)
def test_what_is_not_a_study_is_refused_with_its_line(refusal: Refusal, text: str, sentence: str) -> None:
    [line] = refusal(head=text)
    assert line.startswith(sentence)
    assert line.endswith(".")


def test_tabs_are_named(refusal: Refusal) -> None:
    assert refusal(head="study:\n\tname: x")[0].endswith("indent with spaces, not tabs.")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            "training:\n  rounds: 1\n  rounds: 2",
            "s.yaml, line 5: training.rounds is given twice (first on line 4), remove one.",
        ),
        ("data: {}\ndata: {}", "s.yaml, line 4: data is given twice (first on line 3), remove one."),
        (
            "synthesis: {balance: {0: 1.0}}",
            "s.yaml, line 3: the key 0 in synthesis.balance must be text, put quotes",
        ),
        (
            "data: {labels: !!python/object:os.system {}}",
            "s.yaml, line 3: data.labels has the tag tag:yaml.org,2002:python/",
        ),
        (
            "data: {modality: !!python/name:os.system x}",
            "s.yaml, line 3: data.modality cannot be read, found 'x'.",
        ),
        ("data: {modality: 2024-99-99}", "s.yaml, line 3: data.modality cannot be read, found '2024-99-99'."),
    ],
)
def test_what_cannot_be_read_is_named_first(refusal: Refusal, text: str, sentence: str) -> None:
    assert refusal(text)[0].startswith(sentence)


@pytest.mark.parametrize("depth", [500, 5000])
def test_deep_nesting_is_a_sentence_not_a_crash(refusal: Refusal, depth: int) -> None:
    [line] = refusal(head=f"a: {'[' * depth}{']' * depth}")
    assert line.startswith("s.yaml, line 1: lists or mappings are nested more than 16 deep")


@pytest.mark.parametrize(
    ("written", "value"), [("1e-5", 1e-5), ("1E-3", 1e-3), ("2.5e-4", 2.5e-4), ("1.0e-05", 1e-5)]
)
def test_numbers_with_an_exponent_are_numbers(smallest: str, written: str, value: float) -> None:
    assert parse_study(f"{smallest}privacy: {{delta: {written}}}", "s.yaml").privacy.delta == value


@pytest.mark.parametrize("written", ["'1e-5'", "e5", "1e", "1e-5x"])
def test_text_that_only_looks_like_a_number_stays_text(written: str) -> None:
    assert read_document(f"a: {written}", "s.yaml", STUDY_FILE).values == {"a": written.strip("'")}


def test_origins_name_file_and_line() -> None:
    document = read_document("a:\n  b: [1,\n    2]\n", "s.yaml", STUDY_FILE)
    assert document.origins == {
        ("a",): "s.yaml, line 1",
        ("a", "b"): "s.yaml, line 2",
        ("a", "b", 0): "s.yaml, line 2",
        ("a", "b", 1): "s.yaml, line 3",
    }
