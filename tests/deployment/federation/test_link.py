"""A run's own end, when the database will not hear of it."""

from __future__ import annotations

import sqlite3
import threading

import pytest

from fedgen.flower.link import Link


@pytest.mark.slow
def test_a_run_ends_though_the_database_is_locked(tmp_path) -> None:
    """An interrupt in the middle of a transaction leaves the lock with this very process."""
    link = Link(tmp_path / "superlink.db", threading.Event())
    other = sqlite3.connect(tmp_path / "superlink.db")
    other.execute("BEGIN IMMEDIATE")
    try:
        link.close(False)
    finally:
        other.rollback()
        other.close()
