"""A site's identity on disk: made there the first time, readable by its owner alone."""

from __future__ import annotations

import contextlib
from pathlib import Path

from fedgen_privacy.errors import DataError
from fedgen_privacy.secagg.roster import Identity
from fedgen_privacy.secret_file import make_secret, read_secret

IDENTITY_FILE = "identity.key"


def stored_identity(folder: Path, site: str) -> Identity:
    """The identity kept in `folder`, made there where it is absent.

    Raises:
        PrivacyRefusedError: others can read the key.
        DataError: the file is damaged.
        OSError: it cannot be read or written.
    """
    path = folder / IDENTITY_FILE
    if not path.exists():
        # Where another process makes one at the same moment, that one is the identity, for both.
        with contextlib.suppress(FileExistsError):
            make_secret(path, Identity.generate(site).private_bytes())
    try:
        return Identity.from_private_bytes(site, read_secret(path))
    except ValueError:
        raise DataError(f"The site key {path} is damaged: restore it from its backup.") from None
