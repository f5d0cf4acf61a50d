"""MLflow: a run of the experiment `fedgen` at a tracking server, which goes on where a run is gone on with."""

from __future__ import annotations

import math
import os
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from mlflow.entities import Metric, Param
from mlflow.tracking import MlflowClient

from fedgen.tracking.contract import Tracked, Tracker

EXPERIMENT = "fedgen"
#: By which a run is found again; and the last round that it was told, as a metric.
TAG, ROUND = "fedgen.run", "round"
#: MLflow's own statuses.
STATUS = {"done": "FINISHED", "failed": "FAILED", "interrupted": "KILLED"}
#: Of one request, as MLflow's REST API allows it.
MOST_METRICS, MOST_PARAMETERS, LONGEST = 500, 100, 500


class MlflowTracker(Tracker):
    """A run at a server, or in a folder, as MLflow's URIs say."""

    def __init__(self, client: MlflowClient, run_id: str, told: int) -> None:
        self._client, self._id, self._told = client, run_id, told

    @classmethod
    def open(cls, run: Tracked, where: str | None) -> Self:
        """The run's own at `where`; without it where MLFLOW_TRACKING_URI says, else as MLflow does by itself."""
        # Its own patience is minutes; what is not there should be said soon.
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")
        client = MlflowClient(where)
        known = client.get_experiment_by_name(EXPERIMENT)
        experiment = client.create_experiment(EXPERIMENT) if known is None else known.experiment_id
        found = client.search_runs([experiment], f"tags.`{TAG}` = '{run.name}'", max_results=1)
        if found:
            client.update_run(found[0].info.run_id, "RUNNING")
            return cls(client, found[0].info.run_id, int(found[0].data.metrics.get(ROUND, 0)))
        made = client.create_run(
            experiment, run_name=run.name, tags={TAG: run.name, "fedgen.study": run.study}
        ).info.run_id
        parameters = [Param(key, value[:LONGEST]) for key, value in run.parameters.items()]
        for start in range(0, len(parameters), MOST_PARAMETERS):
            client.log_batch(made, params=parameters[start : start + MOST_PARAMETERS])
        return cls(client, made, 0)

    @property
    def last_round(self) -> int:
        """As the server has it."""
        return self._told

    def numbers(self, values: Mapping[str, float], step: int) -> None:
        """Metrics; one that is not finite is left out, since not every store takes it."""
        now = int(1000 * time.time())
        metrics = [
            Metric(name, value, now, step)
            for name, value in {**values, ROUND: float(step)}.items()
            if math.isfinite(value)
        ]
        for start in range(0, len(metrics), MOST_METRICS):
            self._client.log_batch(self._id, metrics=metrics[start : start + MOST_METRICS])

    def picture(self, name: str, png: bytes, step: int) -> None:
        """An artefact among `pictures`."""
        self._put(f"{name}-{step:05d}.png", png, "pictures")

    def file(self, name: str, content: bytes) -> None:
        """An artefact."""
        self._put(name, content, None)

    def _put(self, name: str, content: bytes, folder: str | None) -> None:
        with tempfile.TemporaryDirectory(prefix="fedgen-mlflow-") as place:
            path = Path(place) / name
            path.write_bytes(content)
            self._client.log_artifact(self._id, str(path), folder)

    def close(self, status: str) -> None:
        """Set its status."""
        self._client.set_terminated(self._id, STATUS[status])
