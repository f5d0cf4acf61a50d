"""The secret of a site's canaries on its disk: coins are flipped once a study, before its first round.

A site that is started again must find the coins that it trained with: flipped anew they would say nothing about the
model, and the audit would pass for that reason alone. So the secret from which all follows is written down before the
site says that it takes part, for its owner alone; what is lost or changed after a round was trained is refused, never
made again.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from pydantic import TypeAdapter

from fedgen.data.site_data import SiteData
from fedgen.errors import DataError, PrivacyRefusedError
from fedgen.run.atomic import unwritable
from fedgen.study.study import Study
from fedgen.training.canary_images import Canaries, made_canaries
from fedgen_privacy.secret_file import make_secret, read_secret

NAME = "canaries.json"
_FORM = TypeAdapter(dict[str, str])


def check_share(study: Study, site: str, patients: int) -> None:
    """Refuse, before anything is spent, more canaries than a cohort bears.

    Args:
        study: its section `audit`.
        site: its name.
        patients: N, its training patients.

    Raises:
        DataError: they are more than the stated share.
    """
    asked = study.audit
    most = int(asked.canary_share * patients)
    if asked.canaries > most:
        raise DataError(
            f"Site {site} has {patients} training patients, and audit.canaries {asked.canaries} are more than "
            f"audit.canary_share {asked.canary_share:g} of them, since canaries spoil what is learned: set "
            f"audit.canaries to {most} or less, or raise audit.canary_share for a run that is made for the audit alone."
        )


def kept_canaries(
    study: Study, study_sha256: str, data: SiteData, folder: Path, *, begun: bool
) -> Canaries | None:
    """The site's canaries of a study: made the first time, the same ones ever after; None where it asks for none.

    Args:
        study: as the site approved it.
        study_sha256: of it.
        data: of the site, whose form they have; nothing else of it is looked at.
        folder: what the site keeps of the study.
        begun: whether a round of the study may have been trained, so that coins must be there.

    Raises:
        DataError: as `check_share`, or the file cannot be written.
        PrivacyRefusedError: the coins are of another study, damaged, not the ones that were trained with, or gone.
    """
    if not study.audit.canaries:
        return None
    path = folder / NAME
    if not path.exists():
        check_share(study, data.site, data.enrolled_patients)
        if begun:
            raise PrivacyRefusedError(
                f"{path} is gone, and the coins of a study's canaries are flipped once: restore it, since no others "
                "say anything of what was trained."
            )
        _flip(path, study, study_sha256, data)
    return _read(path, study, study_sha256, data)


def _flip(path: Path, study: Study, study_sha256: str, data: SiteData) -> None:
    secret = os.urandom(32)
    canaries = _made(study, data, secret)
    entry = {"study": study_sha256, "site": data.site, "secret": secret.hex(), "sha256": canaries.sha256}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        make_secret(path, json.dumps(entry).encode())
    except FileExistsError:
        # Another process of this site was first, and its coins are the site's.
        return
    except OSError as error:
        raise unwritable(path, error) from error


def _read(path: Path, study: Study, study_sha256: str, data: SiteData) -> Canaries:
    try:
        entry = _FORM.validate_json(read_secret(path))
        found = _made(study, data, bytes.fromhex(entry["secret"]))
        mine = (entry["study"], entry["site"]) == (study_sha256, data.site)
        same = entry["sha256"] == found.sha256
    except (OSError, ValueError, KeyError) as error:
        raise PrivacyRefusedError(
            f"{path} is damaged ({type(error).__name__}), and the coins of canaries are not flipped twice: restore the "
            "file."
        ) from None
    if not mine:
        raise PrivacyRefusedError(f"{path} is of another study or site: restore this study's own file.")
    if not same:
        raise PrivacyRefusedError(
            f"{path} does not give the canaries that it was written for, so that another version of fedgen made them: "
            "finish the study with the version that began it."
        )
    return found


def _made(study: Study, data: SiteData, secret: bytes) -> Canaries:
    return made_canaries(data, study.audit.canaries, len(study.data.mask_classes), secret)
