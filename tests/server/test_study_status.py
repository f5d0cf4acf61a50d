"""How far a study is, as its sites and its coordinator are told it."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from fedgen.protocol.manifest import manifest_of, sign_manifest
from fedgen.run.directory import RunDirectory
from fedgen.run.events import RoundDone
from fedgen.run.summary import RunSummary, update_summary
from fedgen.study.show import study_hash
from fedgen_privacy.secagg import Identity
from fedgen_server.overview import overview
from fedgen_server.study_status import federation_status, study_status


@pytest.fixture
def published(federation, tiny_study):
    """`published(central_images)`: a study of three rounds on offer, and its run."""

    def build(central_images):
        privacy = {"epsilon": 20.0, "delta": 1e-3, "multiplicity": 1, "central_images": central_images}
        study = tiny_study(privacy=privacy, training={"rounds": 3, "local_steps": 2, "batch_patients": 3})
        keys = {name: Identity.generate(name).public_key for name in ("east", "north")}
        signed = sign_manifest(manifest_of("Lung net", study, keys, datetime.now(UTC)), federation.identity)
        run = RunDirectory.create(federation.paths.runs, study.study.name)
        update_summary(run, RunSummary(status="running"))
        federation.studies.publish(signed, run.path)
        return study, run

    return build


def finish_round(run: RunDirectory, round: int) -> None:
    done = RoundDone(round=round, losses={}, epsilon=1.0 + round, sites=("east", "north"), seconds=2.0)
    run.event(done)


@pytest.mark.parametrize(("central_images", "rounds"), [(None, 3), ({"images": 2}, 4)])
def test_the_warm_start_is_one_of_the_rounds(federation, published, central_images, rounds) -> None:
    """It once ended with "4 of 3 rounds" and -2 seconds to go."""
    study, run = published(central_images)
    for round in range(rounds + 1):
        if round:
            finish_round(run, round)
        (known,) = federation_status(federation, "north").studies
        assert (known.round, known.rounds) == (round, rounds)
        (row,) = overview(federation)["runs"]
        assert (row["round"], row["rounds"]) == (round, rounds)
        assert row["eta_seconds"] == (2.0 * (rounds - round) if round else None)
    assert study.total_rounds == rounds


def test_a_damaged_line_hides_neither_the_rounds_nor_other_runs(federation, published) -> None:
    study, run = published(None)
    finish_round(run, 1)
    with run.events.open("ab") as handle:
        handle.write(b"damaged\n")
    finish_round(run, 2)
    entry = federation.studies.find(study_hash(study))
    assert study_status(entry).round == 2
    assert json.dumps(overview(federation))


def test_a_site_is_told_of_its_own_studies_alone(federation, published) -> None:
    published(None)
    assert not federation_status(federation, "south").studies
