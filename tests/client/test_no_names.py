"""A hospital's own folder, its log and its answers tell nobody who its patients are."""

from __future__ import annotations

import os
from typing import Any

import pytest

from fedgen.protocol.messages import Describe, Refusal, SiteDescription
from fedgen.study.show import study_hash
from fedgen_client.folder import SiteFolder
from fedgen_client.hospital import Hospital

PLANTED = (b"4711-IDENT", b"zxmuster")


@pytest.fixture(autouse=True)
def _quick(quick_plans: None) -> None:
    """Noise is calibrated once."""


@pytest.fixture
def planted(images: Any) -> Any:
    """Every patient and every file has a name that tells who it is."""
    lines = (images / "metadata.csv").read_text().splitlines()
    rows = [lines[0]]
    for number, line in enumerate(lines[1:]):
        image, patient, *rest = line.split(",")
        new = f"Qzxmuster_{number}.png"
        (images / image).rename(images / new)
        rows.append(",".join([new, f"QZ-4711-IDENT-{patient}", *rest]))
    (images / "metadata.csv").write_text("\n".join(rows) + "\n")
    return images


def telling(folder: SiteFolder) -> list[str]:
    found = []
    for path in folder.path.rglob("*"):
        content = os.fsencode(path.relative_to(folder.path)) + (path.read_bytes() if path.is_file() else b"")
        found += [path.name] if any(word in content for word in PLANTED) else []
    return found


def test_what_a_hospital_writes_and_answers(
    planted: Any, with_data: SiteFolder, stub: Any, secure_study: Any, others: Any, command: Any
) -> None:
    study = secure_study()
    stub.offer(study, **others)
    assert command("approve", "tiny", "--yes", folder=with_data).exit_code == 0
    hospital = Hospital(with_data)
    answer = hospital.answer(Describe(study_sha256=study_hash(study), round=1))
    assert isinstance(answer, SiteDescription), answer
    assert list(with_data.path.rglob("index.json"))
    assert with_data.pseudonym_key.stat().st_mode & 0o777 == 0o600
    assert telling(with_data) == []
    said = repr(answer) + repr(hospital.told())
    assert not any(word.decode() in said for word in PLANTED)


def test_what_it_says_of_a_file_that_cannot_be_used(
    planted: Any, with_data: SiteFolder, stub: Any, secure_study: Any, others: Any, command: Any
) -> None:
    study = secure_study()
    stub.offer(study, **others)
    assert command("approve", "tiny", "--yes", folder=with_data).exit_code == 0
    sorted(planted.glob("*.png"))[3].write_bytes(b"broken")
    hospital = Hospital(with_data)
    answer = hospital.answer(Describe(study_sha256=study_hash(study), round=1))
    assert isinstance(answer, Refusal)
    told = hospital.told()
    assert "f-" in repr(told.events)
    assert not any(word.decode() in repr(answer) + repr(told) for word in PLANTED)
    assert telling(with_data) == []
