"""What a person sees while a run goes on: stages, and a bar of rounds with loss, epsilon and sites."""

from __future__ import annotations

from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from fedgen.federation.coordinator.rounds import RoundReport
from fedgen.mechanisms.statement import rounded_up
from fedgen.pipeline.watch import Watcher

TITLES = {
    "prepare": "Preparing data",
    "train": "Training",
    "synthesize": "Sampling",
    "assess": "Auditing and evaluating",
    "release": "Writing the model with its evidence",
    "report": "Writing the report",
}

#: What a family does after the last round, where it does something.
FINISHING = "Finishing the model"


class Display:
    """A live bar on a terminal; a line a round where the output goes to a file."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._progress = Progress(
            TextColumn("{task.description:<18}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("{task.fields[note]}"),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
        )
        self._task: TaskID | None = None
        self._made: TaskID | None = None
        self._tenth = -1
        self._stage = ""
        self._said: set[str] = set()

    def __enter__(self) -> Display:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    @property
    def watcher(self) -> Watcher:
        """The callbacks for the pipeline."""
        return Watcher(
            stage=self._on_stage,
            round=self._on_round,
            images=self._on_images,
            measured=self._on_measured,
            finishing=self._on_finishing,
        )

    def say(self, sentence: str) -> None:
        """A line above the bar."""
        self._console.print(f"  {sentence}", markup=False, highlight=False, soft_wrap=True)

    def _on_stage(self, stage: str) -> None:
        self._finish()
        self._stage = stage
        self._said.clear()
        title = TITLES.get(stage, stage)
        if self._console.is_terminal:
            self._task = self._progress.add_task(title, total=None, note="")
        else:
            self._console.print(title, highlight=False)

    def _finish(self) -> None:
        if self._task is not None:
            task = self._progress.tasks[self._task]
            total = task.total or 1
            self._progress.update(self._task, total=total, completed=total)

    def _on_round(self, report: RoundReport) -> None:
        note = describe(report)
        if self._task is not None and self._console.is_terminal:
            self._progress.update(self._task, total=report.rounds, completed=report.round, note=note)
        else:
            self._console.print(
                f"  round {report.round}/{report.rounds}  {note}", highlight=False, soft_wrap=True
            )
        for site, reason in report.missing.items():
            self._console.print(
                f"  round {report.round} went on without {site}: {reason}", style="yellow", markup=False
            )

    def _on_finishing(self, done: int, total: int) -> None:
        if self._console.is_terminal:
            if self._made is None:
                self._made = self._progress.add_task(FINISHING, total=total, note="")
            self._progress.update(self._made, completed=done)
        elif 10 * done // total > self._tenth:
            self._tenth = 10 * done // total
            self.say(f"{FINISHING.lower()}: {self._tenth * 10} %")

    def _on_images(self, done: int, total: int) -> None:
        if self._task is not None:
            self._progress.update(self._task, total=total, completed=done)

    def _on_measured(self, whose: str, title: str) -> None:
        if self._task is not None and self._console.is_terminal:
            done = self._progress.tasks[self._task].completed + 1
            self._progress.update(self._task, completed=done, note=f"{whose}: {title}")
        elif whose not in self._said:
            # In a file a line a site, not one a row.
            self._said.add(whose)
            self.say(whose)


def describe(report: RoundReport) -> str:
    """`discriminator 1.31 ± 0.04, epsilon <= 3.10, 4 sites`."""
    parts = [
        f"{name} loss {value:.3f}" + (f" ± {std:.3f}" if std else "")
        for name, (value, std) in report.losses.items()
    ]
    parts.append("no privacy" if report.epsilon is None else f"epsilon <= {rounded_up(report.epsilon):.2f}")
    parts.append(f"{len(report.sites)} site" + ("s" if len(report.sites) != 1 else ""))
    return ", ".join(parts)
