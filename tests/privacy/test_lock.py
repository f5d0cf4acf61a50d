"""The lock against a second process, which may end in any way."""

from __future__ import annotations

import multiprocessing
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fedgen_privacy.accounting import Spend
from fedgen_privacy.errors import ExitCode, LockedError
from fedgen_privacy.ledger import Charge, Ledger
from fedgen_privacy.lock import exclusive

HOLD = """
import sys, time
from pathlib import Path
from fedgen_privacy.lock import exclusive
with exclusive(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""


def charge(folder: Path, name: str) -> None:
    for round in range(1, 16):
        with exclusive(folder / "ledger.lock", wait=120):
            Ledger(folder / "ledger.jsonl").charge(Charge(name, round, "m", Spend(1.0, 0.1, 1)))


@pytest.fixture
def holder(tmp_path: Path):
    """Another process that holds `tmp_path / lock`."""
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path / "lock")], stdout=subprocess.PIPE)
    assert process.stdout is not None and process.stdout.readline() == b"held\n"
    yield process
    process.kill()
    process.wait()


def test_a_second_process_is_refused_with_the_reason(tmp_path: Path, holder) -> None:
    started = time.monotonic()
    with (
        pytest.raises(LockedError, match=r"Another process has held .*lock for 0\.2 s") as refused,
        exclusive(tmp_path / "lock", wait=0.2),
    ):
        pytest.fail("two processes held the lock")
    assert time.monotonic() - started >= 0.2
    assert refused.value.exit_code is ExitCode.FEDERATION


def test_a_killed_process_holds_nothing(tmp_path: Path, holder) -> None:
    holder.kill()
    holder.wait()
    with exclusive(tmp_path / "lock", wait=5):
        pass


def test_it_is_free_again_after_the_block_and_after_an_error(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), exclusive(tmp_path / "lock"):
        raise ZeroDivisionError
    with exclusive(tmp_path / "lock", wait=0):
        pass


def test_two_processes_charging_one_ledger_lose_no_row(tmp_path: Path) -> None:
    """Without the lock they overwrite each other's end of the chain."""
    # Forked, so that neither has to import anything first: they begin together.
    processes = multiprocessing.get_context("fork")
    both = [processes.Process(target=charge, args=(tmp_path, name)) for name in ("a", "b")]
    for process in both:
        process.start()
    for process in both:
        process.join()
    assert [process.exitcode for process in both] == [0, 0]
    ledger = Ledger(tmp_path / "ledger.jsonl")
    assert len(ledger.spends("a")) == len(ledger.spends("b")) == 15
    assert ledger.charge(Charge("c", 1, "m", Spend(1.0, 0.1, 1)))
