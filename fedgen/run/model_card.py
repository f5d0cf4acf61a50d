"""model/card.json: what a released model makes of what, how its patients were protected, and how it is used.

The folder `model/` is the release of a study that translates: the model with its evidence, and no image of a patient.
It can be handed on alone; `fedgen translate` takes it, or the run that it lies in.
"""

from __future__ import annotations

from typing import ClassVar

from fedgen.run.row import Verdict
from fedgen.run.run_file import RunFile
from fedgen.task.image_spec import ImageSpec

FOLDER = "model"
WEIGHTS, STUDY, README = "model.safetensors", "study.yaml", "README.md"


class ModelCard(RunFile):
    """`model/card.json`; a phantom's sites have no patients and no names here.

    Attributes:
        study: name of the study that trained the model.
        study_sha256: its hash.
        target: what the model makes.
        sources: what it makes it from.
        needed: the sources that every patient must have.
        image: grid of the images that it learned from; None where no site said what it is.
        mode: its privacy.mode.
        epsilon: largest of all sites; None without privacy.
        delta: as asked for; None without privacy.
        unprotected: sites whose patients are in the model without privacy, those of the run's own start among them.
        protected: sites whose patients are in it with privacy.
        statement: what the run's privacy.json states.
        verdict: of the audit.
        worth: what the evaluation says in a sentence; None where it says nothing.
        use: how the model is used, and what for it is not.
        files: SHA-256 by file name, of all others in the folder.
    """

    name: ClassVar[str] = f"{FOLDER}/card.json"

    study: str
    study_sha256: str
    target: str
    sources: tuple[str, ...]
    needed: tuple[str, ...]
    image: ImageSpec | None
    mode: str
    epsilon: float | None
    delta: float | None
    unprotected: tuple[str, ...]
    protected: tuple[str, ...]
    statement: str
    verdict: Verdict
    worth: str | None
    use: str
    files: dict[str, str]
