"""`fedgen-client withdraw`."""

from __future__ import annotations

from fedgen.cli.withdraw import ListFile, Patients, identities
from fedgen.errors import DataError
from fedgen_client.cli.options import DEFAULT_FOLDER, Folder, say, site


def withdraw(patients: Patients = None, listed: ListFile = None, folder: Folder = DEFAULT_FOLDER) -> None:
    """Take patients who revoke consent out of every study from its next task on; the list never leaves this site."""
    asked = identities(patients, listed)
    from fedgen_client.withdrawing import withdraw as put_on_list  # loads torch

    found = put_on_list(site(folder), asked)
    say(
        f"{found.new} patient{'s' * (found.new != 1)} put on the list. No step, audit or evaluation reads "
        "them from now on."
    )
    say(
        "What was learned of them before stays in the models that were made, and in the ledger, which never forgets."
    )
    say("Remove their files too, if they are to go: a study that is running goes on without them.")
    if not found.studies:
        say(
            "No study is approved here, so nobody could check the spelling: it must be that of the data.",
            "yellow",
        )
    elif found.nobodys:
        raise DataError(
            f"{found.nobodys} of the identities are of nobody in the data of {', '.join(found.studies)}: they are on "
            "the list, but see that they are spelled as in the data."
        )
