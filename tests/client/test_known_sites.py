"""A coordinator invents a site, or stands in the place of one: refused before anything is computed, charged or sent."""

from __future__ import annotations

from typing import Any

import pytest

from fedgen.errors import ExitCode, PrivacyRefusedError
from fedgen.protocol.messages import Describe, Refusal, SiteDescription
from fedgen.protocol.spoken_key import spoken_key
from fedgen.study.show import study_hash
from fedgen_client.folder import SiteFolder
from fedgen_client.hospital import Hospital
from fedgen_privacy.secagg import Identity


@pytest.fixture(autouse=True)
def _quick(quick_plans: None) -> None:
    """Noise is calibrated once."""


@pytest.fixture
def compared(with_data: SiteFolder, others: dict[str, bytes], edit_site_file: Any) -> SiteFolder:
    """A site whose people have compared the fingerprints of the two others by telephone."""
    known = ", ".join(f'{site}: "{spoken_key(key)}"' for site, key in others.items())
    edit_site_file(with_data, ("known_sites: null ", f"known_sites: {{{known}}} "))
    return with_data


ATTACKS = {
    "invented": lambda others: {**others, "phantom": Identity.generate("phantom").public_key},
    "swapped": lambda others: {**others, "south": Identity.generate("south").public_key},
    "exchanged": lambda others: {"east": others["south"], "south": others["east"]},
}


def untouched(folder: SiteFolder) -> bool:
    """Nothing was read, spent, kept free or made for a session."""
    studies = [
        path for path in folder.studies.glob("*/*") if path.name not in ("manifest.json", "approval.json")
    ]
    return not studies and not list(folder.ledgers.glob("*")) and not folder.cache.exists()


def test_known_company_takes_part(
    compared: SiteFolder, stub: Any, secure_study: Any, others: Any, command: Any
) -> None:
    study = secure_study()
    stub.offer(study, **others)
    assert command("approve", "tiny", "--yes", folder=compared).exit_code == 0
    assert isinstance(
        Hospital(compared).answer(Describe(study_sha256=study_hash(study), round=1)), SiteDescription
    )


@pytest.mark.parametrize("attack", sorted(ATTACKS))
@pytest.mark.parametrize("always", [False, True])
def test_a_roster_of_the_coordinator_s_own_making_is_refused(
    compared: SiteFolder,
    stub: Any,
    secure_study: Any,
    others: Any,
    command: Any,
    edit_site_file: Any,
    attack: str,
    always: bool,
) -> None:
    if always:
        edit_site_file(compared, ("approve: ask ", "approve: always "))
    study = secure_study()
    stub.offer(study, **ATTACKS[attack](others))
    if not always:
        refused = command("approve", "tiny", "--yes", folder=compared)
        assert isinstance(refused.exception, PrivacyRefusedError)
        assert "policy.known_sites" in str(refused.exception)
    else:
        assert command("studies", folder=compared).exit_code == 0
    answer = Hospital(compared).answer(Describe(study_sha256=study_hash(study), round=1))
    assert isinstance(answer, Refusal)
    assert answer.code is ExitCode.REFUSED
    assert untouched(compared)


def test_a_list_that_is_made_stricter_ends_a_study_that_is_running(
    with_data: SiteFolder, stub: Any, secure_study: Any, others: Any, command: Any, edit_site_file: Any
) -> None:
    study = secure_study()
    stub.offer(study, **others)
    assert command("approve", "tiny", "--yes", folder=with_data).exit_code == 0
    hospital, ask = Hospital(with_data), Describe(study_sha256=study_hash(study), round=1)
    assert isinstance(hospital.answer(ask), SiteDescription)
    edit_site_file(
        with_data, ("known_sites: null ", f'known_sites: {{east: "{spoken_key(others["east"])}"}} ')
    )
    answer = hospital.answer(ask)
    assert isinstance(answer, Refusal)
    assert "south, whom policy.known_sites does not list" in answer.reason


def test_one_s_own_fingerprint_is_read_over_the_telephone(compared: SiteFolder, command: Any) -> None:
    own = spoken_key(compared.identity("north").public_key)
    shown = command("fingerprint", folder=compared)
    assert shown.exit_code == 0, shown.output
    assert f"north: {own}" in shown.output
    assert len(own.split()) == 8


@pytest.mark.parametrize(("attack", "word"), [("invented", "NOT KNOWN"), ("swapped", "ANOTHER KEY")])
def test_a_roster_is_compared_with_the_list(
    compared: SiteFolder, stub: Any, secure_study: Any, others: Any, command: Any, attack: str, word: str
) -> None:
    stub.offer(secure_study(study={"name": "good"}), **others)
    stub.offer(secure_study(study={"name": "bad"}), **ATTACKS[attack](others))
    command("studies", folder=compared)
    good = command("fingerprint", "good", folder=compared)
    assert good.exit_code == 0, good.output
    assert good.output.count("as compared") == 2
    bad = command("fingerprint", "bad", folder=compared)
    assert bad.exit_code == 3
    assert word in bad.output
