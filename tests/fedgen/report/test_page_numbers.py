"""Numbers of the page are those of the files, all of them, and nothing else."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from typing import Any

import pytest
import yaml

from fedgen.report.numbers import count, epsilon, number, percent, scientific, seconds
from fedgen.report.page import write_report
from fedgen.run.directory import RunDirectory
from fedgen.run.privacy_file import PrivacyFile
from fedgen.run.summary import RunSummary
from tests.fedgen.report.read_page import VOID, change, leaves, page_of, put


def _shown_elsewhere(name: str, path: tuple[Any, ...]) -> bool:
    """Numbers with a test of their own, and repetitions of one that is shown already."""
    if path[-1] in {"alpha", "delta", "version", "chance"} or (name, path) == ("privacy.json", ("epsilon",)):
        return True
    if path[:1] == ("sites",) and "n" in path:
        return True
    if path[-1] in {"clipping_norm", "multiplicity", "images_per_patient", "shared_patients"}:
        return True  # In the study below or in the statement, or not on the page.
    return name == "run.json" and path[0] in {
        "privacy",
        "secure_aggregation",
        "timings",
        "evaluation",
        "image",
    }


@pytest.mark.parametrize("name", ["privacy.json", "audit.json", "evaluation.json", "run.json"])
def test_every_number_shown_comes_from_its_file(finished_run: RunDirectory, name: str) -> None:
    """Each number is replaced by one that occurs nowhere else; the page must show all of them."""
    run = finished_run
    value = run.read_json(name)
    expected: dict[tuple[Any, ...], str] = {}
    marker = 500.1
    for path, leaf in list(leaves(value)):
        if not isinstance(leaf, int | float) or isinstance(leaf, bool) or _shown_elsewhere(name, path):
            continue
        marker += 1
        new = round(marker) if isinstance(leaf, int) else marker
        put(value, path, new)
        expected[path] = epsilon(new) if "epsilon" in str(path[-1]) else number(new)
    run.write_json(name, value)
    text = page_of(run).text
    assert len(expected) > 10
    missing = {path: shown for path, shown in expected.items() if shown not in text}
    assert not missing


def test_the_largest_epsilon_is_printed_rounded_up(finished_run: RunDirectory) -> None:
    change(finished_run, "privacy.json", lambda value: value.update(epsilon=6.12301))
    assert "6.13" in page_of(finished_run).text


def test_no_null_ever_reaches_the_reader(finished_run: RunDirectory) -> None:
    """Every number of every file is null that may be."""
    run = finished_run
    may = {
        "value",
        "low",
        "high",
        "std",
        "chance",
        "epsilon",
        "epsilon_rdp",
        "delta",
        "noise_multiplier",
        "steps",
    }
    may |= {
        "clipping_norm",
        "shared_patients",
        "rounds",
        "seed",
        "patients",
        "images",
        "audit",
        "test",
        "max",
    }
    for name in ("privacy.json", "audit.json", "evaluation.json", "run.json"):
        value = run.read_json(name)
        for path, leaf in list(leaves(value)):
            number = isinstance(leaf, int | float) and not isinstance(leaf, bool)
            always = (name != "run.json" and path[-1] in {"patients", "seed"}) or path == ("claim", "delta")
            always |= path[0] == "sites" and path[-1] == "delta"
            if number and path[-1] in may and not always:
                put(value, path, None)
        run.write_json(name, value)
    text = page_of(run).text
    meant = text.replace("phantom: null", "").replace("where it is undefined", "")
    assert not re.search(r"\b(None|nan|NaN|undefined|Undefined)\b", meant)
    assert "\u2014" in text
    assert "All test images are of one class" in text


@pytest.mark.parametrize("kind", [PrivacyFile, RunSummary])
def test_every_entry_of_a_file_may_be_null(finished_run: RunDirectory, nullable: Any, kind: Any) -> None:
    run, name = finished_run, kind.name
    whole = run.read_json(name)
    assert len(nullable(kind, whole)) >= 6
    for key in nullable(kind, whole):
        run.write_json(name, {**whole, key: None})
        page = page_of(run)
        assert page.open == []
        assert not re.search(r"\b(None|nan)\b", page.text.replace("phantom: null", "")), key


#: Numbers as the page prints them: thin spaces in groups, real minus signs, powers of ten.
PRINTED = re.compile(
    "\u2212?\\d+(?:\u202f\\d{3})*(?:\\.\\d+)?(?:\u202f\u00d7\u202f10[\u207b\u2070\u00b9\u00b2\u00b3\u2074-\u2079]+)?"
)


class Cells(HTMLParser):
    """What stands in the cells of numbers, and in the chips and small print within them."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.inside = 0
        self.found: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if self.inside:
            self.inside += tag not in VOID
        elif tag in {"td", "dd"} and "n" in (dict(attrs).get("class") or "").split():
            self.inside = 1
            self.found.append("")

    def handle_endtag(self, tag: str) -> None:
        self.inside -= self.inside > 0

    def handle_data(self, data: str) -> None:
        if self.inside:
            self.found[-1] += f"{data} "


def _forms(leaf: Any) -> set[str]:
    """Every way in which a number may be printed, and the numbers that stand in a text."""
    if isinstance(leaf, str):
        return set(PRINTED.findall(leaf))
    if isinstance(leaf, bool) or leaf is None:
        return set()
    told = [form(leaf) for form in (number, scientific, count, epsilon, percent, seconds)]
    return {each for text in told for each in PRINTED.findall(text)}


def test_every_number_of_a_table_is_a_number_of_a_file(finished_run: RunDirectory) -> None:
    """The other way round: nothing is computed for the page that no file of the run has."""
    path = finished_run.path
    known: set[str] = set()
    for file in (*path.glob("*.json"), *path.glob("assessments/*.json")):
        for _, leaf in leaves(json.loads(file.read_text())):
            known |= _forms(leaf)
    for line in (path / "events.jsonl").read_text().splitlines():
        for _, leaf in leaves(json.loads(line)):
            known |= _forms(leaf)
    for _, leaf in leaves(yaml.safe_load((path / "study.yaml").read_text())):
        known |= _forms(leaf)
    cells = Cells(write_report(finished_run).read_text(encoding="utf-8")).found
    shown = [(cell, text) for cell in cells for text in PRINTED.findall(cell)]
    assert len(shown) > 100
    assert [(cell, text) for cell, text in shown if text not in known] == []
