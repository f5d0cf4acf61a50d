"""One person is one patient, and nobody is not: words, spellings, examinations and sites."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.uid import generate_uid

from fedgen.data.build import build_index
from fedgen.data.findings import DataFinding
from fedgen.data.identity import composed, difference, form, is_missing, is_placeholder, spreadsheet_damage
from fedgen.data.people import merged_sites, one_person
from fedgen.data.prepare import prepare_sites
from fedgen.errors import DataError
from fedgen.study.data import DataSection
from fedgen.study.study import Study


def counts(findings: tuple[DataFinding, ...]) -> dict[str, int]:
    return {finding.kind: finding.count for finding in findings}


@pytest.mark.parametrize(
    "word",
    ["n/a", "NA", "N.A.", "nan", "NaN", "None", "NULL", "unknown", "-", "--", "?", "<NA>", "#N/A", "", " "],
)
def test_a_word_that_means_missing_is_nobody(people: Callable, one_class: DataSection, word: str) -> None:
    folder = people([word, word, "P1"])
    with pytest.raises(
        DataError, match=r"im/0.png has .*patient.* \(row 2 of metadata.csv\), and so it is with 1 other"
    ):
        build_index(folder, one_class)


@pytest.mark.parametrize("name", ["Nancy", "Nan", "N1", "A-", "unknown soldier", "Noone"])
def test_a_name_is_not_taken_for_a_missing_word(name: str) -> None:
    assert is_missing(name) == (name == "Nan")


def test_persons_missing_in_bids_are_each_their_own(bids: Callable, one_class: DataSection) -> None:
    rows = [
        "participant_id\tsite\tperson_id",
        "sub-1\ts\tn/a",
        "sub-2\ts\tn/a",
        "sub-3\ts\tann",
        "sub-4\ts\tann",
    ]
    index = build_index(bids([f"sub-{n}" for n in range(1, 5)], rows), one_class)
    assert index.patients == ("ann", "sub-1", "sub-2")
    assert counts(index.findings) == {"unknown_persons": 2}


@pytest.mark.parametrize(
    ("one", "other", "how"),
    [
        ("007", "7", "leading zeros"),
        ("7", "7.0", "a decimal point"),
        ("Ab1", "aB1", "upper and lower case"),
        ("P 1", "P1", "spaces"),
        ("120000", "1.2E+05", "scientific notation"),
        ("P-007", "P-7", "leading zeros"),
        ("Ümlaut", "U\u0308mlaut", "the composition of letters"),
        ("P1", "\ufeffP1", "invisible characters"),
        ("P1", "P1\x00", "invisible characters"),
        ("P 1", "P\xa01", "spaces"),
    ],
)
def test_identities_of_one_form(one: str, other: str, how: str) -> None:
    assert form(one) == form(other)
    assert difference(one, other) == how


@pytest.mark.parametrize(
    ("one", "other"),
    [("1.05", "1.5"), ("10", "1"), ("P1", "P11"), ("1-23", "12-3"), ("1E5", "100000"), ("a", "b")],
)
def test_identities_that_are_two(one: str, other: str) -> None:
    assert form(one) != form(other)


@given(st.text(max_size=20))
def test_form_is_of_form_alone(text: str) -> None:
    assert form(composed(text)) == form(text) == form(unicodedata.normalize("NFD", text))
    assert form(f" {text} ") == form(text)


def test_one_letter_is_one_letter_however_composed(people: Callable, one_class: DataSection) -> None:
    folder = people(["Ümlaut", "U\u0308mlaut", "P2"])
    assert build_index(folder, one_class).patients == ("P2", "Ümlaut")


@pytest.mark.parametrize("seed", range(4))
def test_spellings_of_one_identity_stay_in_one_part(people: Callable, tmp_path: Path, seed: int) -> None:
    folder = people(["7", "7.0", "007", *(f"x{n}" for n in range(10, 22))])
    study = Study.model_validate(
        {
            "study": {"name": "t", "seed": seed},
            "aggregation": {"secure": False},
            "data": {"image_size": (16, 16), "labels": ("any",)},
        }
    )
    prepared = prepare_sites(study, folder, tmp_path / "data", tmp_path / "cache")
    parts = prepared.sites[0].parts[[0, 1, 2]]
    assert len(set(parts.tolist())) == 1
    assert counts(tuple(prepared.findings))["identities_alike"] == 1
    assert not any("007" in finding.sentence for finding in prepared.findings)


def test_one_examination_is_of_one_person(dicom: Callable, tmp_path: Path, one_class: DataSection) -> None:
    uid = generate_uid()
    for n, patient in enumerate(("ann", "bob", "carl")):
        dicom(
            tmp_path / "d" / f"{n}.dcm", n, PatientID=patient, **({"StudyInstanceUID": uid} if n < 2 else {})
        )
    index = build_index(tmp_path / "d", one_class)
    assert counts(index.findings) == {"study_of_several_patients": 1}
    assert one_person(index.entries) == (("ann", "bob"),)


def test_one_identifier_over_everybody_ties_nobody(
    dicom: Callable, tmp_path: Path, one_class: DataSection
) -> None:
    uid = generate_uid()
    for n in range(6):
        dicom(tmp_path / "d" / f"{n}.dcm", n, StudyInstanceUID=uid)
    index = build_index(tmp_path / "d", one_class)
    assert one_person(index.entries) == ()
    (finding,) = index.findings
    assert "6 patients" in finding.sentence


def test_one_instance_under_two_patients_ties_them(
    dicom: Callable, tmp_path: Path, one_class: DataSection
) -> None:
    uid, study = generate_uid(), generate_uid()
    for n, patient in enumerate(("ann", "bob")):
        dicom(tmp_path / "d" / f"{n}.dcm", 0, PatientID=patient, SOPInstanceUID=uid, StudyInstanceUID=study)
    index = build_index(tmp_path / "d", one_class)
    assert (index.n_images, one_person(index.entries)) == (2, (("ann", "bob"),))


@pytest.mark.parametrize(
    ("identity", "what"),
    [
        ("1.20E+05", "scientific notation"),
        ("1.2e+05", "scientific notation"),
        ("3-Mar", "a date"),
        ("01. Mrz", "a date"),
        ("Mar-01", "a date"),
        ("2020-03-01 00:00:00", "a date"),
        ("1E5", ""),
        ("P-2020-03-01", ""),
        ("Marie", ""),
    ],
)
def test_what_spreadsheets_do_to_identities(identity: str, what: str) -> None:
    assert spreadsheet_damage(identity) == what


def test_damaged_identities_are_told(people: Callable, one_class: DataSection) -> None:
    index = build_index(people(["1.20E+05", "1.20E+05", "119999"]), one_class)
    (finding,) = index.findings
    assert (finding.kind, finding.count) == ("identities_damaged", 1)
    assert "as text" in finding.sentence


def test_a_placeholder_over_many_is_told(dicom: Callable, tmp_path: Path, one_class: DataSection) -> None:
    for n in range(3):
        dicom(tmp_path / "d" / f"{n}.dcm", n, PatientID="ANONYMOUS")
    dicom(tmp_path / "d" / "x.dcm", 9)
    (finding,) = build_index(tmp_path / "d", one_class).findings
    assert (finding.kind, finding.count) == ("identities_placeholder", 1)
    assert "3 files" in finding.sentence
    assert [is_placeholder(word) for word in ("Anonymous", "0000", "XXX", "P0", "x1")] == [
        True,
        True,
        True,
        False,
        False,
    ]


def test_a_dicom_file_of_nobody_is_listed_among_the_others(
    dicom: Callable, tmp_path: Path, one_class: DataSection
) -> None:
    for n in range(3):
        dicom(tmp_path / "d" / f"{n}.dcm", n)
    dicom(tmp_path / "d" / "t.dcm", 7, PatientID="")
    dicom(tmp_path / "d" / "u.dcm", 8, PatientID="None")
    with pytest.raises(DataError, match=r"t.dcm has no PatientID.*and so it is with 1 other file"):
        build_index(tmp_path / "d", one_class)


@pytest.mark.parametrize("spelled", ["U\u0308mlaut1", "Ümlaut1"])
def test_labels_match_in_either_composition(dicom: Callable, tmp_path: Path, spelled: str) -> None:
    dicom(tmp_path / "d" / "a.dcm", 0, PatientID="Ümlaut1")
    dicom(tmp_path / "d" / "b.dcm", 1, PatientID="P2")
    (tmp_path / "d" / "labels.csv").write_text(f"PatientID,label\n{spelled},yes\nP2,no\n")
    index = build_index(tmp_path / "d", DataSection(labels=("no", "yes")))
    assert [entry.label for entry in index.entries] == ["no", "yes"]
    assert index.findings == ()


@pytest.mark.parametrize("other_labels", ["refuse", "exclude"])
@pytest.mark.parametrize(("stored", "what"), [("007", "leading zeros"), ("7.0", "a decimal point")])
def test_labels_that_a_spreadsheet_respelled_are_refused(
    dicom: Callable, tmp_path: Path, stored: str, what: str, other_labels: str
) -> None:
    dicom(tmp_path / "d" / "a.dcm", 0, PatientID=stored)
    dicom(tmp_path / "d" / "b.dcm", 1, PatientID="P2")
    (tmp_path / "d" / "labels.csv").write_text("PatientID,label\n7,yes\nP2,no\n")
    with pytest.raises(
        DataError, match=rf"1 file has a PatientID that labels.csv spells otherwise \({what}\)"
    ):
        build_index(tmp_path / "d", DataSection(labels=("no", "yes"), other_labels=other_labels))


def test_one_site_in_several_spellings_is_one(
    dicom: Callable, tmp_path: Path, one_class: DataSection
) -> None:
    for n, name in enumerate(
        ("St. Olav Hospital", "ST. OLAV HOSPITAL", "St. Olav  Hospital ", "St. Olav Hospital")
    ):
        dicom(tmp_path / "d" / f"{n}.dcm", n, InstitutionName=name)
    index = build_index(tmp_path / "d", one_class)
    assert index.sites == ("St._Olav_Hospital",)
    assert counts(index.findings) == {"site_spellings": 1}
    assert merged_sites(["a", "b"]) == ({"a": "a", "b": "b"}, [])
