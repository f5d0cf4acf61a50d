"""A privacy mode is one file: a study asks for it, sites train under it and pay, and it says what it promises."""

from __future__ import annotations

from typing import Any

import pytest

KINDS = ("a privacy mode",)


@pytest.mark.slow
def test_a_mode_is_one_file(exchanged: dict[str, dict[str, Any]]) -> None:
    found, local = exchanged["louder"], exchanged["local"]
    assert found["mechanism"] == "louder"
    assert found["private"]
    assert found["charges"] == local["charges"] == [1, 1, 1]
    assert found["epsilon"] == local["epsilon"]
    assert found["holds_against"] == "everybody who listens"
    assert local["holds_against"] != found["holds_against"]
