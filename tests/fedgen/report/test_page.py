import errno
import json
import math
import re
import tempfile
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from typing import Any

import pytest
import yaml

from fedgen.errors import DataError, StudyError
from fedgen.report.numbers import count, epsilon, number, percent, scientific, seconds
from fedgen.report.page import write_report
from fedgen.run.directory import RunDirectory
from fedgen.run.privacy_file import PrivacyFile
from fedgen.run.summary import RunSummary

VOID = {"meta", "img", "br", "link", "input", "hr"}


class Page(HTMLParser):
    """Text, attributes and open tags of a page; the parser of the standard library judges it."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.words: list[str] = []
        self.tags: list[str] = []
        self.style = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag, f"</{tag}> closes another tag"

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "style":
            self.style += data
        else:
            self.words.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"[ \n]+", " ", " ".join(self.words))


def _page(run: RunDirectory) -> Page:
    return Page(write_report(run).read_text(encoding="utf-8"))


def _change(run: RunDirectory, name: str, change: Callable[[dict[str, Any]], None]) -> None:
    value = run.read_json(name)
    change(value)
    run.write_json(name, value)


def _leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], Any]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _leaves(inner, (*path, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _leaves(inner, (*path, index))
    else:
        yield path, value


def _set(value: Any, path: tuple[Any, ...], leaf: Any) -> None:
    for key in path[:-1]:
        value = value[key]
    value[path[-1]] = leaf


def test_the_page_is_balanced_and_loads_nothing(finished_run: RunDirectory) -> None:
    page = _page(finished_run)
    assert page.open == []
    assert "script" not in page.tags
    assert "link" not in page.tags
    for tag, name, value in page.attributes:
        if name in {"src", "href", "srcset", "data", "action", "poster", "xlink:href"}:
            assert value.startswith(("data:image/png;base64,", "#")), f"<{tag} {name}> leaves the page"
        assert not name.startswith("on")
        assert "url(" not in value
    assert "url(" not in page.style
    assert "@import" not in page.style
    ids = [value for _, name, value in page.attributes if name == "id"]
    assert len(ids) == len(set(ids))
    anchors = {value[1:] for _, name, value in page.attributes if name == "href"}
    assert anchors <= set(ids)
    images = page.tags.count("img")
    assert images > 20
    assert (
        sum(tag == "img" and name == "alt" and value != "" for tag, name, value in page.attributes) == images
    )


def test_it_says_what_was_run_with_its_verdict_reasons_statement_and_limits(
    finished_run: RunDirectory,
) -> None:
    text = _page(finished_run).text
    audit, privacy = finished_run.read_json("audit.json"), finished_run.read_json("privacy.json")
    for sentence in (
        "chest-xray",
        audit["verdict"],
        *audit["reasons"],
        *(finding["sentence"] for row in audit["rows"] for finding in row["findings"]),
        privacy["statement"],
        "Updates were not hidden from the coordinator.",
        finished_run.read_json("run.json")["secure_aggregation"]["statement"],
        *privacy["limits"],
        *audit["limits"],
        *finished_run.read_json("evaluation.json")["limits"],
        "For research only",
        "Train on synthetic, test on real",
        "fedgen simulate study.yaml",
        "95\u202f% interval",
    ):
        assert sentence in text
    assert "have not run" not in text
    assert "No differential privacy" not in text
    assert "anonym" not in text.lower()


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
    for path, leaf in list(_leaves(value)):
        if not isinstance(leaf, int | float) or isinstance(leaf, bool) or _shown_elsewhere(name, path):
            continue
        marker += 1
        new = round(marker) if isinstance(leaf, int) else marker
        _set(value, path, new)
        expected[path] = epsilon(new) if "epsilon" in str(path[-1]) else number(new)
    run.write_json(name, value)
    text = _page(run).text
    assert len(expected) > 10
    missing = {path: shown for path, shown in expected.items() if shown not in text}
    assert not missing


def test_the_largest_epsilon_is_printed_rounded_up(finished_run: RunDirectory) -> None:
    _change(finished_run, "privacy.json", lambda value: value.update(epsilon=6.12301))
    assert "6.13" in _page(finished_run).text


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
        for path, leaf in list(_leaves(value)):
            number = isinstance(leaf, int | float) and not isinstance(leaf, bool)
            always = (name != "run.json" and path[-1] in {"patients", "seed"}) or path == ("claim", "delta")
            always |= path[0] == "sites" and path[-1] == "delta"
            if number and path[-1] in may and not always:
                _set(value, path, None)
        run.write_json(name, value)
    text = _page(run).text
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
        page = _page(run)
        assert page.open == []
        assert not re.search(r"\b(None|nan)\b", page.text.replace("phantom: null", "")), key


@pytest.mark.parametrize("name", ["audit.json", "evaluation.json", "privacy.json", "run.json"])
def test_a_file_of_another_version_is_refused_and_not_misread(finished_run: RunDirectory, name: str) -> None:
    _change(finished_run, name, lambda value: value.pop("version"))
    with pytest.raises(DataError, match=rf"{name} has the form of a version before 2"):
        write_report(finished_run)


@pytest.mark.parametrize(
    ("gone", "stage", "sentence"),
    [
        ("privacy.json", "train", "No privacy record."),
        ("audit.json", "assess", "The audit has not run."),
        ("evaluation.json", "assess", "The evaluation has not run."),
        ("events.jsonl", "train", "No finished round."),
        ("run.json", "train", "No sites recorded."),
    ],
)
def test_a_missing_stage_is_named(finished_run: RunDirectory, gone: str, stage: str, sentence: str) -> None:
    (finished_run.path / gone).unlink()
    page = _page(finished_run)
    assert page.open == []
    assert sentence in page.text
    assert f"These stages have not run, or not finished: {stage}." in page.text


def test_a_run_that_only_has_a_study_names_every_stage(tmp_path: Any) -> None:
    run = RunDirectory(tmp_path)
    run.study.write_text("study: {name: early}\n")
    page = _page(run)
    assert page.open == []
    assert "train, synthesize, assess" in page.text
    assert "NOT AUDITED" in page.text
    assert "fedgen synthesize" in page.text


def test_a_folder_that_is_no_run_is_refused(tmp_path: Any) -> None:
    with pytest.raises(DataError, match="not a run directory"):
        write_report(RunDirectory(tmp_path))


def test_hostile_names_are_escaped(finished_run: RunDirectory) -> None:
    bad = "<script>alert('x')</script>\"&"

    def rename(value: Any) -> Any:
        if isinstance(value, dict):
            return {
                rename(key) if key in {"COVID-19"} else key: rename(inner) for key, inner in value.items()
            }
        if isinstance(value, list):
            return [rename(inner) for inner in value]
        return bad if value in {"hannover", "COVID-19", "chest-xray", "vae"} else value

    for name in (
        "run.json",
        "privacy.json",
        "audit.json",
        "evaluation.json",
        "figures/real_vs_synthetic.json",
    ):
        finished_run.write_json(name, rename(finished_run.read_json(name)))
    events = [rename(json.loads(line)) for line in finished_run.events.read_text().splitlines()]
    finished_run.events.write_text("".join(json.dumps(event) + "\n" for event in events))
    finished_run.study.write_text(f"study:\n  name: a\n  description: {json.dumps(bad)}\n")
    page = _page(finished_run)
    assert page.open == []
    assert "script" not in page.tags
    assert page.text.count(bad) > 5


@pytest.mark.parametrize(
    ("verdict", "tone"),
    [("PASS", "pass"), ("REVIEW", "review"), ("FAIL", "fail"), ("INSUFFICIENT", "unknown")],
)
def test_each_verdict_has_its_word_its_tone_and_its_shape(
    finished_run: RunDirectory, verdict: str, tone: str
) -> None:
    _change(finished_run, "audit.json", lambda value: value.update(verdict=verdict, rows=[]))
    page = _page(finished_run)
    assert ("section", "class", f"banner {tone}") in page.attributes
    assert verdict in page.text


def test_verdicts_are_told_apart_without_colour(finished_run: RunDirectory) -> None:
    shapes = set()
    for verdict in ("PASS", "REVIEW", "FAIL", "INSUFFICIENT"):
        _change(
            finished_run,
            "audit.json",
            lambda value, verdict=verdict: value.update(verdict=verdict, rows=[]),
        )
        html = write_report(finished_run).read_text(encoding="utf-8")
        found = re.search(r'<svg class="icon".*?</svg>', html, re.DOTALL)
        assert found
        shapes.add(found.group())
    assert len(shapes) == 4


def test_a_run_without_privacy_says_so_loudly(finished_run: RunDirectory) -> None:
    _change(finished_run, "privacy.json", lambda value: value.update(mode="none", epsilon=None))
    text = _page(finished_run).text
    assert "No differential privacy." in text
    assert "privacy.mode is none" in text


def test_secure_aggregation_that_was_on_is_no_warning(finished_run: RunDirectory) -> None:
    abort = {"round": 1, "attempt": 1, "phase": "mask", "reason": "", "sites": []}
    on = {"enabled": True, "protocol": "Bonawitz 2017", "dropouts": 1, "statement": "Only sums were seen."}
    on |= {"aborts": [abort, abort], "bytes": {"from_sites": 12_340_000, "to_sites": 56_780_000}}
    _change(finished_run, "run.json", lambda value: value["secure_aggregation"].update(on))
    text = _page(finished_run).text
    assert "Updates were not hidden" not in text
    assert "Only sums were seen." in text
    for words in ("Bonawitz 2017", "Rounds tried twice", "12.3 MB", "56.8 MB"):
        assert words in text


def test_an_unfinished_run_says_so(finished_run: RunDirectory) -> None:
    _change(finished_run, "run.json", lambda value: value.update(status="failed"))
    assert "This run is not finished." in _page(finished_run).text


def test_a_last_line_cut_short_is_expected_but_a_broken_one_is_not(finished_run: RunDirectory) -> None:
    text = finished_run.events.read_text()
    finished_run.events.write_text(text + '{"event": "rou')
    write_report(finished_run)
    finished_run.events.write_text('{"event": "rou\n' + text)
    with pytest.raises(DataError, match=r"line 1 is damaged.*restore the file"):
        write_report(finished_run)


@pytest.mark.parametrize("name", ["audit.json", "study.yaml"])
def test_a_damaged_file_is_one_sentence(finished_run: RunDirectory, name: str) -> None:
    (finished_run.path / name).write_text("{: [")
    with pytest.raises((DataError, StudyError), match=name):
        write_report(finished_run)


def test_a_full_disk_is_one_sentence(finished_run: RunDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: object, **options: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(tempfile, "mkstemp", full)
    with pytest.raises(DataError, match="disk is full"):
        write_report(finished_run)


def test_contrast_of_text_is_at_least_the_accessible_minimum(finished_run: RunDirectory) -> None:
    """WCAG 2.2, 1.4.3: 4.5 to 1 for text, in both schemes."""

    def luminance(colour: str) -> float:
        digits = colour if len(colour) == 6 else "".join(2 * digit for digit in colour)
        parts = (int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4))
        r, g, b = (c / 12.92 if c <= 0.04045 else math.pow((c + 0.055) / 1.055, 2.4) for c in parts)
        return 0.2126 * r + 0.7152 * g + 0.0722 * b

    blocks = re.findall(r":root \{(.*?)\}", _page(finished_run).style, re.DOTALL)
    assert len(blocks) == 3
    pairs = [("ink", "paper"), ("muted", "paper"), ("muted", "raised"), ("accent", "paper")]
    pairs += [(tone, f"{tone}-tint") for tone in ("pass", "review", "fail", "unknown")]
    for block in blocks:
        colours = dict(re.findall(r"--([a-z-]+): #([0-9a-f]+)", block))
        for text, ground in pairs:
            light, dark = sorted((luminance(colours[text]), luminance(colours[ground])), reverse=True)
            assert (light + 0.05) / (dark + 0.05) >= 4.5, f"{text} on {ground}"


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
        for _, leaf in _leaves(json.loads(file.read_text())):
            known |= _forms(leaf)
    for line in (path / "events.jsonl").read_text().splitlines():
        for _, leaf in _leaves(json.loads(line)):
            known |= _forms(leaf)
    for _, leaf in _leaves(yaml.safe_load((path / "study.yaml").read_text())):
        known |= _forms(leaf)
    cells = Cells(write_report(finished_run).read_text(encoding="utf-8")).found
    shown = [(cell, text) for cell in cells for text in PRINTED.findall(cell)]
    assert len(shown) > 100
    assert [(cell, text) for cell, text in shown if text not in known] == []
