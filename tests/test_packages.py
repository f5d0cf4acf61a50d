"""What checks the distributions finds planted faults: content, reproducibility, licences, steps of an image."""

from __future__ import annotations

import gzip
import io
import json
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

REPO = Path(__file__).parent.parent
TOOLS = REPO / "tools" / "packages"


@pytest.fixture(scope="module", autouse=True)
def _tools() -> Iterator[None]:
    sys.path.insert(0, str(TOOLS))
    yield
    sys.path.remove(str(TOOLS))


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with a module, a template and a preset, committed."""
    import build_dist

    for name in ("fedgen/__init__.py", "fedgen/report/page.html", "configs/demo.yaml", "README.md"):
        path = tmp_path / "tree" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name, encoding="utf-8")
    for command in (
        ["init", "-q"],
        ["add", "-A"],
        ["-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "x"],
    ):
        subprocess.run(["git", *command], cwd=tmp_path / "tree", check=True)
    monkeypatch.setattr(build_dist, "ROOT", tmp_path / "tree")
    return tmp_path


def wheel(folder: Path, names: list[str]) -> Path:
    path = folder / "fedgen-0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as packed:
        for name in [*names, "fedgen-0.dist-info/METADATA"]:
            packed.writestr(name, "x")
    return path


def test_a_wheel_holds_what_git_has_no_more_and_no_less(tree: Path) -> None:
    import build_dist

    whole = ["fedgen/__init__.py", "fedgen/report/page.html", "fedgen/presets/demo.yaml"]
    assert build_dist.differences(wheel(tree, whole)) == []
    assert build_dist.differences(wheel(tree, whole[:1] + whole[2:])) == [
        "the wheel lacks fedgen/report/page.html"
    ]
    (found,) = build_dist.differences(wheel(tree, [*whole, "fedgen/secret.key"]))
    assert "fedgen/secret.key" in found


def source_archive(at: int, owner: str, names: list[str]) -> bytes:
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w") as packed:
        for name in names:
            member = tarfile.TarInfo(name)
            member.size, member.mtime, member.uname = len(name), at, owner
            packed.addfile(member, io.BytesIO(name.encode()))
    return gzip.compress(plain.getvalue(), mtime=at)


def test_source_archives_of_the_same_files_are_the_same_bytes() -> None:
    import build_dist

    one = source_archive(1, "root", ["a", "b"])
    two = source_archive(99, "builder", ["b", "a"])
    assert one != two
    assert build_dist.normalised(one, 7) == build_dist.normalised(two, 7)
    assert build_dist.normalised(one, 7) != build_dist.normalised(source_archive(1, "root", ["a", "c"]), 7)


@pytest.mark.parametrize(
    ("licence", "told"),
    [
        ("MIT", False),
        ("GNU Lesser General Public License v3 (LGPLv3)", False),
        ("MPL-2.0", False),
        ("GPL-2.0-or-later OR MIT", False),
        ("GNU General Public License v3 (GPLv3)", True),
        ("AGPL-3.0-only", True),
        ("UNKNOWN", True),
        ("", True),
    ],
)
def test_a_licence_that_binds_or_is_not_known_is_told(licence: str, told: bool) -> None:
    import sbom

    assert bool(sbom.problems([{"Name": "x", "Version": "1", "License": licence}])) is told


def test_the_bill_is_of_run_time_libraries_alone() -> None:
    import sbom

    found = sbom.run_time()
    assert {"torch", "flwr", "ray", "jinja2"} <= found
    assert not {"pytest", "mkdocs-material", "ruff", "build"} & found


@pytest.mark.parametrize("end", ["client", "server"])
def test_every_instruction_of_the_images_is_one_that_is_walked(end: str) -> None:
    import walk_dockerfile

    found = walk_dockerfile.instructions((REPO / end / "Dockerfile").read_text(encoding="utf-8"))
    words = [word for word, _ in found]
    assert words[0] == "FROM" and {"COPY", "RUN", "USER", "VOLUME", "ENTRYPOINT", "CMD"} <= set(words)
    (copied,) = (rest for word, rest in found if word == "COPY")
    assert copied.split()[:-1] == ["constraints.txt", "dist/fedgen-*.whl"]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('FROM {base}\nENTRYPOINT ["x"]\n', "runs as root"),
        ("FROM {base}\nRUN curl http://x\n", "is not one of the steps"),
        ("FROM {base}\nADD http://x /\n", "does not walk"),
        ("FROM {base}\nCOPY no-such-file /opt/\n", "finds no no-such-file"),
        ("FROM alpine\n", "is made from alpine"),
    ],
)
def test_an_image_that_should_not_be_is_refused(text: str, why: str, tmp_path: Path) -> None:
    import walk_dockerfile

    path = tmp_path / "Dockerfile"
    path.write_text(text.format(base=f"python:{sys.version_info.major}.{sys.version_info.minor}-slim"))
    with pytest.raises(ValueError, match=why):
        walk_dockerfile.walk(path, walk_dockerfile.Image(tmp_path / "root", tmp_path / "bin"))


def test_the_health_check_is_the_program_that_the_image_would_run() -> None:
    import walk_dockerfile

    found = walk_dockerfile.instructions((REPO / "server/Dockerfile").read_text(encoding="utf-8"))
    (health,) = (rest for word, rest in found if word == "HEALTHCHECK")
    program, option, script = json.loads(health.partition(" CMD ")[2])
    assert (program, option) == ("python", "-c")
    compile(script, "healthcheck", "exec")
