"""Nothing that a run writes, sends or prints tells who a patient is: neither an identity nor the name of a file."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pydicom
import pytest

from fedgen.data.phantom.write import write_phantom
from fedgen.data.pseudonyms import Pseudonyms, naming_no_file, own_pseudonyms
from fedgen.errors import DataError, PrivacyRefusedError
from fedgen.federation.site.site import Site
from fedgen.pipeline.runner import run_stages
from fedgen.pipeline.simulation import Simulation
from fedgen.study.data import Phantom

IDENTITY, NAME, PLACE = "QZ-4711-IDENTITY", "Qzxmuster^Anna", "Qzxmuster_Anna_19480229"
PLANTED = (b"4711-IDENT", b"zxmuster", b"19480229")


@pytest.fixture
def planted(tmp_path: Path) -> Path:
    """Hospitals' DICOM of which every identity, name, folder and examination would tell who it is."""
    folder = tmp_path / "hospitals"
    write_phantom(folder, Phantom(sites=2, patients=16), 1, (32, 32))
    (folder / "labels.csv").rename(tmp_path / "labels.csv")
    text = (tmp_path / "labels.csv").read_text()
    for number, place in enumerate(sorted(path for path in folder.glob("*/*") if path.is_dir())):
        for path in place.glob("*.dcm"):
            dataset = pydicom.dcmread(path)
            dataset.PatientID, dataset.PatientName = f"{IDENTITY}-{number}", NAME
            dataset.PatientBirthDate = "19480229"
            if path.name == "T2w-1.dcm":
                # A person at the scanner types what he likes.
                dataset.SeriesDescription = "T2 Qzxmuster"
            dataset.save_as(path)
        text = text.replace(f"{place.parent.name}/{place.name}/", f"{place.parent.name}/{PLACE}_{number}/")
        place.rename(place.with_name(f"{PLACE}_{number}"))
    (folder / "labels.csv").write_text(text)
    return folder


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """Everything that crosses between the coordinator and the sites, as bytes."""
    said: list[bytes] = []
    answer = Site.answer

    def noting(self: Site, task: Any) -> Any:
        found = answer(self, task)
        said.extend((repr(task).encode(), repr(found).encode()))
        return found

    monkeypatch.setattr(Site, "answer", noting)
    return said


def written(*folders: Path) -> Iterator[tuple[Path, bytes]]:
    for folder in folders:
        for path in folder.rglob("*"):
            yield path, os.fsencode(path.relative_to(folder))
            if path.is_file():
                yield path, path.read_bytes()


def telling(*folders: Path) -> list[str]:
    return [path.name for path, content in written(*folders) if any(word in content for word in PLANTED)]


def study(tiny_study: Callable[..., Any]) -> Any:
    return tiny_study(data={"modality": "T1w", "columns": {"mask": "mask"}, "image_size": (32, 32)})


def test_the_search_finds_what_is_planted(planted: Path) -> None:
    assert len(telling(planted)) > 32


def test_a_whole_run_names_nobody(
    planted: Path, tmp_path: Path, tiny_study: Any, direct: None, sent: list[bytes], caplog: Any, capsys: Any
) -> None:
    here = Simulation.create(study(tiny_study), planted, tmp_path / "runs")
    run_stages(here)
    assert (here.work.run.data / "index.json").is_file()
    assert telling(tmp_path / "runs", Path(os.environ["FEDGEN_CACHE"])) == []
    assert sent
    assert not any(word in message for message in sent for word in PLANTED)
    output = (caplog.text + "".join(capsys.readouterr())).encode()
    assert not any(word in output for word in PLANTED)


def test_an_error_is_told_to_the_person_and_not_to_the_run(
    planted: Path, tmp_path: Path, tiny_study: Any, direct: None
) -> None:
    broken = sorted(planted.rglob("T1w-*.dcm"))[5]
    broken.write_bytes(broken.read_bytes()[:-500])
    here = Simulation.create(study(tiny_study), planted, tmp_path / "runs")
    with pytest.raises(DataError) as caught:
        run_stages(here)
    assert broken.relative_to(planted).as_posix() in str(caught.value)
    assert own_pseudonyms().file(broken.relative_to(planted).as_posix()) in caught.value.for_log
    assert telling(tmp_path / "runs") == []
    assert "f-" in here.work.run.events.read_text()


def test_pseudonyms_are_keyed_and_their_key_is_the_owners(tmp_path: Path) -> None:
    path = tmp_path / "state" / "pseudonym.key"
    ours = Pseudonyms.kept_in(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert Pseudonyms.kept_in(path).patient("a") == ours.patient("a")
    others = Pseudonyms(b"x" * 32)
    made = [make("a") for of in (ours, others, ours.of_run("r")) for make in (of.patient, of.study, of.file)]
    assert len({name.partition("-")[2] for name in made}) == len(made)
    path.chmod(0o644)
    with pytest.raises(PrivacyRefusedError, match="can be read by others"):
        Pseudonyms.kept_in(path)
    path.chmod(0o600)
    path.write_text("zz")
    with pytest.raises(DataError, match="is damaged"):
        Pseudonyms.kept_in(path)


def test_a_lost_key_is_not_taken_for_other_data(
    planted: Path, tmp_path: Path, tiny_study: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fedgen.data.prepare import prepare_sites

    asked = study(tiny_study)
    prepare_sites(asked, planted, tmp_path / "data", tmp_path / "cache")
    monkeypatch.setenv("FEDGEN_STATE", str(tmp_path / "elsewhere"))
    with pytest.raises(DataError, match=r"another key of pseudonyms .*restore the site's pseudonym.key"):
        prepare_sites(asked, planted, tmp_path / "data", tmp_path / "cache")


def test_each_of_several_folders_hides_its_own_names(tmp_path: Path) -> None:
    ours = Pseudonyms(b"k" * 32)
    folders = [tmp_path / "one", tmp_path / "two"]
    for folder, name in zip(folders, ("anna.png", "bob.png"), strict=True):
        folder.mkdir()
        (folder / name).touch()
    with (
        pytest.raises(DataError) as caught,
        naming_no_file(folders[0], ours),
        naming_no_file(folders[1], ours),
    ):
        raise DataError("one/anna.png equals two/bob.png.")
    assert str(caught.value) == "one/anna.png equals two/bob.png."
    assert caught.value.for_log == f"one/{ours.file('anna.png')} equals two/{ours.file('bob.png')}."


def test_a_sentence_loses_the_longest_names_first() -> None:
    ours = Pseudonyms(b"k" * 32)
    paths = ["anna/x.dcm", "anna/x.dcm.json", "bob.png"]
    said = ours.text("anna/x.dcm.json and bob.png of anna differ", paths)
    assert said == f"{ours.file('anna/x.dcm.json')} and {ours.file('bob.png')} of {ours.file('anna')} differ"
