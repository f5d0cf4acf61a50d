"""The resolved study: round trip, hash, presets and the two commands."""

from __future__ import annotations

import doctest
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

import fedgen
from fedgen.cli.study import app
from fedgen.errors import StudyError
from fedgen.families.registry import specs
from fedgen.schema import keys, manual, problems
from fedgen.schema.keys import keys as every_key
from fedgen.study import presets
from fedgen.study.load import load_study, parse_study
from fedgen.study.show import dump_study, study_hash
from fedgen.study.study import Study

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=30) | st.sampled_from(
    [
        "No",
        "1e5",
        "1e-5",
        "null",
        "~",
        "0",
        "010",
        "2024-01-01",
        "a: b",
        "# x",
        "",
        " ",
        "*x",
        "12:30",
        "=",
        "<<",
    ]
)


#: Sections that are absent unless a study asks for them.
ABSENT = (
    f"evaluation.network={{sha256: '{'0' * 64}', source: public weights}}",
    f"evaluation.perceptual={{sha256: '{'0' * 64}', source: public weights}}",
    "evidence.privacy={}",
)


def study_with(**values: object) -> Study:
    return Study.model_validate({"study": {"name": "a"}, "aggregation": {"secure": False}, **values})


@pytest.mark.parametrize("name", presets.names())
def test_a_preset_round_trips(name: str) -> None:
    study = load_study(name)
    assert parse_study(dump_study(study), "again.yaml") == study


@settings(deadline=None, max_examples=50)
@given(labels=st.lists(TEXT, min_size=1, max_size=4, unique=True), description=TEXT)
def test_any_text_round_trips(labels: list[str], description: str) -> None:
    study = study_with(
        study={"name": "a", "description": description},
        data={"labels": labels},
        synthesis={"balance": {labels[0]: 1.0}},
    )
    again = parse_study(dump_study(study), "again.yaml")
    assert again == study
    assert study_hash(again) == study_hash(study)


@settings(deadline=None, max_examples=50)
@given(value=st.floats(min_value=0, exclude_min=True, allow_nan=False, allow_infinity=False))
def test_any_number_round_trips(value: float) -> None:
    study = study_with(privacy={"epsilon": value})
    assert parse_study(dump_study(study), "again.yaml").privacy.epsilon == value


@pytest.mark.parametrize("family", specs())
def test_the_dump_has_every_key_but_other_families_options(smallest: str, family: str) -> None:
    start = f"model.pretrained={{sha256: '{'0' * 64}', source: public images}}"
    opened = ["data.phantom={}", start, "model.adapters={}", "privacy.central_images={}", *ABSENT]
    closed = {("model", "prior")}
    if specs()[family].prior:
        opened = [
            "data.phantom={}",
            start.replace("pretrained", "prior"),
            "privacy.central_images={}",
            *ABSENT,
        ]
        closed = {("model", "pretrained"), ("model", "adapters"), ("model", "prior")}
    opened.append(f"model.family={family}")
    if family == "translate_gan":
        opened.append(f"model.translate_gan.task_loss={{sha256: '{'0' * 64}', source: public scans}}")
    text = dump_study(parse_study(smallest, "s.yaml", opened))
    values = yaml.safe_load(text)
    for key in every_key(Study):
        if len(key.path) > 2 and key.path[:2] in closed and not has(values, key.path):
            continue
        of_another = key.path[0] == "model" and key.path[1:2] != (family,) and set(key.path[1:2]) & {*specs()}
        assert has(values, key.path) != bool(of_another), key.path


def has(values: object, path: tuple[str, ...]) -> bool:
    for part in path:
        if not isinstance(values, dict) or part not in values:
            return False
        values = values[part]
    return True


def test_the_hash_sees_values_and_nothing_else(smallest: str) -> None:
    study = parse_study(smallest, "s.yaml")
    written_out = parse_study(f"# comment\nprivacy: {{epsilon: 10}}\n{smallest}", "t.yaml")
    assert study_hash(written_out) == study_hash(study)
    assert len(study_hash(study)) == 64
    others = [parse_study(smallest, "s.yaml", [f"privacy.epsilon={e}"]) for e in (9, 10.000001)]
    assert len({study_hash(other) for other in [study, *others]}) == 3


def test_the_hash_is_the_same_in_another_process() -> None:
    command = (
        "from fedgen.study.load import load_study; from fedgen.study.show import study_hash; "
        "print(study_hash(load_study('demo')))"
    )
    outcome = subprocess.run([sys.executable, "-c", command], capture_output=True, text=True, check=True)
    assert outcome.stdout.strip() == study_hash(load_study("demo"))


def test_check_prints_the_essentials() -> None:
    result = CliRunner().invoke(
        app, ["check", "demo_gradients", "--set", "training.rounds=7", "--set", "privacy.epsilon=3"]
    )
    assert result.exit_code == 0
    [line] = result.stdout.splitlines()
    for part in (
        "ok: demo-gradients: vae",
        "7 rounds x",
        "epsilon 3 ",
        "a patient (local)",
        "secure aggregation on",
    ):
        assert part in line


def test_check_is_loud_about_no_privacy() -> None:
    result = CliRunner().invoke(app, ["check", "demo", "--set", "privacy.mode=none"])
    assert "NO differential privacy" in result.stdout
    assert "epsilon" not in result.stdout


def test_show_prints_a_study_that_loads() -> None:
    result = CliRunner().invoke(app, ["show", "demo", "--set", "training.rounds=7"])
    study = load_study("demo", ["training.rounds=7"])
    assert parse_study(result.stdout, "shown.yaml") == study
    assert study_hash(study) in result.stdout.splitlines()[0]


@pytest.mark.parametrize("command", ["check", "show"])
def test_errors_reach_the_caller(command: str) -> None:
    result = CliRunner().invoke(app, [command, "demo", "--set", "training.round=7"])
    assert isinstance(result.exception, StudyError)


def test_presets_differ_in_name_and_generate_data_only_where_they_ask_for_none() -> None:
    studies = {name: load_study(name) for name in presets.names()}
    assert len({study.study.name for study in studies.values()}) == len(studies)
    for name, study in studies.items():
        asks = f"fedgen simulate {name} --data " in presets.path_of(name).read_text(encoding="utf-8")
        assert asks == (study.data.phantom is None), name


@pytest.mark.parametrize("module", [keys, problems, manual])
def test_examples_in_docstrings_hold(module: ModuleType) -> None:
    outcome = doctest.testmod(module)
    assert outcome.attempted > 0
    assert outcome.failed == 0


def test_presets_of_a_wheel_come_before_a_folder_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, smallest: str
) -> None:
    monkeypatch.setattr(fedgen, "__file__", str(tmp_path / "fedgen" / "__init__.py"))
    with pytest.raises(StudyError, match="holds no presets"):
        presets.names()
    (tmp_path / "configs").mkdir()
    assert presets.names() == []
    (tmp_path / "fedgen" / "presets").mkdir(parents=True)
    (tmp_path / "fedgen" / "presets" / "mine.yaml").write_text(smallest)
    assert presets.names() == ["mine"]
    assert load_study("mine").study.name == "small"
