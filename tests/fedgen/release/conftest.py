"""A tiny simulation, run once and released: what the tests change, they change in a copy."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from fedgen.pipeline.sign_release import Acceptance, SignedRelease, sign_release
from fedgen.pipeline.simulation import Simulation
from fedgen.run.evidence_files import AuditFile
from fedgen.run.row import Verdict
from fedgen_privacy.secagg import Identity

ACCEPTED = Acceptance(by="A. Officer", why="Phantoms; nobody's patients.")
SIGNER = Identity.from_private_bytes("whoever ran the simulation", bytes(range(32)))


@pytest.fixture
def run(small_run: Simulation, tmp_path: Path) -> Simulation:
    """A copy of it."""
    copy = tmp_path / small_run.work.run.path.name
    shutil.copytree(small_run.work.run.path, copy)
    return Simulation.open(copy)


@pytest.fixture
def with_verdict(run: Simulation) -> Callable[[Verdict], Simulation]:
    """`with_verdict(Verdict.FAIL)`: the run whose audit says so."""

    def build(verdict: Verdict) -> Simulation:
        audit = AuditFile.read(run.work.run)
        reasons = () if verdict is Verdict.PASS else ("Copies: planted.",)
        audit.model_copy(update={"verdict": verdict, "reasons": reasons}).write(run.work.run)
        return run

    return build


@pytest.fixture(scope="session")
def released(small_run: Simulation, tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """The release of a copy of the run, with the verdict that it came to: `run`, `made`, `folder`, `archive`."""
    copy = tmp_path_factory.mktemp("released") / "run"
    shutil.copytree(small_run.work.run.path, copy)
    here = Simulation.open(copy)
    made = release(here)
    return SimpleNamespace(run=here, made=made, folder=made.folder, archive=made.archive)


def release(here: Simulation) -> SignedRelease:
    """Accepted where it has to be."""
    verdict = AuditFile.read(here.work.run).verdict
    accepted = ACCEPTED if verdict is Verdict.REVIEW else None
    return sign_release(here.work, SIGNER, SIGNER.site, here.kept_keys, accepted)


@pytest.fixture(scope="session")
def signer() -> Identity:
    return SIGNER


@pytest.fixture(scope="session")
def accepted() -> Acceptance:
    return ACCEPTED


@pytest.fixture(scope="session")
def release_of() -> Callable[[Simulation], SignedRelease]:
    """`release_of(run)`: its release, accepted where it has to be."""
    return release
