"""The documentation agrees with the code: links, keys, codes, files and the generated reference."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest
import yaml

from fedgen.cli.shell import INTERRUPTED
from fedgen.errors import ExitCode
from fedgen.evidence.downstream.arms import TITLES
from fedgen.evidence.registry import AUDITS, measures
from fedgen.run.directory import RunDirectory
from fedgen.run.events import Damaged, Event
from fedgen.run.evidence_files import AuditFile, EvaluationFile
from fedgen.run.privacy_file import PrivacyFile
from fedgen.run.row import Finding, Row, SitePart, Value, Verdict
from fedgen.run.run_file import RunFile
from fedgen.run.summary import RunSummary
from fedgen.schema.keys import dotted, is_known, keys
from fedgen.study import presets
from fedgen.study.load import load_study
from fedgen.study.study import Study
from fedgen.study.study_manual import reference

REPO = Path(__file__).parent.parent
READMES = [*sorted(REPO.glob("*.md")), REPO / "client" / "README.md", REPO / "server" / "README.md"]
PAGES = sorted([*(REPO / "docs").rglob("*.md"), *READMES])
CONFIGS = sorted((REPO / "configs").glob("*.yaml"))
PRESETS = [path for path in CONFIGS if path.stem not in presets.TEMPLATES]
SECTIONS = "|".join(sorted({key.path[0] for key in keys(Study)}))


def page(name: str) -> str:
    return (REPO / "docs" / name).read_text(encoding="utf-8")


def names(paths: list[Path]) -> list[str]:
    return [str(path.relative_to(REPO)) for path in paths]


def test_the_reference_of_the_study_file_is_up_to_date() -> None:
    assert page("reference/study-file.md") == reference(), "run `make docs`"


def test_the_reference_has_every_key() -> None:
    text = reference()
    for key in keys(Study):
        assert f"`{key.path[-1]}`" in text or f"## `{dotted(key.path)}`" in text
        assert key.field.description or key.field.default_factory or len(key.path) == 1, dotted(key.path)


def slug(heading: str) -> str:
    """GitHub's anchor of a heading."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


@pytest.mark.parametrize("path", PAGES, ids=names(PAGES))
def test_links_lead_somewhere(path: Path) -> None:
    for target in re.findall(r"\]\(([^)]+)\)", path.read_text(encoding="utf-8")):
        if "://" in target:
            continue
        file, _, anchor = target.partition("#")
        linked = (path.parent / file).resolve() if file else path
        assert linked.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.*)$", linked.read_text(encoding="utf-8"), re.MULTILINE)
            assert anchor in [slug(heading) for heading in headings], target


def test_the_threat_model_names_code_and_test_for_whatever_it_says_is_prevented() -> None:
    text = page("explanation/threat-model.md")
    rows = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| ")]
    claims = [cells for cells in rows if len(cells) == 5 and re.match(r"(prevented|bounded)", cells[1])]
    assert len(claims) > 20
    for what, _, by, code, tests in claims:
        assert by, what
        assert re.findall(r"\]\(\.\./\.\./(?:fedgen|privacy|client|server)/", code) or "install.md" in code, (
            what
        )
        assert re.findall(r"\]\(\.\./\.\./tests/", tests), what
    assert text.count("**not prevented**") > 8


def mentioned_keys(text: str) -> Iterator[str]:
    """Study keys in backticks or after --set."""
    yield from re.findall(rf"`((?:{SECTIONS})\.(?!json|yaml|html)[a-z_.]+[a-z_])(?:=|: |`)", text)
    yield from re.findall(r"--set ([a-zA-Z_.]+)=", text)


#: Its keys are those of what commands print; tests/test_json.py holds them to their models.
OUTPUTS = REPO / "docs/reference/json.md"
WITH_KEYS = [path for path in (*PAGES, *CONFIGS) if path != OUTPUTS]


@pytest.mark.parametrize("path", WITH_KEYS, ids=names(WITH_KEYS))
def test_every_study_key_that_is_mentioned_exists(path: Path) -> None:
    modules = {f"{name}.{stem}" for name, stem in ROOM_MODULES}
    for key in mentioned_keys(path.read_text(encoding="utf-8")):
        assert key in modules or is_known(key.split("."), Study), key


#: `study.load` in the architecture page is a module, not a key.
ROOM_MODULES = [(file.parent.name, file.stem) for file in (REPO / "fedgen").glob("*/*.py")]


