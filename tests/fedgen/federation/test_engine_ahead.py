"""Ray's own processes: which there are, that workers are warm before they are asked, and that none is left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import psutil
import pytest

REPO = Path(__file__).parents[3]


def program(body: str, **options) -> subprocess.Popen[str]:
    """A process of its own: Ray is one in a process, and takes its signals."""
    code = textwrap.dedent(
        """
        import sys, time
        from fedgen.federation.simulation.engine_ahead import engine_ahead
        """
    ) + textwrap.dedent(body)
    return subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=REPO,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        **options,
    )


def family(session: int) -> list[psutil.Process]:
    """What is alive of a session."""
    found = []
    for process in psutil.process_iter():
        try:
            if os.getsid(process.pid) == session and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except (ProcessLookupError, psutil.NoSuchProcess):
            continue
    return found


def nothing_left(session: int) -> bool:
    end = time.monotonic() + 60
    while family(session) and time.monotonic() < end:
        time.sleep(0.1)
    return not family(session)


def test_an_engine_that_was_started_ahead_is_the_one_that_is_used_and_its_workers_are_warm() -> None:
    started = program(
        """
        import psutil
        with engine_ahead(2):
            from fedgen.federation.simulation import ray_processes
            from fedgen.federation.simulation.engine import ray_engine
            import ray
            end = time.monotonic() + 240
            while not ray.is_initialized():
                assert time.monotonic() < end
                time.sleep(0.05)
            address = ray.get_runtime_context().gcs_address
            with ray_engine(2):
                assert ray.get_runtime_context().gcs_address == address
                assert ray.cluster_resources()["CPU"] == 2

                @ray.remote(num_cpus=1)
                class Asked:
                    def loaded(self):
                        return "fedgen.federation.simulation.virtual_sites" in sys.modules

                @ray.remote(num_cpus=0)
                class Cold(Asked.__ray_metadata__.modified_class):
                    pass

                cold = Cold.options(runtime_env=ray_processes.COLD).remote()
                asked = [Asked.remote() for _ in range(2)]
                print("warm", ray.get([each.loaded.remote() for each in asked]))
                print("cold", ray.get(cold.loaded.remote()))
                names = {" ".join(each.cmdline()) for each in psutil.Process().children(recursive=True)}
                print("unused", [name for name in names for of in ("monitor.py", "dashboard.py") if of in name])
            assert not ray.is_initialized()
        """
    )
    told, _ = started.communicate(timeout=280)
    assert started.returncode == 0, told
    assert "warm [True, True]\ncold False\nunused []\n" in told
    assert nothing_left(started.pid)


@pytest.mark.parametrize("what", ["pass", pytest.param("raise SystemExit(3)", marks=pytest.mark.slow)])
def test_an_engine_that_nobody_used_is_gone_with_the_block(what: str) -> None:
    started = program(
        f"""
        try:
            with engine_ahead(2):
                time.sleep(0.2)
                {what}
        finally:
            print("left", flush=True)
        """
    )
    told, _ = started.communicate(timeout=280)
    assert (started.returncode, told) == (0 if what == "pass" else 3, "left\n")
    assert nothing_left(started.pid)


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [0.5, 2.0, 4.0, 8.0])
def test_an_interrupt_at_any_time_of_its_start_leaves_nothing_behind(seconds: float) -> None:
    started = program(
        """
        with engine_ahead(2):
            print("begun", flush=True)
            time.sleep(300)
        """
    )
    assert started.stdout is not None and started.stdout.readline() == "begun\n"
    time.sleep(seconds)
    started.send_signal(signal.SIGINT)
    # Whoever reads what it writes, such as tee, is not held up either.
    told, _ = started.communicate(timeout=60)
    assert "KeyboardInterrupt" in told
    assert nothing_left(started.pid)
