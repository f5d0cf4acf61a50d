"""Walk the steps of both Dockerfiles where there is no Docker, and start what the images would start.

    python tools/packages/walk_dockerfile.py dist

Every COPY must find its files, every RUN is carried out in a fresh environment with the wheel in `dist/`, and every
user, folder and mode is made as written. Then a coordinator and a hospital are started as the images start them: as the
image's user, on a read-only root, with one volume and /tmp to write to, and no network but loopback. The coordinator
makes a federation, answers its own health check and invites; the hospital joins, checks itself and takes part; both end
with 130.

Not walked: the base image, and torch's index, whose torch is taken from the environment that runs this script.
"""

from __future__ import annotations

import argparse
import json
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from sealed import run_sealed, why_not
from try_wheel import environment

ROOT = Path(__file__).resolve().parents[2]
INTERRUPTED = 130


@dataclass
class Image:
    """What a Dockerfile makes, in a folder that stands for the image's root.

    Attributes:
        root: the folder.
        programs: of the fresh environment that stands for the image's Python.
        user: who runs, by number; None until there is one.
        volume: what is written to, within the image.
        variables: of the image.
        start: ENTRYPOINT and CMD.
        health: what HEALTHCHECK runs.
    """

    root: Path
    programs: Path
    user: int | None = None
    volume: str = ""
    variables: dict[str, str] = field(default_factory=dict)
    start: list[str] = field(default_factory=list)
    health: list[str] = field(default_factory=list)
    users: dict[str, int] = field(default_factory=dict)

    def place(self, path: str) -> Path:
        """A path of the image in the folder."""
        return self.root / path.lstrip("/")


def instructions(dockerfile: str) -> list[tuple[str, str]]:
    """Word and rest of each instruction, comments left out and continued lines joined."""
    text = re.sub(r"(?m)^\s*#.*\n", "", dockerfile).replace("\\\n", "")
    found = [line.split(None, 1) for line in text.splitlines() if line.strip()]
    return [(word, " ".join(rest.split()) if word != "HEALTHCHECK" else rest) for word, rest in found]


def walk(dockerfile: Path, image: Image, arguments: dict[str, str] | None = None) -> Image:
    """Carry out every instruction.

    Raises:
        ValueError: an instruction that this script does not know, or that cannot be carried out.
    """
    known = dict(arguments or {})
    for word, rest in instructions(dockerfile.read_text(encoding="utf-8")):
        if word == "FROM":
            _base(rest)
        elif word == "ARG":
            name, _, value = rest.partition("=")
            known.setdefault(name, value)
        elif word == "COPY":
            _copy(image, rest)
        elif word == "RUN":
            for command in rest.split("&&"):
                _run(image, shlex.split(re.sub(r"\$\{(\w+)\}", lambda found: known[found[1]], command)))
        elif word == "USER":
            image.user = image.users[rest]
        elif word == "VOLUME":
            image.volume = rest
        elif word == "ENV":
            image.variables |= dict(pair.split("=", 1) for pair in shlex.split(rest))
        elif word in ("ENTRYPOINT", "CMD"):
            image.start += json.loads(rest)
        elif word == "HEALTHCHECK":
            image.health = json.loads(rest.partition(" CMD ")[2])
        elif word not in ("WORKDIR", "EXPOSE"):
            raise ValueError(f"{dockerfile.name} has {word}, which this script does not walk")
    if not image.user:
        raise ValueError(f"{dockerfile} runs as root")
    return image


def _base(name: str) -> None:
    wanted = re.fullmatch(r"python:(\d+\.\d+)-slim", name)
    here = f"{sys.version_info.major}.{sys.version_info.minor}"
    if wanted is None or wanted[1] != here:
        raise ValueError(f"the image is made from {name}, and this is Python {here}")


def _copy(image: Image, rest: str) -> None:
    *sources, target = rest.split()
    for pattern in sources:
        found = list(ROOT.glob(pattern))
        if not found:
            raise ValueError(f"COPY finds no {pattern}: run `make dist`")
        for path in found:
            image.place(target).mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, image.place(target))


def _run(image: Image, command: list[str]) -> None:
    program, *rest = command
    if program == "pip":
        if rest[-1] == "torch":
            return
        (wheel,) = image.root.glob(rest[-1].lstrip("/"))
        constraints = image.place(rest[rest.index("-c") + 1])
        if not constraints.is_file():
            raise ValueError(f"{constraints.name} was not copied")
        environment(image.programs.parent, sys.executable, wheel, everything=False)
    elif program == "rm":
        shutil.rmtree(image.place(rest[-1]))
    elif program == "useradd":
        image.users[rest[-1]] = int(rest[rest.index("--uid") + 1])
    elif program == "install":
        given = dict(option.removeprefix("--").split("=") for option in rest if "=" in option)
        folder = image.place(rest[-1])
        folder.mkdir(parents=True)
        shutil.chown(folder, image.users[given["owner"]], image.users[given["group"]])
        folder.chmod(int(given["mode"], 8))
    else:
        raise ValueError(f"RUN {program} is not one of the steps that this script walks")


