"""The page of a run: whole, of one file, safe to open, and plain about verdict and privacy."""

from __future__ import annotations

import json
import math
import re
from typing import Any

import pytest

from fedgen.report.page import write_report
from fedgen.run.directory import RunDirectory
from tests.fedgen.report.read_page import change, page_of


def test_the_page_is_balanced_and_loads_nothing(finished_run: RunDirectory) -> None:
    page = page_of(finished_run)
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
    text = page_of(finished_run).text
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
    page = page_of(finished_run)
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
    change(finished_run, "audit.json", lambda value: value.update(verdict=verdict, rows=[]))
    page = page_of(finished_run)
    assert ("section", "class", f"banner {tone}") in page.attributes
    assert verdict in page.text


def test_verdicts_are_told_apart_without_colour(finished_run: RunDirectory) -> None:
    shapes = set()
    for verdict in ("PASS", "REVIEW", "FAIL", "INSUFFICIENT"):
        change(
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
    change(finished_run, "privacy.json", lambda value: value.update(mode="none", epsilon=None))
    text = page_of(finished_run).text
    assert "No differential privacy." in text
    assert "privacy.mode is none" in text


def test_secure_aggregation_that_was_on_is_no_warning(finished_run: RunDirectory) -> None:
    abort = {"round": 1, "attempt": 1, "phase": "mask", "reason": "", "sites": []}
    on = {"enabled": True, "protocol": "Bonawitz 2017", "dropouts": 1, "statement": "Only sums were seen."}
    on |= {"aborts": [abort, abort], "bytes": {"from_sites": 12_340_000, "to_sites": 56_780_000}}
    change(finished_run, "run.json", lambda value: value["secure_aggregation"].update(on))
    text = page_of(finished_run).text
    assert "Updates were not hidden" not in text
    assert "Only sums were seen." in text
    for words in ("Bonawitz 2017", "Rounds tried twice", "12.3 MB", "56.8 MB"):
        assert words in text


def test_contrast_of_text_is_at_least_the_accessible_minimum(finished_run: RunDirectory) -> None:
    """WCAG 2.2, 1.4.3: 4.5 to 1 for text, in both schemes."""

    def luminance(colour: str) -> float:
        digits = colour if len(colour) == 6 else "".join(2 * digit for digit in colour)
        parts = (int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4))
        r, g, b = (c / 12.92 if c <= 0.04045 else math.pow((c + 0.055) / 1.055, 2.4) for c in parts)
        return 0.2126 * r + 0.7152 * g + 0.0722 * b

    blocks = re.findall(r":root \{(.*?)\}", page_of(finished_run).style, re.DOTALL)
    assert len(blocks) == 3
    pairs = [("ink", "paper"), ("muted", "paper"), ("muted", "raised"), ("accent", "paper")]
    pairs += [(tone, f"{tone}-tint") for tone in ("pass", "review", "fail", "unknown")]
    for block in blocks:
        colours = dict(re.findall(r"--([a-z-]+): #([0-9a-f]+)", block))
        for text, ground in pairs:
            light, dark = sorted((luminance(colours[text]), luminance(colours[ground])), reverse=True)
            assert (light + 0.05) / (dark + 0.05) >= 4.5, f"{text} on {ground}"
