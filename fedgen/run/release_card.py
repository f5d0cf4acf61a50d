"""samples/card.json: whose patients the synthetic images were made of and how they were protected, beside the images.

It travels with the folder, so that whoever trains on these images can say where they come from.
"""

from __future__ import annotations

from typing import ClassVar

from fedgen.run.run_file import RunFile


class ReleaseCard(RunFile):
    """`samples/card.json`; a phantom's sites have no patients and no names here.

    Attributes:
        study: name of the study that made the images.
        study_sha256: its hash.
        mode: its privacy.mode.
        epsilon: largest of all sites; None without privacy.
        delta: as asked for; None without privacy.
        unprotected: sites whose patients are in the images without privacy, those of the run's own start among them.
        protected: sites whose patients are in them with privacy.
        statement: what the run's privacy.json states.
        files_sha256: of the table and all the files that it lists.
    """

    name: ClassVar[str] = "samples/card.json"

    study: str
    study_sha256: str
    mode: str
    epsilon: float | None
    delta: float | None
    unprotected: tuple[str, ...]
    protected: tuple[str, ...]
    statement: str
    files_sha256: str
