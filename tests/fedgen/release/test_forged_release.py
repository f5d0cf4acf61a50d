"""Who has the coordinator's key can sign anything, and still not change what sites signed or what follows from it."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fedgen.protocol.receipt import ReceiptFile, SiteReceipt, sign_receipt
from fedgen.release.archive import open_files
from fedgen.release.checked import Outcome
from fedgen.release.release_manifest import FileEntry, ReleaseManifest, read_manifest, signed
from fedgen.release.verify import verify
from fedgen.run.row import Verdict
from fedgen_privacy.secagg import Identity

#: The key of the fixture `signer`.
SIGNER = Identity.from_private_bytes("whoever ran the simulation", bytes(range(32)))
KEY = SIGNER.public_key


def outcomes(folder: Path) -> dict[str, Outcome]:
    """What each check of a release finds, by what it is about."""
    return {line.about: line.outcome for line in verify(open_files(folder), KEY).lines}


def sign_again(folder: Path, change: Callable[[ReleaseManifest], ReleaseManifest] = lambda m: m) -> None:
    """Whoever has the key can sign anything; what the sites signed and what the evidence says they cannot change."""
    manifest = change(read_manifest((folder / "manifest.json").read_bytes()))
    listed = {
        name: FileEntry(
            sha256=hashlib.sha256((folder / name).read_bytes()).hexdigest(),
            bytes=(folder / name).stat().st_size,
        )
        for path in sorted(folder.rglob("*"))
        if path.is_file()
        for name in [path.relative_to(folder).as_posix()]
        if name not in ("manifest.json", "signature.json")
    }
    manifest = manifest.model_copy(update={"files": listed})
    (folder / "manifest.json").write_bytes(manifest.text)
    (folder / "signature.json").write_bytes(signed(manifest, SIGNER).text)


def edit_json(path: Path, change: Callable[[Any], None]) -> None:
    value = json.loads(path.read_text())
    change(value)
    path.write_text(json.dumps(value, indent=2) + "\n")


def _verdict(folder: Path) -> None:
    edit_json(folder / "evidence/audit.json", lambda audit: audit.update(verdict="FAIL", reasons=["Copies."]))


def _better(folder: Path) -> None:
    def change(audit: Any) -> None:
        audit["rows"][0]["findings"][0]["sentence"] = "All is well."

    edit_json(folder / "evidence/audit.json", change)


def _numbers(folder: Path) -> None:
    def change(sent: Any) -> None:
        sent["audit"]["rows"][0]["title"] = "Another"

    edit_json(folder / "evidence/assessments/north.json", change)


def _study(folder: Path) -> None:
    text = (folder / "study.yaml").read_text()
    (folder / "study.yaml").write_text(text.replace("epsilon: 20.0", "epsilon: 2.0"))


def _privacy(folder: Path) -> None:
    edit_json(folder / "evidence/privacy.json", lambda privacy: privacy.update(epsilon=0.1))


def _table(folder: Path) -> None:
    path = folder / "images/labels.csv"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))


def _tensors(folder: Path) -> None:
    path = folder / "images/synthetic.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(bytes(content))


def _picture(folder: Path) -> None:
    """Another picture of the set in the place of one."""
    shutil.copy(folder / "images/lesion_0002.png", folder / "images/lesion_0001.png")


def _volume(folder: Path) -> None:
    shutil.copy(folder / "images/none_0002.nii.gz", folder / "images/none_0001.nii.gz")


def _broken_picture(folder: Path) -> None:
    (folder / "images/lesion_0001.png").write_bytes(b"no picture")


def _receipt_of_another(folder: Path) -> None:
    shutil.copy(folder / "receipts/south.json", folder / "receipts/north.json")
    (folder / "receipts/south.json").unlink()


def _receipt_gone(folder: Path) -> None:
    (folder / "receipts/north.json").unlink()


def _forged_receipt(folder: Path) -> None:
    kept = ReceiptFile.model_validate_json((folder / "receipts/north.json").read_bytes())
    receipt = SiteReceipt.model_validate_json(kept.signed.text)
    forged = sign_receipt(receipt.model_copy(update={"epsilon": 0.1}), Identity.generate("north"))
    kept = kept.model_copy(update={"signed": forged})
    (folder / "receipts/north.json").write_text(json.dumps(kept.model_dump(mode="json")))


@pytest.mark.parametrize(
    ("change", "about"),
    [
        (_verdict, "gate"), (_better, "audit from the sites"), (_numbers, "receipt of north"), (_study, "study"),
        (_privacy, "privacy"), (_table, "images"), (_tensors, "images as drawn"),
        (_picture, "image files"), (_volume, "image files"), (_broken_picture, "image files"),
        (_receipt_of_another, "receipt of north"), (_receipt_gone, "receipt of north"),
        (_forged_receipt, "receipt of north"),
    ],
)  # fmt: skip
def test_who_has_the_key_cannot_change_what_others_said(
    released: Any, tmp_path: Path, change: Callable[[Path], None], about: str
) -> None:
    folder = tmp_path / "tiny"
    shutil.copytree(released.folder, folder)
    change(folder)
    sign_again(folder)
    said = outcomes(folder)
    assert said["signature"] is said["files"] is Outcome.OK
    assert said[about] is Outcome.WRONG, said


def _lineage(**update: Any) -> Callable[[ReleaseManifest], ReleaseManifest]:
    def change(manifest: ReleaseManifest) -> ReleaseManifest:
        first, *rest = manifest.lineage.sites
        sites = (first.model_copy(update=update), *rest)
        return manifest.model_copy(update={"lineage": manifest.lineage.model_copy(update={"sites": sites})})

    return change


@pytest.mark.parametrize(
    "update",
    [{"rounds": ((1, 3),)}, {"epsilon": 0.01}, {"key": "0" * 64}, {"withdrawn": None}, {"key": None}],
)
def test_a_lineage_that_its_site_did_not_sign_is_found(
    released: Any, tmp_path: Path, update: dict[str, Any]
) -> None:
    folder = tmp_path / "tiny"
    shutil.copytree(released.folder, folder)
    sign_again(folder, _lineage(**update))
    assert outcomes(folder)["receipt of north"] is Outcome.WRONG


def test_a_gate_that_was_never_passed_is_found(released: Any, tmp_path: Path) -> None:
    folder = tmp_path / "tiny"
    shutil.copytree(released.folder, folder)

    def change(manifest: ReleaseManifest) -> ReleaseManifest:
        said = {"verdict": Verdict.FAIL, "reasons": ("x",)}
        return manifest.model_copy(update={"gate": manifest.gate.model_copy(update=said)})

    sign_again(folder, change)
    assert outcomes(folder)["gate"] is Outcome.WRONG


def test_a_site_that_signed_nothing_is_told_and_no_error(released: Any, tmp_path: Path) -> None:
    folder = tmp_path / "tiny"
    shutil.copytree(released.folder, folder)
    _receipt_gone(folder)
    sign_again(folder, _lineage(receipt=False, withdrawn=None))
    assert outcomes(folder)["receipt of north"] is Outcome.OPEN
    assert not verify(open_files(folder), KEY).wrong
