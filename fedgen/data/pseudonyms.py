"""Keyed pseudonyms: what stands for patients and files wherever something is written down.

A pseudonym is HMAC-SHA256 under a key that stays at the site, so that nobody without the key can try names out. The
same patient has the same pseudonym in everything that one site writes.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import secrets
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from fedgen.errors import DataError
from fedgen.run.atomic import unwritable
from fedgen.run.state_folder import state_folder
from fedgen_privacy.secret_file import make_secret, read_secret

if TYPE_CHECKING:
    from fedgen.data.index import IndexEntry, PatientIndex

KEY_FILE = "pseudonym.key"
#: Hexadecimal digits of a pseudonym: 64 bits, so that millions of patients have different ones.
_DIGITS = 16


class Pseudonyms:
    """The pseudonyms of one site.

    Args:
        key: secret bytes, kept by the site alone.
    """

    def __init__(self, key: bytes) -> None:
        self._key = key

    @classmethod
    def kept_in(cls, path: Path) -> Pseudonyms:
        """Those of a key file, which is made the first time and that its owner alone may read.

        Raises:
            PrivacyRefusedError: others can read the key.
            DataError: the file is damaged, or cannot be read or written.
        """
        try:
            if not path.exists():
                path.parent.mkdir(parents=True, exist_ok=True)
                # Where another process makes one at the same moment, that one is the key, for both.
                with contextlib.suppress(FileExistsError):
                    make_secret(path, secrets.token_hex(32).encode() + b"\n")
            key = bytes.fromhex(read_secret(path).decode("ascii").strip())
        except (ValueError, UnicodeDecodeError):
            key = b""
        except OSError as error:
            raise unwritable(path, error) from error
        if len(key) < 16:
            raise DataError(f"The key {path} of the pseudonyms is damaged: restore it from its backup.")
        return cls(key)

    @property
    def name(self) -> str:
        """What tells this key from others; it says nothing about the key."""
        return self._of("key", "")

    def of_run(self, salt: str) -> Pseudonyms:
        """Others of the same site, which nobody can join with these without the key."""
        return Pseudonyms(hmac.new(self._key, f"run\0{salt}".encode(), hashlib.sha256).digest())

    def patient(self, identity: str) -> str:
        """`p-` and 16 digits."""
        return f"p-{self._of('patient', identity)}"

    def site(self, name: str) -> str:
        """`h-` and 16 digits."""
        return f"h-{self._of('site', name)}"

    def study(self, uid: str) -> str:
        """`s-` and 16 digits; empty where there is none."""
        return f"s-{self._of('study', uid)}" if uid else ""

    def file(self, path: str) -> str:
        """`f-`, 16 digits and the ending: the name of a file, or of its folder, is often the patient's."""
        return f"f-{self._of('file', path)}{PurePosixPath(path).suffix[:8]}"

    def index(self, index: PatientIndex) -> PatientIndex:
        """The index as it may be written down: without a name of a patient, a file, an examination or a series."""
        return replace(
            index,
            entries=tuple(self._entry(entry) for entry in index.entries),
            findings=tuple(replace(finding, example="") for finding in index.findings),
        )

    def _entry(self, entry: IndexEntry) -> IndexEntry:
        return replace(
            entry,
            files=tuple(self.file(file) for file in entry.files),
            patient=self.patient(entry.patient),
            mask=None if entry.mask is None else self.file(entry.mask),
            embedding=None if entry.embedding is None else self.file(entry.embedding),
            study=self.study(entry.study),
            # Free text that a person typed at the scanner.
            series="",
        )

    def text(self, sentence: str, paths: Iterable[str]) -> str:
        """A sentence with each of `paths`, and each folder of theirs, by its pseudonym."""
        names = {
            name for path in paths for name in (path, *map(str, PurePosixPath(path).parents)) if name != "."
        }
        for name in sorted((name for name in names if name in sentence), key=len, reverse=True):
            sentence = sentence.replace(name, self.file(name))
        return sentence

    def _of(self, kind: str, name: str) -> str:
        content = f"{kind}\0{name}".encode(errors="surrogatepass")
        return hmac.new(self._key, content, hashlib.sha256).hexdigest()[:_DIGITS]


def own_pseudonyms() -> Pseudonyms:
    """Those of the person who runs a study on one machine: the key is in their `state_folder`.

    Raises:
        PrivacyRefusedError, DataError: as `Pseudonyms.kept_in` and `state_folder`.
    """
    return Pseudonyms.kept_in(state_folder() / KEY_FILE)


@contextlib.contextmanager
def naming_no_file(folder: Path, pseudonyms: Pseudonyms) -> Iterator[None]:
    """Errors about the files below `folder` name them to the person at the screen, and to no log."""
    try:
        yield
    except DataError as error:
        paths: tuple[str, ...] = ()
        with contextlib.suppress(DataError):
            # Here, since with it come all decoders, and a key is asked for where no folder is read.
            from fedgen.data.folder_scan import files_of

            paths = files_of(folder)
        # Of several folders each hides its own names.
        error.outline = pseudonyms.text(error.for_log, paths)
        raise
