"""The report of a real federation: the same page, by site where sites answered, and no picture of a patient."""

from __future__ import annotations

import html
import re
from pathlib import Path
from typing import Any

import pytest

from fedgen.evidence.files import joined_audit, joined_evaluation
from fedgen.report.numbers import epsilon, number
from fedgen.report.page import write_report
from fedgen.run.directory import RunDirectory
from fedgen.run.privacy_file import PrivacyFile
from fedgen.run.summary import RunSummary


def page(run: RunDirectory) -> str:
    return write_report(run).read_text(encoding="utf-8")


def words(text: str) -> str:
    body = re.sub(r"<style>.*?</style>|<[^>]+>", " ", text, flags=re.DOTALL)
    return re.sub(r"[ \n]+", " ", html.unescape(body))


def test_it_says_where_the_audits_ran_and_who_did_not(federated_run) -> None:
    text = words(page(federated_run))
    audit = federated_run.read_json("audit.json")
    evaluation = federated_run.read_json("evaluation.json")
    for sentence in (
        audit["where"],
        evaluation["where"],
        "the training's epsilon does not cover them",
        "as far as each site's policy allows",
        "Not every site audited. wien: its policy withholds it.",
        "Not every site evaluated. wien: its policy withholds it.",
        evaluation["pooling"],
        "TSTR, mean over sites",
        *audit["reasons"],
        *audit["limits"],
        *evaluation["limits"],
        "Training patients 46 4 sites",
        "fedgen-server run study.yaml",
        "Synthetic images; those of patients stay at their sites.",
    ):
        assert sentence in text, sentence
    assert audit["verdict"] == "INSUFFICIENT"
    assert "all test patients" not in text
    assert "fedgen audit" not in text


def test_it_shows_synthetic_images_and_no_others(federated_run) -> None:
    text = page(federated_run)
    assert text.count("<img") == 16
    assert "Contains real patients" not in words(text)
    assert "Nearest neighbours" not in words(text)


def test_a_simulation_shows_all_patients_together_beside_its_sites(finished_run) -> None:
    text = words(page(finished_run))
    for sentence in (
        "Contains real patients",
        "Nearest neighbours",
        "all test patients",
        "fedgen simulate",
        "Overall",
        "Copy detection, all patients together",
        "TSTR, all patients together",
        "Rows of all patients together, which no federation has",
    ):
        assert sentence in text, sentence
    for sentence in (
        "Not every site",
        "fedgen-server",
        "TSTR, mean over sites",
        "Only these numbers left them",
    ):
        assert sentence not in text


def leaves(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[tuple[Any, ...], Any]]:
    inner = (
        value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else None
    )
    return [(path, value)] if inner is None else [found for k, v in inner for found in leaves(v, (*path, k))]


def repeated(path: tuple[Any, ...]) -> bool:
    """What is shown once for several entries, or with another rounding, or not at all."""
    return path[-1] in {"alpha", "delta", "version", "chance"} or (path[:1] == ("sites",) and "n" in path)


@pytest.mark.parametrize("name", ["audit.json", "evaluation.json"])
def test_every_number_of_every_site_is_shown(federated_run, name) -> None:
    run = federated_run
    value = run.read_json(name)
    expected: dict[tuple[Any, ...], str] = {}
    marker = 500.1
    for path, leaf in leaves(value):
        if not isinstance(leaf, int | float) or isinstance(leaf, bool) or repeated(path):
            continue
        marker += 1
        new = round(marker) if isinstance(leaf, int) else marker
        place = value
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = new
        expected[path] = epsilon(new) if "epsilon" in str(path[-1]) else number(new)
    run.write_json(name, value)
    text = words(page(run))
    assert len(expected) > 30
    assert {path: shown for path, shown in expected.items() if shown not in text} == {}


@pytest.mark.parametrize("kind", [RunSummary, PrivacyFile])
def test_every_entry_may_be_null(federated_run, nullable, kind) -> None:
    name = kind.name
    whole = federated_run.read_json(name)
    for key in nullable(kind, whole):
        federated_run.write_json(name, {**whole, key: None})
        assert not re.search(r"\b(None|nan)\b", words(page(federated_run)).replace("phantom: null", "")), key


@pytest.mark.parametrize(
    ("gone", "command"),
    [("audit.json", "The audit has not run."), ("evaluation.json", "The evaluation has not run.")],
)
def test_what_is_missing_is_got_by_resuming_the_run(federated_run, gone, command) -> None:
    (federated_run.path / gone).unlink()
    text = words(page(federated_run))
    assert f"{command} Run fedgen-server resume {federated_run.path.name} ." in text


def test_names_of_sites_are_escaped(federated_run) -> None:
    bad = "<script>alert(1)</script>"
    for name in ("audit.json", "evaluation.json", "run.json"):
        path = Path(federated_run.path / name)
        path.write_text(path.read_text().replace("hannover", bad).replace("australia_americas", bad))
    text = page(federated_run)
    assert "<script" not in text
    assert bad in words(text)


def test_a_page_of_one_site_that_sent_nothing_is_whole(federated_run, tiny_study) -> None:
    gone = {"iberia": "its policy withholds it"}
    joined_audit(tiny_study(), {}, gone).write(federated_run)
    joined_evaluation(tiny_study(), {}, gone).write(federated_run)
    text = words(page(federated_run))
    assert "No site sent an audit." in text
    assert "The evaluation holds no fidelity result." in text
