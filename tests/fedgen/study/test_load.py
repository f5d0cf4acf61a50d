"""Every wrong study is refused with a sentence that names place, key, what was found and what is allowed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from fedgen.errors import StudyError
from fedgen.families.registry import specs
from fedgen.study.load import load_study, parse_study
from fedgen.study.study import Study

*_FIRST, _LAST = (f"'{name}'" for name in specs())
#: Every family's name, as a sentence of choices has them.
FAMILIES = f"{', '.join(_FIRST)} or {_LAST}"

Refusal = Callable[..., list[str]]


def test_the_smallest_study_has_every_default(smallest: str) -> None:
    study = parse_study(smallest, "s.yaml")
    assert study == Study.model_validate({"study": {"name": "small"}, "aggregation": {"secure": False}})
    assert study.privacy.mode == "local"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("training: {rounds: 0}", "s.yaml, line 3: training.rounds must be at least 1, but is 0."),
        ("training: {rounds: 2.0}", "s.yaml, line 3: training.rounds must be a whole number, but is 2.0."),
        (
            "training:\n  local_steps: 3\n  rounds: many",
            "s.yaml, line 5: training.rounds must be a whole number, but is 'many', which is text.",
        ),
        ("training:", "s.yaml, line 3: training must be a section with keys beneath it, but is empty"),
        ("privacy: {epsilon: 0}", "s.yaml, line 3: privacy.epsilon must be above 0, but is 0."),
        ("privacy: {epsilon: -1.5}", "s.yaml, line 3: privacy.epsilon must be above 0, but is -1.5."),
        ("privacy: {epsilon: .inf}", "s.yaml, line 3: privacy.epsilon must be a finite number, but is .inf."),
        ("privacy: {epsilon: .nan}", "s.yaml, line 3: privacy.epsilon must be a finite number, but is .nan."),
        ("privacy: {delta: 1}", "s.yaml, line 3: privacy.delta must be below 1, but is 1."),
        ("privacy: {delta: true}", "s.yaml, line 3: privacy.delta must be a number, but is true."),
        (
            "privacy: {mode: lokal}",
            "s.yaml, line 3: privacy.mode must be 'distributed', 'local' or 'none', but is",
        ),
        (
            "model: {family: vea}",
            f"s.yaml, line 3: model.family must be {FAMILIES}, but is 'vea'.",
        ),
        ("model: [vae]", "s.yaml, line 3: model must be a section with keys beneath it, but is [vae]."),
        (
            "data: {labels: lesion}",
            "s.yaml, line 3: data.labels must be a list in brackets, but is 'lesion'.",
        ),
        (
            "data: {labels: []}",
            "s.yaml, line 3: task.given names class, as it does where it is left out",
        ),
        (
            "data: {labels: [No, b]}",
            "s.yaml, line 3: data.labels[0] must be text, but is false (YAML reads bare yes",
        ),
        (
            "data: {labels: [a, 1]}",
            "s.yaml, line 3: data.labels[1] must be text, but is 1 (put quotes around it).",
        ),
        ("data: {labels: [a, a]}", "s.yaml, line 3: data: labels must be different from each other."),
        (
            "data: {image_size: [64]}",
            "s.yaml, line 3: data.image_size must have at least 2 entries, but is [64].",
        ),
        (
            "data: {image_size: [30, 30]}",
            "s.yaml, line 3: data: image_size 30 must be at least 16 and a multiple",
        ),
        (
            "data: {intensity: {lower: 300}}",
            "s.yaml, line 3: data.intensity: lower (300) must be below upper (255).",
        ),
        (
            "data: {slices: {lower: 0.9}}",
            "s.yaml, line 3: data.slices: lower (0.9) must not be above upper (0.6).",
        ),
        (
            "data: {image_size: [16, 16, 16, 16]}",
            "s.yaml, line 3: data.image_size",
        ),
        (
            "data: {image_size: [16, 16, 16], slices: {every: 1}}",
            "s.yaml, line 3: data: slices are of no use where image_size has three sides",
        ),
        (
            "data: {image_size: [16, 16, 16]}",
            "s.yaml, line 3: data.image_size has three sides, but synthesis.formats names png, which holds no volume",
        ),
        ("data: {dimensions: 2}", "s.yaml, line 3: unknown key data.dimensions"),
        ("release: {accept_review: seen}", "s.yaml, line 3: unknown key release"),
        (
            "model:\n  diffusion:\n    channels: [16, 16]",
            "s.yaml, line 5: model.diffusion: attention has 3 entries but channels has 2, and each level",
        ),
        (
            "model: {diffusion: {sigma_min: 100}}",
            "s.yaml, line 3: model.diffusion: sigma_min (100) must be below sigma_max (80).",
        ),
        (
            "synthesis: {balance: {none: 0.4, lesion: 0.5}}",
            "s.yaml, line 3: synthesis: shares in balance sum to 0.9, not 1.",
        ),
        (
            "synthesis: {balance: {cyst: 1}}",
            "s.yaml, line 3: synthesis.balance names cyst, which data.labels does not list.",
        ),
        (
            "synthesis: {balance: {none: x}}",
            "s.yaml, line 3: synthesis.balance.none must be a number, but is 'x'",
        ),
        (
            "privacy: {mode: distributed}",
            "s.yaml, line 3 and s.yaml, line 2: privacy.mode distributed needs aggregation.secure on",
        ),
        (
            "training: {round: 3}",
            "s.yaml, line 3: unknown key training.round, did you mean training.rounds (allowed",
        ),
        (
            "rounds: 3",
            "s.yaml, line 3: unknown key rounds, did you mean training.rounds (allowed at the top: study,",
        ),
        (
            "trainning: {rounds: 3}",
            "s.yaml, line 3: unknown key trainning, did you mean training (allowed at the top",
        ),
        (
            "xyz: 3",
            "s.yaml, line 3: unknown key xyz (allowed at the top: study, data, task, model, training, privacy,",
        ),
        (
            "data: {phantom: {patient: 9}}",
            "s.yaml, line 3: unknown key data.phantom.patient, did you mean data.phantom.patients",
        ),
    ],
)
def test_a_wrong_value_is_one_sentence(refusal: Refusal, text: str, sentence: str) -> None:
    lines = refusal(text)
    assert len(lines) == 1, lines
    assert lines[0].startswith(sentence)
    assert lines[0].endswith(".")


def test_secure_aggregation_is_the_default_and_needs_three_sites(refusal: Refusal) -> None:
    assert Study.model_validate({"study": {"name": "a"}}).aggregation.secure
    [line] = refusal(head="study: {name: a}\naggregation:\n  minimum_sites: 2\n")
    assert line.startswith(
        "s.yaml, line 3: aggregation.minimum_sites must be 3 or more where aggregation.secure is on"
    )
    assert Study.model_validate(
        {"study": {"name": "a"}, "aggregation": {"secure": False, "minimum_sites": 2}}
    )


def test_every_problem_is_listed_one_a_line(refusal: Refusal) -> None:
    lines = refusal(
        "training: {rounds: 0, rounds: 1, round: 2}\nprivacy: {epsilon: 0}\n",
        ["training.local_steps=x", "foo=1"],
    )
    assert [line.partition(": ")[0] for line in lines] == [
        "s.yaml, line 3",
        "--set foo=1",
        "s.yaml, line 3",
        "--set training.local_steps=x",
        "s.yaml, line 3",
        "s.yaml, line 4",
    ]


@pytest.mark.parametrize("head", ["training: {rounds: 3}", "study: {}"])
def test_a_missing_name_is_said(refusal: Refusal, head: str) -> None:
    assert refusal(head=head)[0].endswith("study.name is missing and has no default.")


@pytest.mark.parametrize("name", ["Upper", "-dash", "a b", "../up", ""])
def test_a_name_is_safe_as_a_folder(refusal: Refusal, name: str) -> None:
    [line] = refusal(head=f"study: {{name: '{name}'}}")
    assert line.startswith("s.yaml, line 1: study.name must match ")


def test_a_path_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(
        StudyError, match=r"absent\.yaml does not exist: check the path, or name a preset \(.*demo"
    ):
        load_study(str(tmp_path / "absent.yaml"))


def test_a_folder_and_a_binary_file_are_refused(tmp_path: Path) -> None:
    binary = tmp_path / "binary.yaml"
    binary.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(StudyError, match="is not text in UTF-8"):
        load_study(str(binary))
    with pytest.raises(StudyError, match="cannot be read"):
        load_study(f"{tmp_path}/")


def test_an_unknown_preset_lists_those_that_exist() -> None:
    with pytest.raises(
        StudyError,
        match=r"no preset 'dmeo': choose one of chest_xray, chest_xray_finetune, chest_xray_gradients, demo, "
        r"demo_gradients, demo_pairs, demo_translation, demo_volumes, mnist, mnist_distributed, ",
    ):
        load_study("dmeo")


def test_a_file_is_read_by_its_path(tmp_path: Path, smallest: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(smallest)
    assert load_study(str(path)).study.name == "small"
    path.write_text(smallest + "x: 1")
    with pytest.raises(StudyError, match=rf"^{path}, line 3: unknown key x "):
        load_study(str(path))
