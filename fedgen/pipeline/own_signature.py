"""The key with which a person who runs simulations signs releases: their own, kept beside their other keys."""

from __future__ import annotations

from fedgen.federation.terms.provision import identity
from fedgen.run.atomic import unwritable
from fedgen.run.state_folder import state_folder
from fedgen_privacy.secagg import Identity

#: How such a release names who signs it; the key says which of all people it is.
SIGNER = "whoever ran the simulation"


def own_signature() -> Identity:
    """The key in their `state_folder`, made there the first time, readable by its owner alone.

    Raises:
        PrivacyRefusedError: others can read it.
        DataError: it is damaged, or cannot be written.
    """
    folder = state_folder() / "signing"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise unwritable(folder, error) from error
    return identity(folder, SIGNER)
