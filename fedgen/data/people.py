"""Who is who in an index: identities that may be one person, placeholders over many, names of one site."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence

from fedgen.data.findings import DataFinding, listing, plural
from fedgen.data.identity import difference, form, groups_of_one_form, is_placeholder, spreadsheet_damage
from fedgen.data.index import IndexEntry

#: An identity that covers more examinations than this, and most of the folder's, is hardly one person's.
_MANY_STUDIES = 10
#: An examination of more patients than this is an identifier that a program has written over everybody's.
_MOST_OF_ONE_STUDY = 4


def one_person(entries: Sequence[IndexEntry]) -> tuple[tuple[str, ...], ...]:
    """Groups of identities that are probably one person's: of one form, or with one examination.

    No image is read. Groups may overlap.
    """
    return groups_of_one_form({entry.patient for entry in entries}) + _of_one_study(entries)


def identity_findings(entries: Sequence[IndexEntry]) -> list[DataFinding]:
    """What is odd about the identities of the patients; no sentence names one."""
    patients = {entry.patient for entry in entries}
    return [
        *_alike(patients),
        *_one_study(entries),
        *_common_study(entries),
        *_damaged(patients),
        *_placeholders(entries),
    ]


def _alike(patients: set[str]) -> list[DataFinding]:
    groups = groups_of_one_form(patients)
    if not groups:
        return []
    kinds = Counter(difference(group[0], other) for group in groups for other in group[1:])
    sentence = (
        f"{plural(sum(len(group) for group in groups), 'patient')} have identities that differ from another's in form "
        f"alone ({', '.join(sorted(kinds))}): one person under several? They are kept in one part of the split; if "
        "they are one, their epsilon is the sum."
    )
    return [DataFinding("identities_alike", sentence, len(groups))]


def _one_study(entries: Sequence[IndexEntry]) -> list[DataFinding]:
    groups = _of_one_study(entries)
    if not groups:
        return []
    sentence = (
        f"{plural(len(groups), 'examination')} (StudyInstanceUID) under several patients, though each is of one "
        "person: they are kept in one part of the split; if they are one, their epsilon is the sum."
    )
    return [DataFinding("study_of_several_patients", sentence, len(groups))]


def _common_study(entries: Sequence[IndexEntry]) -> list[DataFinding]:
    common = [group for group in _patients_of_studies(entries).values() if len(group) > _MOST_OF_ONE_STUDY]
    if not common:
        return []
    sentence = (
        f"{plural(len(common), 'StudyInstanceUID stands', 'StudyInstanceUIDs stand')} over as many as "
        f"{max(map(len, common))} patients: something has replaced the identifiers by one, so they tie nobody together."
    )
    return [DataFinding("study_of_several_patients", sentence, len(common))]


def _of_one_study(entries: Sequence[IndexEntry]) -> tuple[tuple[str, ...], ...]:
    groups = _patients_of_studies(entries).values()
    return tuple(sorted({tuple(sorted(group)) for group in groups if 1 < len(group) <= _MOST_OF_ONE_STUDY}))


def _patients_of_studies(entries: Sequence[IndexEntry]) -> dict[str, set[str]]:
    patients: dict[str, set[str]] = defaultdict(set)
    for entry in entries:
        if _is_uid(entry.study):
            patients[entry.study].add(entry.patient)
    return patients


def _is_uid(study: str) -> bool:
    # A session's number, as tables and BIDS have them, is not unique.
    return study.count(".") >= 4 and study.replace(".", "").isdigit()


def _damaged(patients: set[str]) -> list[DataFinding]:
    kinds = Counter(kind for kind in map(spreadsheet_damage, patients) if kind)
    if not kinds:
        return []
    count = kinds.total()
    sentence = (
        f"{plural(count, 'identity looks', 'identities look')} like {' or '.join(sorted(kinds))}, as a spreadsheet "
        "makes of a number: several people may have become one. Write that column anew from its source, as text."
    )
    return [DataFinding("identities_damaged", sentence, count)]


def _placeholders(entries: Sequence[IndexEntry]) -> list[DataFinding]:
    studies: dict[str, set[str]] = defaultdict(set)
    images: Counter[str] = Counter()
    for entry in entries:
        studies[entry.patient].add(entry.study)
        images[entry.patient] += 1
    every = len({entry.study for entry in entries})
    suspects = [
        patient
        for patient, own in studies.items()
        if (is_placeholder(patient) and images[patient] > 1) or (len(own) > max(_MANY_STUDIES, every // 2))
    ]
    if not suspects:
        return []
    count = sum(images[patient] for patient in suspects)
    sentence = (
        f"{plural(len(suspects), 'identity covers', 'identities cover')} {plural(count, 'file')} and may be a "
        "placeholder over many people, who would then count as one patient: give each a pseudonym of their own."
    )
    return [DataFinding("identities_placeholder", sentence, len(suspects))]


def merged_sites(names: Sequence[str]) -> tuple[dict[str, str], list[DataFinding]]:
    """Site names that differ in case, spaces or form alone are one site's.

    Args:
        names: of every entry, as often as it stands there.

    Returns:
        The commonest spelling for each spelling, and a finding where there are several.
    """
    counts = Counter(names)
    spellings: dict[str, list[str]] = defaultdict(list)
    for name in sorted(counts):
        spellings[form(name)].append(name)
    chosen = {
        name: max(group, key=lambda other: (counts[other], other))
        for group in spellings.values()
        for name in group
    }
    several = [group for group in spellings.values() if len(group) > 1]
    if not several:
        return chosen, []
    which = listing(sorted(chosen[group[0]] for group in several))
    sentence = (
        f"{plural(len(several), 'site is', 'sites are')} spelled in several ways that differ in form alone and count "
        f"as one each: {which}."
    )
    return chosen, [DataFinding("site_spellings", sentence, len(several))]