@pytest.mark.parametrize("path", [*PAGES, *CONFIGS], ids=names([*PAGES, *CONFIGS]))
def test_files_and_presets_that_are_mentioned_exist(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    for file in re.findall(r"`((?:fedgen|tests|docs|configs|fedgen_privacy)/[\w./-]+)`", text):
        roots = [REPO, REPO / "privacy"]
        assert any((root / file).exists() for root in roots), file
    for preset in re.findall(r"fedgen simulate (\w+)(?![\w./])", text):
        assert (REPO / "configs" / f"{preset}.yaml").exists(), preset


def test_every_exit_code_has_its_page() -> None:
    table = page("reference/exit-codes.md")
    for code in ExitCode:
        place = f"exit-codes/{code.value}-{code.name.lower()}.md"
        assert f"| [{code.value}]({place}) | `{code.name}` |" in table
        text = page(f"reference/{place}")
        assert text.startswith(f"# Exit code {code.value}: `{code.name}`\n")
        if code is not ExitCode.DONE:
            for part in ("## What happened\n", "## Why\n", "## What to do\n"):
                assert part in text, (code, part)
    listed = {int(path.name.partition("-")[0]) for path in (REPO / "docs/reference/exit-codes").glob("*.md")}
    assert listed == {*(code.value for code in ExitCode), 1, INTERRUPTED}


def test_the_page_of_an_exit_code_lists_every_failure_that_ends_so() -> None:
    for path in sorted((REPO / "docs/troubleshooting").glob("*.md")):
        (code,) = re.findall(
            r"\[exit code \d\]\(\.\./reference/(exit-codes/\S+\.md)\)", path.read_text(encoding="utf-8")
        )
        assert f"(../../troubleshooting/{path.name})" in page(f"reference/{code}"), path


def test_the_run_directory_page_names_every_place_of_a_run() -> None:
    text = page("reference/run-directory.md")
    run = RunDirectory(Path("run"))
    places = [
        run.study,
        run.events,
        run.pretrained,
        run.checkpoints,
        run.samples,
        run.figures,
        run.data,
        run.sites,
    ]
    for place in places:
        assert f"`{place.relative_to('run')}" in text, place


@pytest.mark.parametrize("form", [AuditFile, EvaluationFile, PrivacyFile, RunSummary])
def test_the_run_directory_page_names_every_key_of_its_files(form: type[RunFile]) -> None:
    text = page("reference/run-directory.md").partition(f"## `{form.name}`")[2].partition("\n## ")[0]
    for name in form.model_fields:
        assert f"`{name}`" in text, name
    rows = page("reference/run-directory.md").partition("## Rows of evidence")[2].partition("\n## ")[0]
    for part in (Row, SitePart, Value, Finding):
        for name in part.model_fields:
            assert f"`{name}`" in rows, name


def test_the_run_directory_page_names_every_event() -> None:
    text = page("reference/run-directory.md")
    for event in get_args(Event):
        if event is not Damaged:
            assert f"`{event.model_fields['event'].default}`" in text, event


def test_the_run_directory_page_names_every_audit_verdict_and_arm() -> None:
    text = (
        page("reference/run-directory.md")
        .partition("## Rows of evidence")[2]
        .partition("\n## `checkpoints/")[0]
    )
    for name in [*Verdict, *TITLES, *(audit.id for audit in measures(*AUDITS))]:
        assert f"`{name}`" in text, name


def test_every_preset_explains_itself_and_is_private_by_every_means() -> None:
    assert {"demo", "chest_xray", "phantom_pretrain"} <= {path.stem for path in PRESETS}
    for path in PRESETS:
        text = path.read_text(encoding="utf-8")
        study = load_study(str(path))
        assert text.startswith("#")
        assert study.study.description
        assert study.study.name == path.stem.replace("_", "-")
        if path.stem == "samples_pretrain":
            # Of synthetic images, in the one place where they are.
            assert "NEVER of patients" in text
            continue
        assert study.aggregation.secure and "secure: true" in text
        # Without privacy where there are no patients, and weights are made to be passed on.
        assert study.privacy.mode != "none" or study.data.phantom is not None


def test_yaml_in_the_docs_is_a_valid_piece_of_a_study() -> None:
    found = 0
    for path in PAGES:
        for block in re.findall(r"```yaml\n(.*?)```", path.read_text(encoding="utf-8"), re.DOTALL):
            for section, values in yaml.safe_load(block).items():
                found += 1
                for name in values:
                    assert is_known([section, name], Study), (path, section, name)
    assert found


@pytest.mark.parametrize("path", [*PAGES, *CONFIGS], ids=names([*PAGES, *CONFIGS]))
def test_no_path_of_one_machine(path: Path) -> None:
    assert not re.search(r"(?<![\w.])/(?:work|home|root|tmp|Users)/", path.read_text(encoding="utf-8"))
