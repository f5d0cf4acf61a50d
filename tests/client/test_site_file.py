"""The site file is read as strictly as a study file, and says where, what and what is allowed."""

from __future__ import annotations

from pathlib import Path

import pytest

from fedgen.errors import StudyError
from fedgen.families.registry import specs
from fedgen.study import presets
from fedgen_client.site_file import PolicySection, RuntimeSection, SiteFile, load_site_file

*_FIRST, _LAST = (f"'{name}'" for name in specs())
#: Every family's name, as a sentence of choices has them.
FAMILIES = f"{', '.join(_FIRST)} or {_LAST}"
COHORT = "cohorts:\n  chest: {folder: data, maximum_epsilon: 2.5}\n"


@pytest.fixture
def write(tmp_path: Path):
    def write_text(text: str) -> Path:
        path = tmp_path / "site.yaml"
        path.write_text(text)
        return path

    return write_text


def refused(path: Path) -> list[str]:
    with pytest.raises(StudyError) as error:
        load_site_file(path)
    return str(error.value).splitlines()


def test_the_template_is_valid_and_writes_every_default_out() -> None:
    site = load_site_file(presets.template("site"))
    assert site.policy == PolicySection()
    assert site.runtime == RuntimeSection()
    assert list(site.cohorts) == ["main"]
    text = presets.template("site").read_text()
    for section in (PolicySection, RuntimeSection):
        for key in section.model_fields:
            assert f"\n  {key}: " in text, key


def test_the_template_is_no_study_preset() -> None:
    assert "site" not in presets.names()
    with pytest.raises(StudyError, match="no preset 'site'"):
        presets.path_of("site")


def test_a_folder_is_taken_from_the_files_own(write, tmp_path, monkeypatch) -> None:
    path = write(COHORT)
    monkeypatch.chdir(tmp_path)
    for given in (path, Path("site.yaml")):
        assert load_site_file(given).cohorts["chest"].folder == tmp_path / "data"
    absolute = write("cohorts: {chest: {folder: /data/chest, maximum_epsilon: null}}")
    assert load_site_file(absolute).cohorts["chest"].folder == Path("/data/chest")


def test_no_limit_has_to_be_written(write) -> None:
    unlimited = write("cohorts: {chest: {folder: d, maximum_epsilon: null}}")
    assert load_site_file(unlimited).cohorts["chest"].maximum_epsilon is None
    (sentence,) = refused(write("cohorts: {chest: {folder: d}}"))
    assert sentence.endswith("line 1: cohorts.chest.maximum_epsilon is missing and has no default.")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("policy: {minimum_site: 4}", "line 3: unknown key policy.minimum_site, did you mean policy.minimum_sites"),
        ("polcy: {}", "line 3: unknown key polcy, did you mean policy (allowed at the top: cohorts, policy, runtime)."),
        ("policy: {minimum_sites: '3'}", "line 3: policy.minimum_sites must be a whole number, but is '3', which is"),
        ("policy: {minimum_sites: 0}", "line 3: policy.minimum_sites must be at least 1, but is 0."),
        ("policy: {families: [vae, vea]}", f"families[1] must be {FAMILIES}"),
        ("policy: {families: []}", "line 3: policy.families must have at least 1 entries, but is []."),
        ("policy: {modes: [global]}", "policy.modes[0] must be 'distributed', 'local' or 'none', but is 'global'."),
        (
            "policy: {metrics: [images]}",
            "policy.metrics[0] must be 'loss', 'audit', 'evaluation' or 'receipt', but is 'images'.",
        ),
        ("policy: {largest_study_epsilon: 0}", "policy.largest_study_epsilon must be above 0, but is 0."),
        ("policy: {largest_study_epsilon: .inf}", "policy.largest_study_epsilon must be a finite number, but is .inf."),
        ("policy: {require_secure_aggregation: 1}", "require_secure_aggregation must be true or false, but is 1."),
        ("policy: {approve: no}", "line 3: policy.approve must be 'ask' or 'always', but is false."),
        ("runtime: {message_bytes: 1.5}", "runtime.message_bytes must be a whole number, but is 1.5."),
        ("runtime:", "line 3: runtime must be a section with keys beneath it, but is empty"),
        ("policy: {}\npolicy: {}", "line 4: policy is given twice (first on line 3), remove one."),
    ],
)  # fmt: skip
def test_a_mistake_is_named(write, text: str, sentence: str) -> None:
    found = refused(write(f"{COHORT}{text}\n"))
    assert len(found) == 1
    assert found[0].startswith("site file ")
    assert sentence in found[0]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("cohorts: {a: {folder: d, maximum_epsilon: 0}}", "cohorts.a.maximum_epsilon must be above 0, but is 0."),
        ("cohorts: {a: {folder: d, maximum_epsilon: -1}}", "cohorts.a.maximum_epsilon must be above 0, but is -1."),
        ("cohorts: {a: {folder: d, maximum_epsilon: ten}}", "maximum_epsilon must be a number, but is 'ten', which is"),
        ("cohorts: {a: {folder: 3, maximum_epsilon: 1}}", "cohorts.a.folder must be the path of a file or folder, but"),
        ("cohorts: {a: {folder: d, maximum_epsilon: 1, delta: 1}}", "cohorts.a.delta must be below 1, but is 1."),
        ("cohorts:\n a:\n  folder: d\n  maximum_epsilon: 1\n  eps: 1", "line 5: unknown key cohorts.a.eps"),
        ("cohorts:\n a: {folder: d, maximum_epsilon: 1}\n b:", "line 3: cohorts.b must be a section with keys"),
        ("cohorts: {../a: {folder: d, maximum_epsilon: 1}}", "line 1: cohorts: the name '../a' names a file, so"),
        ("cohorts: {7: {folder: d, maximum_epsilon: 1}}", "the key 7 in cohorts must be text, put quotes around it."),
        ("cohorts: {}", "line 1: cohorts must have at least 1 entries, but is {}."),
        ("policy: {}", "cohorts is missing and has no default."),
        ("", "is empty: it needs at least a section cohorts with a folder."),
        ("- a", "line 1: expected sections such as cohorts: and policy:, found a list."),
    ],
)  # fmt: skip
def test_a_mistake_in_the_cohorts_is_named(write, text: str, sentence: str) -> None:
    found = refused(write(text))
    assert sentence in "\n".join(found)
    assert all(line.startswith("site file ") for line in found)


def test_the_allowed_keys_of_a_cohort_are_listed(write) -> None:
    sentences = refused(
        write("cohorts: {a: {folder: d, maximum_epsilon: 1}, b: {foldr: d, maximum_epsilon: 1}}")
    )
    assert any(
        "unknown key cohorts.b.foldr, did you mean cohorts.b.folder "
        "(allowed under cohorts.b: folder, maximum_epsilon, delta, "
        "patient_column)." in line
        for line in sentences
    )


def test_every_mistake_is_told_at_once(write) -> None:
    text = "cohorts: {a: {folder: d, maximum_epsilon: 0}}\npolicy: {minimum_sites: x, approve: never}\n"
    assert len(refused(write(text))) == 3


def test_a_file_that_is_not_there(tmp_path) -> None:
    (sentence,) = refused(tmp_path / "site.yaml")
    assert "does not exist: make one with `fedgen-client join TOKEN`" in sentence


def test_values_cannot_change(write) -> None:
    site = load_site_file(write(COHORT))
    assert isinstance(site, SiteFile)
    with pytest.raises(ValueError, match="frozen"):
        site.policy.minimum_sites = 1
