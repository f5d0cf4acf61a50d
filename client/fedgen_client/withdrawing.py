"""A patient of this hospital revokes consent: on the list here, out of every study from its next task on.

Heavy: it indexes the cohorts of approved studies to see whether an identity is anybody's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fedgen.data.build import build_index
from fedgen.data.cache.store import CacheStore
from fedgen.data.identity import form
from fedgen.data.pseudonyms import Pseudonyms, naming_no_file
from fedgen.data.withdrawals import Withdrawals
from fedgen_client.folder import SiteFolder
from fedgen_client.studies import Studies


@dataclass(frozen=True)
class Withdrawing:
    """What came of it.

    Attributes:
        new: identities that were not on the list.
        nobodys: of those that were named, how many no approved study's cohort has.
        studies: names of the studies that were looked through.
    """

    new: int
    nobodys: int
    studies: tuple[str, ...]


def withdraw(folder: SiteFolder, identities: Sequence[str]) -> Withdrawing:
    """Put patients on the site's list and remove the decoded images, whose they may be.

    Args:
        folder: of the site.
        identities: as they stand in the data.

    Raises:
        PrivacyRefusedError: the list, or the key of the pseudonyms, is damaged.
        DataError: the list cannot be written, or a cohort cannot be indexed.
    """
    pseudonyms = Pseudonyms.kept_in(folder.pseudonym_key)
    # On the list before anything else is looked at.
    new = Withdrawals(folder.withdrawn, pseudonyms).add(identities)
    folder.journal.write("withdrawn", patients=new)
    if folder.cache.exists():
        CacheStore(folder.cache).clear()
    known: set[str] = set()
    cohorts, names = folder.load_site_file().cohorts, []
    for offered in Studies(folder).all():
        decision = offered.decision
        if decision is None or decision.cohort not in cohorts:
            continue
        place = cohorts[decision.cohort].folder
        with naming_no_file(place, pseudonyms):
            index = build_index(place, offered.study.data, site=folder.membership().site)
        known |= {form(patient) for patient in index.patients}
        names.append(offered.name)
    return Withdrawing(new, sum(form(identity) not in known for identity in identities), tuple(names))
