"""`--set`: same rules and same sentences as the file."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from fedgen.families.registry import specs
from fedgen.schema.document import Dumper
from fedgen.schema.keys import dotted, keys, section_of
from fedgen.study import presets
from fedgen.study.load import load_study, parse_study
from fedgen.study.study import Study

Refusal = Callable[..., list[str]]
LEAVES = [key.path for key in keys(Study) if section_of(key.field) is None]


def test_an_override_replaces_a_key_the_last_one_wins(smallest: str) -> None:
    study = parse_study(
        f"{smallest}training: {{rounds: 1}}",
        "s.yaml",
        ["training.rounds=2", "training.rounds=3", "data.image_size=[32, 48]", "privacy.delta=1e-3"],
    )
    assert study.training.rounds == 3
    assert study.data.image_size == (32, 48)
    assert study.privacy.delta == 1e-3


def test_an_override_opens_a_section_that_is_absent_or_empty(smallest: str) -> None:
    for text in ("", "data: {phantom: null}"):
        study = parse_study(
            smallest + text, "s.yaml", ["data.phantom.patients=12", "synthesis.balance.none=1"]
        )
        assert study.data.phantom is not None
        assert study.data.phantom.patients == 12
        assert study.synthesis.balance == {"none": 1.0}


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("training.rounds=x", "training.rounds must be a whole number, but is 'x', which is text."),
        ("training.rounds=", "training.rounds must be a whole number, but is empty."),
        (
            "training.round=1",
            "unknown key training.round, did you mean training.rounds (allowed under training: ",
        ),
        ("rounds=1", "unknown key rounds, did you mean training.rounds (allowed at the top: "),
        (
            "privcy.epsilon=1",
            "unknown key privcy.epsilon, did you mean privacy.epsilon (allowed at the top: ",
        ),
        ("training.rounds.x=1", "unknown key training.rounds.x, did you mean training.rounds (allowed under"),
        (
            "model.vae.channels.0=8",
            "unknown key model.vae.channels.0, did you mean model.vae.channels (allowed",
        ),
        ("zzz=1", "unknown key zzz (allowed at the top: "),
        ("training.rounds", "expected KEY=VALUE, such as training.rounds=3."),
        ("=3", "expected KEY=VALUE, such as training.rounds=3."),
        ("training..rounds=3", "expected KEY=VALUE, such as training.rounds=3."),
        ("data.labels=[a", "the value '[a' is not valid YAML."),
        ("data.labels={a: 1, a: 2}", "the value '{a: 1, a: 2}' is not a valid value."),
        ("data.labels=*x", "the value '*x' is not valid YAML."),
        ("synthesis.balance={none: 0.5}", "synthesis: shares in balance sum to 0.5, not 1."),
        ("data.intensity.lower=300", "data.intensity: lower (300) must be below upper (255)."),
    ],
)
def test_a_wrong_override_is_one_sentence_that_names_it(
    refusal: Refusal, override: str, sentence: str
) -> None:
    [line] = refusal(overrides=[override])
    assert line.startswith(f"--set {override}: {sentence}")
    assert line.endswith(".")


def test_a_file_and_an_override_that_disagree_are_both_named(refusal: Refusal) -> None:
    [line] = refusal("data: {intensity: {lower: 300}}", ["data.intensity.upper=200"])
    assert line.startswith(
        "s.yaml, line 3 and --set data.intensity.upper=200: data.intensity: lower (300) must be"
    )


def test_an_override_below_a_broken_section_leaves_the_files_own_problem(refusal: Refusal) -> None:
    [line] = refusal("training: 3", ["training.rounds=2"])
    assert "training must be a section with keys beneath it, but is 3" in line


@settings(deadline=None, max_examples=60)
@given(name=st.sampled_from(presets.names()), path=st.sampled_from(LEAVES))
def test_an_override_with_a_keys_own_value_changes_nothing(name: str, path: tuple[str, ...]) -> None:
    study = load_study(name)
    if path[0] == "model" and path[1] in specs().keys() - {study.model.family}:
        return
    value: object = study.model_dump(mode="json")
    for part in path:
        if value is None:
            # The study leaves the section out, and a key beneath it would open it.
            return
        assert isinstance(value, dict)
        value = value[part]
    text = yaml.dump(value, Dumper=Dumper, default_flow_style=True, width=10_000)
    override = f"{dotted(path)}={text.removesuffix(chr(10)).removesuffix('...').strip()}"
    assert load_study(name, [override]) == study
