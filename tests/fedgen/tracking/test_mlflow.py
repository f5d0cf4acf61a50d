"""A real MLflow server on this machine, in an environment of its own: `make .venv-mlflow/.installed` makes it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from mlflow.tracking import MlflowClient

from fedgen.run.directory import RunDirectory
from fedgen.run.events import Done, Interrupted, RoundDone
from fedgen.run_view import RunView
from fedgen.tracking.feed import FILES, of_rows
from fedgen.tracking.follow import tracking
from fedgen.tracking.registry import TrackerChoice

#: The server needs some forty packages more than its client, and may not decide which versions we are tested with.
SERVER = Path(os.environ.get("FEDGEN_MLFLOW", Path(__file__).parents[3] / ".venv-mlflow")) / "bin/python"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Its URI."""
    if not SERVER.exists():
        pytest.skip(f"no MLflow server at {SERVER}: make .venv-mlflow/.installed")
    folder = tmp_path_factory.mktemp("mlflow")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    uri = f"http://127.0.0.1:{port}"
    store = f"sqlite:///{folder / 'mlflow.db'}"
    command = [
        str(SERVER),
        "-m",
        "mlflow",
        "server",
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
        "--workers",
        "1",
    ]
    command += ["--backend-store-uri", store, "--artifacts-destination", str(folder / "artifacts")]
    # Without its seven processes for jobs that nobody gives it.
    env = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            command, cwd=folder, env=env, stdout=log, stderr=log, start_new_session=True
        )
    try:
        end = time.monotonic() + 180
        while True:
            try:
                with urllib.request.urlopen(f"{uri}/health", timeout=5):
                    break
            except OSError:
                assert process.poll() is None, (folder / "log").read_text()
                assert time.monotonic() < end, "the server did not start"
                time.sleep(0.5)
        yield uri
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(30)


@pytest.mark.slow
def test_a_server_has_the_run_and_goes_on_with_it(run: RunDirectory, server: str) -> None:
    """Slow: a server starts. What it is told is tested without one in test_feed.py."""
    choice, said = TrackerChoice("mlflow", server), []
    with tracking(run, [choice], said.append, 120):
        run.event(Interrupted())
    with tracking(run, [choice], said.append, 120):
        run.event(Done())
    assert said == []
    client, view = MlflowClient(server), RunView(run)
    experiment = client.get_experiment_by_name("fedgen")
    (found,) = client.search_runs([experiment.experiment_id])
    assert found.info.status == "FINISHED" and found.info.run_name == run.path.name
    assert found.data.params["training.rounds"] == "2"
    rounds = [event for event in view.events if isinstance(event, RoundDone)]
    history = client.get_metric_history(found.info.run_id, "loss/vae")
    assert [(each.step, each.value) for each in history] == [
        (event.round, pytest.approx(event.losses["vae"].value)) for event in rounds
    ]
    assert [each.value for each in client.get_metric_history(found.info.run_id, "privacy/epsilon")] == [
        pytest.approx(event.epsilon) for event in rounds
    ]
    for name, value in of_rows(view).items():
        assert found.data.metrics[name] == pytest.approx(value), name
    names = {file.path for file in client.list_artifacts(found.info.run_id)}
    assert names == {*FILES, "report.html", "pictures"}
    assert [file.path for file in client.list_artifacts(found.info.run_id, "pictures")] == [
        "pictures/preview-00001.png",
        "pictures/samples-00002.png",
    ]


@pytest.mark.slow
def test_no_server_is_one_sentence(run: RunDirectory) -> None:
    """Slow: MLflow tries several times."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        nowhere = f"http://127.0.0.1:{free.getsockname()[1]}"
    said: list[str] = []
    with tracking(run, [TrackerChoice("mlflow", nowhere)], said.append, 120):
        run.event(Done())
    (sentence,) = said
    assert sentence.startswith(
        f"WARNING: The tracker mlflow ({nowhere}) failed and is told nothing more; the run goes on"
    )
