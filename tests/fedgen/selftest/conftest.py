"""The installed code as a subject, for every test of the room."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from fedgen.selftest.subject import Subject, installed


@pytest.fixture(scope="session")
def subject() -> Callable[..., Subject]:
    """`subject("vae")`: what is installed, with a small network of the family."""
    return installed
