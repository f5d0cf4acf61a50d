"""The look of the live pages: one sheet with the report's, and templates that a strict policy lets be."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.resources import files

import pytest

from fedgen.dashboard.page_look import environment, icon, sheet

#: The entry page alone has a style and a script in it, each of which its policy names by its hash.
TEMPLATES = sorted(
    path.name
    for path in files("fedgen.dashboard").joinpath("templates").iterdir()
    if path.name.endswith(".html") and path.name != "enter.html"
)


def test_the_sheet_is_the_reports_look_and_then_the_pages_own() -> None:
    report = files("fedgen.report").joinpath("templates", "look.css").read_text("utf-8")
    own = files("fedgen.dashboard").joinpath("templates", "live.css").read_text("utf-8")
    assert sheet().index(report) < sheet().index(own)
    assert "prefers-color-scheme: dark" in sheet()


def test_every_colour_that_the_sheet_uses_is_one_that_it_gives() -> None:
    used = set(re.findall(r"var\((--[a-z0-9-]+)", sheet()))
    given = set(re.findall(r"(--[a-z0-9-]+):", sheet()))
    assert used <= given
    assert not re.search(r"url\(|@import|https?:", sheet())


@pytest.mark.parametrize("name", TEMPLATES)
def test_no_template_needs_what_the_policy_forbids(name: str) -> None:
    text = files("fedgen.dashboard").joinpath("templates", name).read_text("utf-8")
    assert not re.search(r"\sstyle=|\son[a-z]+=|javascript:|<style", text)
    assert not re.search(r"<script(?![^>]*\bsrc=)", text)
    assert not re.search(r"(src|href|action)=\"(https?:)?//", text)


def test_a_page_of_another_package_extends_the_frame() -> None:
    page = environment().from_string(
        '{% extends "base.html" %}{% from "parts.html" import gauge, panel, state %}'
        '{% from "macros.html" import chip %}'
        '{% block page %}{{ state("pass", "connected") }}{% call panel("a", "A <b>") %}'
        '{{ gauge([(0.5, 1), (0.7, 2)], "x") }}'
        "{% endcall %}{{ chip('PASS') }}{% endblock %}"
    )
    made = page.render(root="/page")
    assert 'href="/page/look.css?' in made
    assert "A &lt;b&gt;" in made
    # What is used never goes beyond the whole.
    assert re.findall(r'<rect class="s-[12]" x="([0-9.]+)" width="([0-9.]+)"', made) == [
        ("0", "50.0"),
        ("50.0", "50.0"),
    ]


def test_the_icon_is_a_picture_without_anything_from_elsewhere() -> None:
    assert icon().startswith("<svg") and "href" not in icon() and "style" not in icon()


def test_a_server_that_has_a_page_carries_neither_torch_nor_a_plotting_library() -> None:
    code = "import sys, fedgen.dashboard.live_page; print(sorted({'torch', 'matplotlib', 'flwr'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"
