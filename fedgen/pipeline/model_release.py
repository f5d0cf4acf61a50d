"""The release of a study that translates: its model with its evidence, in one folder that can be handed on."""

from __future__ import annotations

import hashlib
import shutil

from fedgen.pipeline.export import weights_file
from fedgen.pipeline.model import needed_sources
from fedgen.pipeline.released import patients_in
from fedgen.pipeline.workspace import Workspace
from fedgen.report.worth import worth
from fedgen.run.atomic import write_atomic
from fedgen.run.evidence_files import AuditFile, EvaluationFile
from fedgen.run.model_card import FOLDER, README, STUDY, WEIGHTS, ModelCard
from fedgen.run.privacy_file import PrivacyFile
from fedgen.run.summary import RunSummary
from fedgen.study.show import dump_study

USE = (
    "Use it where the sources lie, with `fedgen translate MODEL --data FOLDER`: it reads the images of FOLDER as the "
    "study's section data says and writes {target} on the grid of each patient's own {sources}. What it writes is "
    "synthetic. For research only: no diagnosis may rest on it, and nothing that is in it, or missing, is proof."
)


def release_model(work: Workspace) -> None:
    """Write `model/`: the weights, the study, what was measured, and a card that says what it all is.

    Raises:
        DataError: training has not finished, the run has not been assessed, or the disk is full.
    """
    run, study, task = work.run, work.study, work.recipe.task
    privacy, audit, evaluation = PrivacyFile.read(run), AuditFile.read(run), EvaluationFile.read(run)
    unprotected, protected = patients_in(work, privacy)
    folder = run.path / FOLDER
    # First, because its presence says that all of this is written, and belongs together.
    (folder / "card.json").unlink(missing_ok=True)
    if folder.exists():
        shutil.rmtree(folder)
    sources = tuple(source.name for source in task.sources)
    card = ModelCard(
        study=study.study.name,
        study_sha256=work.recipe.sha256,
        target=task.makes[0].name,
        sources=sources,
        needed=needed_sources(work.recipe),
        image=RunSummary.read(run).image,
        mode=privacy.mode,
        epsilon=privacy.epsilon,
        delta=privacy.delta,
        unprotected=unprotected,
        protected=protected,
        statement=privacy.statement,
        verdict=audit.verdict,
        worth=worth(evaluation.pooled or evaluation.rows),
        use=USE.format(target=task.makes[0].name, sources=" and ".join(sources)),
        files={},
    )
    files = {
        WEIGHTS: weights_file(work),
        STUDY: dump_study(study).encode(),
        README: _readme(card).encode(),
        **{
            each.name: (run.path / each.name).read_bytes()
            for each in (PrivacyFile, AuditFile, EvaluationFile)
        },
    }
    for name, content in files.items():
        write_atomic(folder / name, content)
    hashes = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    card.model_copy(update={"files": hashes}).write(run)


def _readme(card: ModelCard) -> str:
    epsilon = "no differential privacy" if card.epsilon is None else f"epsilon {card.epsilon:.3g}"
    return (
        f"# {card.study}: a model that makes {card.target} from {' and '.join(card.sources)}\n\n"
        f"{card.statement}\n\n"
        f"* Privacy: {epsilon}.\n"
        f"* Audit: {card.verdict}; every row of it is in audit.json.\n"
        f"* Worth: {card.worth or 'nothing was measured'} Every number is in evaluation.json.\n\n"
        f"{card.use.replace('MODEL', 'this-folder')}\n"
    )
