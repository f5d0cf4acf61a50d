"""Checks of a signed release, without a network and without its run: each says what it found, or what it could not.

What is checked first is trusted by what comes later: the bytes, then the signature over them, then what they say.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from fedgen.errors import DataError
from fedgen.release.archive import ReleaseFiles
from fedgen.release.checked import Checked, Outcome, Verified, of_error
from fedgen.release.release_manifest import (
    MANIFEST,
    SIGNATURE,
    ReleaseManifest,
    is_signed,
    read_manifest,
    read_signature,
)
from fedgen.release.verify_contents import contents


def verify(
    files: ReleaseFiles, key: bytes | None = None, sites: Mapping[str, bytes] | None = None
) -> Verified:
    """Check a release.

    Args:
        files: of it, as `open_files` gives them.
        key: Ed25519 public key of whoever should have signed it, got in another way than with the release.
        sites: likewise keys of sites, by name.
    """
    if MANIFEST not in files.names:
        return Verified((Checked(Outcome.WRONG, "manifest", _none(files)),), None)
    try:
        content = files.read(MANIFEST)
        manifest = read_manifest(content)
    except DataError as error:
        return Verified((Checked(Outcome.WRONG, "manifest", str(error)),), None)
    lines = [*_signature(files, content, manifest, key), *_files(files, manifest)]
    if all(line.outcome is not Outcome.WRONG for line in lines):
        # Whatever was changed says nothing any more; one finding is enough.
        lines += contents(files, manifest, sites or {})
    return Verified(tuple(lines), manifest)


def _none(files: ReleaseFiles) -> str:
    """That there is no manifest, and which folder to name where a run's folder of releases was named."""
    below = [name.removesuffix(f"/{MANIFEST}") for name in files.names if name.endswith(f"/{MANIFEST}")]
    return (
        f"There is none here, but {below[0]} below holds one: name that folder."
        if below
        else "There is none."
    )


def _signature(
    files: ReleaseFiles, content: bytes, manifest: ReleaseManifest, key: bytes | None
) -> Iterator[Checked]:
    try:
        signature = read_signature(files.read(SIGNATURE))
    except (DataError, OSError, KeyError) as error:
        yield Checked(Outcome.WRONG, "signature", of_error(error, "There is none."))
        return
    if signature.key != manifest.signer.key or not is_signed(
        content, signature, bytes.fromhex(signature.key)
    ):
        yield Checked(
            Outcome.WRONG,
            "signature",
            "The manifest is not signed with the key that it names: it was changed.",
        )
        return
    yield Checked(Outcome.OK, "signature", f"The manifest is signed with the key {signature.key}.")
    if key is None:
        yield Checked(
            Outcome.OPEN,
            "whose key",
            f"Nobody said which key it must be: compare it with {manifest.signer.name} on another way, or give it with "
            "--key.",
        )
    elif key.hex() != signature.key:
        yield Checked(
            Outcome.WRONG,
            "whose key",
            "It is signed with another key than the one that was given: somebody else made it.",
        )
    else:
        yield Checked(Outcome.OK, "whose key", f"It is the key that was given, of {manifest.signer.name}.")


def _files(files: ReleaseFiles, manifest: ReleaseManifest) -> Iterator[Checked]:
    listed, there = set(manifest.files), set(files.names) - {MANIFEST, SIGNATURE}
    for name in sorted(there - listed):
        yield Checked(Outcome.WRONG, "files", f"{name} is not in the manifest: it was added or renamed.")
    for name in sorted(listed - there):
        yield Checked(Outcome.WRONG, "files", f"{name} is missing: it was removed or renamed.")
    right = 0
    for name in sorted(listed & there):
        entry = manifest.files[name]
        try:
            found = files.hashed(name)
        except DataError as error:
            yield Checked(Outcome.WRONG, "files", str(error))
            continue
        if found != (entry.sha256, entry.bytes):
            yield Checked(Outcome.WRONG, "files", f"{name} was changed.")
        else:
            right += 1
    if right == len(listed) == len(there):
        size = sum(entry.bytes for entry in manifest.files.values())
        yield Checked(Outcome.OK, "files", f"{right} files, {size} bytes: all there, none changed, no other.")
