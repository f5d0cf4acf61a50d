"""A patient revokes consent at a hospital: out of the next task, known to nobody else, and nothing is given back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fedgen.errors import DataError, PrivacyRefusedError, StudyError
from fedgen.protocol.messages import Describe, Refusal, SiteDescription
from fedgen.study.show import study_hash
from fedgen_client.folder import SiteFolder
from fedgen_client.hospital import Hospital

WHO = "QZ-4711-IDENT"


@pytest.fixture(autouse=True)
def _quick(quick_plans: None) -> None:
    """Noise is calibrated once."""


@pytest.fixture
def approved(
    images: Path, with_data: SiteFolder, stub: Any, secure_study: Any, others: Any, command: Any
) -> Any:
    """A study that this site has approved; one of its 36 patients has a name that tells who it is."""
    table = images / "metadata.csv"
    table.write_text(table.read_text().replace(",p7,", f",{WHO},"))
    study = secure_study()
    stub.offer(study, **others)
    assert command("approve", "tiny", "--yes", folder=with_data).exit_code == 0
    return study


def described(hospital: Hospital, study: Any) -> SiteDescription:
    answer = hospital.answer(Describe(study_sha256=study_hash(study), round=1))
    assert isinstance(answer, SiteDescription), answer
    return answer


def images_of(hospital: Hospital, study: Any) -> int:
    cohort = hospital._ready[study_hash(study)].site._rounds._here.cohort
    return cohort.n_records


def patient_of(folder: SiteFolder, part: str, images: Path) -> str:
    """A patient in this part of the study's split."""
    import json

    from fedgen.data.pseudonyms import Pseudonyms

    (split,) = folder.path.rglob("split.json")
    value = json.loads(split.read_text())
    ours = Pseudonyms.kept_in(folder.pseudonym_key)
    names = [line.split(",")[1] for line in (images / "metadata.csv").read_text().splitlines()[1:]]
    return next(
        name
        for name in names
        if value["patients"][ours.of_run(value["salt"]).patient(ours.patient(name))] == part
    )


def test_the_next_task_finds_them_gone_and_states_what_it_stated(
    approved: Any, with_data: SiteFolder, images: Path, command: Any
) -> None:
    hospital = Hospital(with_data)
    before = described(hospital, approved)
    n = images_of(hospital, approved)
    who = patient_of(with_data, "train", images)
    outcome = command("withdraw", who, folder=with_data)
    assert outcome.exit_code == 0, outcome.output
    assert "1 patient put on the list" in outcome.output
    after = described(hospital, approved)
    assert after.model_copy(update={"keys": None}) == before.model_copy(update={"keys": None})
    assert images_of(hospital, approved) == n - 1
    # Started again, with their files gone: the same.
    table = images / "metadata.csv"
    table.write_text(
        "\n".join(line for line in table.read_text().splitlines() if f",{who}," not in line) + "\n"
    )
    again = Hospital(with_data)
    assert described(again, approved).patients == before.patients
    assert images_of(again, approved) == n - 1


def test_nobody_else_learns_who(approved: Any, with_data: SiteFolder, command: Any, tmp_path: Path) -> None:
    listed = tmp_path / "who.txt"
    listed.write_text(f"{WHO}\n\n")
    outcome = command("withdraw", "--list", str(listed), folder=with_data)
    assert outcome.exit_code == 0, outcome.output
    assert WHO not in outcome.output
    hospital = Hospital(with_data)
    answer = described(hospital, approved)
    assert WHO not in repr(answer) + repr(hospital.told())
    for path in with_data.path.rglob("*"):
        assert WHO not in path.name
        assert not path.is_file() or WHO.encode() not in path.read_bytes(), path
    assert '"event": "withdrawn", "patients": 1' in with_data.log.read_text()


def test_decoded_images_go_at_once(approved: Any, with_data: SiteFolder, command: Any) -> None:
    described(Hospital(with_data), approved)
    sets = [path for path in with_data.cache.rglob("*") if path.is_file() and path.stat().st_size > 1000]
    assert sets
    assert command("withdraw", WHO, folder=with_data).exit_code == 0
    assert not any(path.exists() for path in sets)


def test_a_name_of_nobody_is_told_and_kept(approved: Any, with_data: SiteFolder, command: Any) -> None:
    outcome = command("withdraw", "p3", "nobody", folder=with_data)
    assert isinstance(outcome.exception, DataError)
    assert "1 of the identities are of nobody in the data of tiny" in str(outcome.exception)
    assert "2 patients put on the list" in outcome.output
    assert "0 patients put on the list" in command("withdraw", "p3", folder=with_data).output


def test_nobody_named(with_data: SiteFolder, command: Any) -> None:
    assert isinstance(command("withdraw", folder=with_data).exception, StudyError)
    assert isinstance(command("withdraw", "--list", "/nowhere", folder=with_data).exception, StudyError)
    outcome = command("withdraw", "p3", folder=with_data)
    assert outcome.exit_code == 0 and "nobody could check the spelling" in outcome.output


def test_a_cohort_that_became_too_small_takes_no_part(
    approved: Any, with_data: SiteFolder, images: Path, command: Any
) -> None:
    hospital = Hospital(with_data)
    described(hospital, approved)
    gone = [patient_of_number(images, number) for number in range(0, 36, 2)]
    assert command("withdraw", *gone, folder=with_data).exit_code == 0
    answer = hospital.answer(Describe(study_sha256=study_hash(approved), round=1))
    assert isinstance(answer, Refusal)
    assert "policy.minimum_cohort asks for 20" in answer.reason


def patient_of_number(images: Path, number: int) -> str:
    return (images / "metadata.csv").read_text().splitlines()[number + 1].split(",")[1]


def test_a_damaged_list_ends_every_task(approved: Any, with_data: SiteFolder, command: Any) -> None:
    hospital = Hospital(with_data)
    described(hospital, approved)
    assert command("withdraw", WHO, folder=with_data).exit_code == 0
    with_data.withdrawn.write_text("{}")
    answer = hospital.answer(Describe(study_sha256=study_hash(approved), round=1))
    assert isinstance(answer, Refusal)
    assert isinstance(command("withdraw", "p3", folder=with_data).exception, PrivacyRefusedError)