#: What is typed at both ends, as the head of each Dockerfile says; every line must succeed.
SCENARIO = """
set -e
fail() {{ echo "FAILED: $1"; cat /tmp/server.log /tmp/site.log 2>/dev/null; exit 1; }}
if touch /in-root 2>/dev/null; then fail "the root can be written"; fi
server {init} > /dev/null || fail init
(enter_server; exec {start_server}) > /tmp/server.log 2>&1 & coordinator=$!
for i in $(seq 40); do healthy 2> /tmp/health.log && break; sleep 1; done
healthy || {{ cat /tmp/health.log; fail "health check"; }}
token=$(server invite north) || fail invite
site join "$token" --data {data} > /dev/null || fail join
site check > /tmp/check.log 2>&1 || {{ cat /tmp/check.log; fail check; }}
(enter_site; exec {start_site}) > /tmp/site.log 2>&1 & hospital=$!
for i in $(seq 120); do server sites 2>/dev/null | grep -q north && grep -q . /tmp/site.log && break; sleep 1; done
sleep 5
kill -0 $hospital || fail "the site did not stay"
ended() {{ kill -TERM $1; code=0; wait $1 || code=$?; [ $code = {interrupted} ] || fail "$2 ended with $code"; }}
ended $hospital "the site"
ended $coordinator "the coordinator"
echo walked
"""


def scenario(server: Image, site: Image, data: Path) -> str:
    """The script that starts both."""
    functions = []
    for name, image in (("server", server), ("site", site)):
        variables = " ".join(
            f"{key}={shlex.quote(_within(image, value))}" for key, value in image.variables.items()
        )
        functions.append(f"enter_{name}() {{ cd {image.place(image.volume)}; export {variables}; }}")
        functions.append(f'{name}() ( enter_{name}; exec {image.programs}/{image.start[0]} "$@" )')
    health = [_within(server, part) for part in server.health]
    health[0] = str(server.programs / health[0])
    functions.append(f"healthy() {{ {shlex.join(health)}; }}")
    script = SCENARIO.format(
        init="init --name walked --address localhost:8443",
        start_server=shlex.join([str(server.programs / server.start[0]), *server.start[1:]]),
        start_site=shlex.join([str(site.programs / site.start[0]), *site.start[1:]]),
        data=shlex.quote(str(data)),
        interrupted=INTERRUPTED,
    )
    return "\n".join([*functions, script])


def _within(image: Image, text: str) -> str:
    """Paths of the image's volume as they are in the folder."""
    return re.sub(rf"{re.escape(image.volume)}(?=/|$|')", str(image.place(image.volume)), text)


PHANTOM = """
import sys
from pathlib import Path
from fedgen.data.phantom.write import phantom_sites, write_phantom_site
from fedgen.study.data import Phantom
phantom = Phantom(sites=1, patients=40)
write_phantom_site(Path(sys.argv[1]), phantom, phantom_sites(phantom)[0], 5)
"""


def main(arguments: list[str]) -> int:
    """Walk both, then start both."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "dist", type=Path, nargs="?", default=ROOT / "dist", help="where `make dist` put the wheel"
    )
    parser.parse_args(arguments)
    cannot = why_not()
    # Not below /tmp, which is fresh in the place; and open to the image's user.
    with tempfile.TemporaryDirectory(prefix="fedgen-images-", dir="/var/tmp") as scratch:
        Path(scratch).chmod(0o755)
        images = {}
        for end in ("server", "client"):
            root = Path(scratch) / end
            images[end] = walk(ROOT / end / "Dockerfile", Image(root, root / "python" / "bin"))
            print(f"{end}/Dockerfile: every step was carried out")
        if cannot is not None:
            print(f"What the images start was not started: {cannot}.")
            return 0
        data = Path(scratch) / "images"
        python = images["client"].programs / "python"
        subprocess.run([str(python), "-c", PHANTOM, str(data)], check=True, cwd=scratch)
        data.chmod(0o755)
        server, site = images["server"], images["client"]
        assert server.user == site.user and server.user is not None
        done = run_sealed(
            scenario(server, site, data),
            [image.place(image.volume) for image in images.values()],
            server.user,
            {
                "PATH": "/usr/bin:/bin:/usr/sbin:/sbin",
                "HOME": "/nonexistent",
                "LANG": "C.UTF-8",
                "OMP_NUM_THREADS": "1",
            },
            timeout=600,
        )
        if done.returncode or not done.stdout.strip().endswith("walked"):
            print(done.stdout, done.stderr, file=sys.stderr)
            return 1
    print(
        "Both were started as their images start them: as another user, on a read-only root, with loopback alone."
    )
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
