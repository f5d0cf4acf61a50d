"""Build the source archive and the wheel of what is committed, bit by bit the same wherever it is built.

    python tools/packages/build_dist.py --out dist --twice

Both are made of `git archive HEAD`, at the time of the commit (SOURCE_DATE_EPOCH), by the pinned setuptools; nothing is
fetched. `--twice` builds again and compares. The wheel must hold what git has, no more and no less.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import io
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
#: Where git has what the wheel has elsewhere.
ROOTS = {"fedgen": "fedgen", "privacy/fedgen_privacy": "fedgen_privacy", "client/fedgen_client": "fedgen_client",
         "server/fedgen_server": "fedgen_server", "configs": "fedgen/presets"}  # fmt: skip


def git(*arguments: str) -> str:
    """What git says."""
    return subprocess.run(
        ["git", *arguments], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout.strip()


def epoch() -> int:
    """SOURCE_DATE_EPOCH, or the time of the commit."""
    return int(os.environ.get("SOURCE_DATE_EPOCH") or git("log", "-1", "--format=%ct"))


def build(out: Path, at: int) -> list[Path]:
    """Source archive and wheel of the commit, in an empty folder.

    Args:
        out: of the two files.
        at: seconds since 1970 that every file in them has.
    """
    with tempfile.TemporaryDirectory() as scratch:
        tree = Path(scratch) / "tree"
        tree.mkdir()
        archive = subprocess.run(["git", "archive", "HEAD"], cwd=ROOT, check=True, capture_output=True).stdout
        with tarfile.open(fileobj=io.BytesIO(archive)) as packed:
            packed.extractall(tree, filter="data")
        for path in (tree, *tree.rglob("*")):
            path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)
        made = Path(scratch) / "made"
        subprocess.run(
            [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(made), str(tree)],
            check=True,
            stdout=subprocess.DEVNULL,
            env={**os.environ, "SOURCE_DATE_EPOCH": str(at), "PYTHONHASHSEED": "0"},
            umask=0o022,
        )
        out.mkdir(parents=True, exist_ok=True)
        found = []
        for path in sorted(made.iterdir()):
            content = path.read_bytes()
            if path.name.endswith(".tar.gz"):
                content = normalised(content, at)
            (out / path.name).write_bytes(content)
            found.append(out / path.name)
        return found


def normalised(archive: bytes, at: int) -> bytes:
    """A source archive without what differs from build to build: times, owners, and the order of its files."""
    plain = io.BytesIO()
    with (
        tarfile.open(fileobj=io.BytesIO(archive)) as old,
        tarfile.open(fileobj=plain, mode="w", format=tarfile.PAX_FORMAT) as new,
    ):
        for member in sorted(old.getmembers(), key=lambda each: each.name):
            content = old.extractfile(member)
            member.mtime, member.uid, member.gid, member.uname, member.gname = at, 0, 0, "", ""
            member.pax_headers = {}
            new.addfile(member, content)
    packed = io.BytesIO()
    with gzip.GzipFile(filename="", fileobj=packed, mode="wb", mtime=at) as file:
        file.write(plain.getvalue())
    return packed.getvalue()


def expected() -> set[str]:
    """What the wheel must hold beside its own metadata: every file of the packages and of configs/ that git has."""
    found = set()
    for path in git("ls-tree", "-r", "--name-only", "HEAD").splitlines():
        for place, package in ROOTS.items():
            if path.startswith(f"{place}/"):
                found.add(f"{package}/{path.removeprefix(f'{place}/')}")
    return found


def differences(wheel: Path) -> list[str]:
    """What the wheel lacks, and what it should not hold."""
    with zipfile.ZipFile(wheel) as packed:
        held = {name for name in packed.namelist() if ".dist-info/" not in name}
    wanted = expected()
    return [f"the wheel lacks {name}" for name in sorted(wanted - held)] + [
        f"the wheel holds {name}, which git does not have" for name in sorted(held - wanted)
    ]


def sha256(path: Path) -> str:
    """In hexadecimal."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def main(arguments: list[str]) -> int:
    """Build, compare, and write SHA256SUMS beside the files."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, default=ROOT / "dist")
    parser.add_argument("--twice", action="store_true", help="build again, and fail where a byte differs")
    asked = parser.parse_args(arguments)
    if asked.out.exists():
        for old in [*asked.out.glob("fedgen-*.whl"), *asked.out.glob("fedgen-*.tar.gz")]:
            old.unlink()
    at = epoch()
    made = build(asked.out, at)
    problems = [line for path in made if path.suffix == ".whl" for line in differences(path)]
    if asked.twice:
        again = asked.out / ".again"
        try:
            problems += [
                f"{one.name} is not the same twice"
                for one, two in zip(made, build(again, at), strict=True)
                if sha256(one) != sha256(two)
            ]
        finally:
            shutil.rmtree(again, ignore_errors=True)
    sums = "".join(f"{sha256(path)}  {path.name}\n" for path in made)
    (asked.out / "SHA256SUMS").write_text(sums, encoding="utf-8")
    print(sums, end="")
    if git("status", "--porcelain"):
        print("What is not committed is not in them.")
    for each in problems:
        print(each, file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
