"""The runs of a folder: what became of each, what it takes on the disk, and which are needed and never removed."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from pydantic import Field

from fedgen.errors import DataError, FedgenError, StudyError
from fedgen.run.atomic import unreadable, unwritable
from fedgen.run.directory import RELEASE, RunDirectory
from fedgen.run.row import Verdict
from fedgen.run.source_file import SourceFile
from fedgen.run_view import RunView
from fedgen.schema.section import Section


class KeptRun(Section):
    """A run."""

    run: str = Field(description="its folder's name")
    study: str | None = Field(description="name; null where it is not known")
    status: Literal["running", "done", "failed", "interrupted", "begun", "damaged"] = Field(
        description="`running` is also what a killed process leaves behind; `begun` where no stage has finished"
    )
    epsilon: float | None = Field(
        description="spent at most; null without privacy, or where it is not recorded"
    )
    verdict: Verdict | None = Field(description="of the audit; null where it has not run")
    size: int = Field(description="bytes on the disk")
    needed: str | None = Field(description="why --prune never removes it; null where it does, once asked")


class KeptRuns(Section):
    """The runs of a folder."""

    folder: str = Field(description="that was looked at")
    runs: tuple[KeptRun, ...] = Field(description="by name")
    size: int = Field(description="bytes of all of them")
    prunable: int = Field(description="bytes that --prune would free")


def kept_runs(folder: Path) -> KeptRuns:
    """What there is in a folder of runs; nothing is changed.

    Raises:
        StudyError: there is no such folder.
        DataError: it cannot be read.
    """
    if not folder.is_dir():
        raise StudyError(f"{folder} is no folder: name the folder of the runs, such as runs.")
    try:
        runs = tuple(kept_run(path) for path in sorted(folder.iterdir()) if _is_run(path))
    except OSError as error:
        raise unreadable(folder, error) from error
    return KeptRuns(
        folder=str(folder),
        runs=runs,
        size=sum(run.size for run in runs),
        prunable=sum(run.size for run in runs if run.needed is None),
    )


def kept_run(path: Path) -> KeptRun:
    """One run, damaged or not."""
    view, size = RunView(RunDirectory(path)), _size(path)
    try:
        study, summary = view.study, view.summary
        return KeptRun(
            run=path.name,
            study=None if study is None else study.study.name,
            status=summary.status or "begun",
            epsilon=None if view.privacy is None else view.privacy.epsilon,
            verdict=None if view.audit is None else view.audit.verdict,
            size=size,
            needed=_needed(view),
        )
    except FedgenError as error:
        return KeptRun(
            run=path.name,
            study=None,
            status="damaged",
            epsilon=None,
            verdict=None,
            size=size,
            needed=f"what it holds is not known ({type(error).__name__}), so look at it yourself",
        )


def remove_run(folder: Path, name: str) -> None:
    """Remove a run that nothing needs; looked at once more first, since somebody may have gone on with it.

    Raises:
        StudyError: it is no run of the folder, or is needed.
        DataError: it cannot be removed.
    """
    path = folder / name
    if Path(name).name != name or not _is_run(path):
        raise StudyError(f"{path} is no run of {folder}: nothing was removed.")
    needed = kept_run(path).needed
    if needed is not None:
        raise StudyError(f"{path} is kept: {needed}.")
    gone = path.with_name(f".{name}.removed")
    try:
        # Out of sight at once: a run that is half removed would look like one that is damaged.
        path.rename(gone)
        shutil.rmtree(gone)
    except OSError as error:
        raise unwritable(path, error) from error


def _is_run(path: Path) -> bool:
    return not path.is_symlink() and not path.name.startswith(".") and (path / "study.yaml").is_file()


def _needed(view: RunView) -> str | None:
    """Why a run must stay; whatever is not certain is needed."""
    path, summary = view.run.path, view.summary
    if (path / RELEASE).exists():
        return "a release of it was signed, and what it says is checked against this run"
    if view.federated:
        return "it is a federation's: its study is never run twice, and its receipts are signed by sites"
    if summary.status == "running":
        return "it may be at work; if it was killed, finish it first"
    try:
        source = SourceFile.read(view.run).source
    except DataError:
        return "it is not known whose images it read"
    if source is not None and any(
        ledger.stat().st_size for ledger in (path / "sites").glob("*/ledger.jsonl")
    ):
        return "its ledgers are the only record of what it cost the patients"
    return None


def _size(path: Path) -> int:
    # What the disk has of it; a link is counted as a link, since what it leads to is not removed.
    return sum(os.lstat(file).st_blocks * 512 for file in _files(path))


def _files(path: Path) -> Iterator[str]:
    for folder, folders, files in os.walk(path):
        yield from (os.path.join(folder, name) for name in (*folders, *files))  # noqa: PTH118
