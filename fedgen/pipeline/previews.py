"""What the model draws while it is trained, for who watches: a few images now and then, in a share of the rounds' time.

Drawing reads no patient and comes after the round was released, so it is post-processing. Nothing that is trained
depends on it: the networks are copies, the random numbers are its own, and what goes wrong is a line of the journal.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import torch

from fedgen.errors import FedgenError
from fedgen.families.parts.first_weights import generators_kept
from fedgen.pipeline.workspace import Workspace
from fedgen.run.atomic import write_atomic
from fedgen.run.checkpoint import Checkpoint
from fedgen.run.events import NotPreviewed, Previewed
from fedgen.run.preview_file import preview_path, remove_older
from fedgen.synthesis.grid import sample_grid
from fedgen.synthesis.synthesize import synthesize

#: Images of a picture, and of a class, at most; and classes of the first, by which the machine's speed is measured.
MOST_IMAGES, PER_CLASS, FIRST_CLASSES = 24, 4, 4
#: Pictures of a whole training, at most.
MOST_PICTURES = 50


class Previews:
    """Draws after a round where there is time left for it.

    Args:
        work: the run.
        percent: of the rounds' time, in which all pictures together are drawn, but for the first.
        clock: seconds, monotonic.
    """

    def __init__(self, work: Workspace, percent: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._work, self._share, self._clock = work, percent / 100, clock
        study = work.study
        self._over = percent == 0 or study.made.translates or not study.steps
        self._every = -(-study.total_rounds // MOST_PICTURES)
        # Seconds that may still be taken; of what every picture takes and of each image in it, once it is known.
        self._left = 0.0
        self._takes: tuple[float, float] | None = None
        self._round = 0

    def after(self, state: Checkpoint, seconds: float) -> None:
        """A round is over.

        Args:
            state: with the model, which is not changed.
            seconds: that it took.
        """
        self._left += self._share * seconds
        # After the last round the release itself is drawn.
        last = state.round >= self._work.study.total_rounds
        if self._over or last or state.round < self._round + self._every or not self._affordable():
            return
        try:
            self._draw(state)
        except Exception as error:
            # Whatever it is, the training does not need it.
            self._over = True
            self._note(state.round, error)

    def _affordable(self) -> bool:
        if self._takes is None:
            return True
        whole, each = self._takes
        classes, count = self._grid()
        return whole + each * classes * count <= self._left

    def _grid(self) -> tuple[int, int]:
        """Classes of the next picture, and images of each."""
        classes = min(len(self._work.study.data.classes), MOST_IMAGES)
        if self._takes is None:
            return min(classes, FIRST_CLASSES), 1
        return classes, max(1, min(PER_CLASS, MOST_IMAGES // classes))

    def _draw(self, state: Checkpoint) -> None:
        work, study = self._work, self._work.study
        classes, count = self._grid()
        names = study.data.classes[:classes]
        wanted = study.synthesis.model_copy(
            update={"images": classes * count, "balance": dict.fromkeys(names, 1 / classes)}
        )
        began = self._clock()
        device = torch.device(study.training.device)
        with generators_kept([device] if device.type == "cuda" else []):
            networks = work.networks(state.ema)
            ready = self._clock()
            made = synthesize(
                work.recipe.family,
                networks,
                wanted,
                study.data.classes,
                work.recipe.task,
                seed=study.study.seed,
                sample=work.recipe.family.sample_unfinished,
            )
        drawn = self._clock()
        write_atomic(
            preview_path(work.run, state.round), sample_grid(made.images, made.labels, names, per_class=count)
        )
        remove_older(work.run)
        seconds, images = self._clock() - began, len(made.labels)
        self._left -= seconds
        self._takes = seconds - (drawn - ready), (drawn - ready) / images
        self._round = state.round
        work.run.event(Previewed(round=state.round, images=images, seconds=round(seconds, 3)))

    def _note(self, round: int, error: Exception) -> None:
        reason = error.for_log if isinstance(error, FedgenError) else f"unexpected {type(error).__name__}"
        try:
            self._work.run.event(NotPreviewed(round=round, reason=reason))
        except FedgenError:
            # The disk may be what failed; the training says so itself when it next needs it.
            return
