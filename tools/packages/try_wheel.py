"""Install the built wheel into a fresh environment and run what it installs, from a folder that is not the repository.

    python tools/packages/try_wheel.py dist                            # the libraries of this environment, a minute
    python tools/packages/try_wheel.py dist --python python3.13 --all  # its own libraries, pinned: gigabytes

Without `--all` the wheel alone is installed, and libraries are those of the environment that runs this script.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
#: Each must end with 0: every program, what reads package data, and the heaviest imports.
COMMANDS = (
    ("fedgen", "version"),
    ("fedgen", "study", "presets"),
    ("fedgen", "study", "show", "demo"),
    ("fedgen", "models"),
    ("fedgen", "study", "dpia", "demo"),
    ("fedgen-client", "--help"),
    ("fedgen-client", "version"),
    ("fedgen-server", "--help"),
    ("fedgen-server", "version"),
)
#: Templates and styles are found where they are installed, and every module can be imported.
WHOLE = """
import importlib, pathlib, pkgutil, sys, sysconfig
import fedgen, fedgen_client, fedgen_privacy, fedgen_server
home = pathlib.Path(sysconfig.get_paths()["purelib"])
for package in (fedgen, fedgen_privacy, fedgen_client, fedgen_server):
    place = pathlib.Path(package.__file__)
    assert place.is_relative_to(home), place
    assert (place.parent / "py.typed").is_file(), place
from fedgen.report import page
print(sys.version.split()[0], "from", "site-packages")
"""
SIMULATION = ("fedgen", "simulate", "demo")


def environment(folder: Path, python: str, wheel: Path, everything: bool) -> Path:
    """A fresh environment with the wheel; the folder of its programs."""
    subprocess.run([python, "-m", "venv", str(folder)], check=True)
    programs = folder / "bin"
    install = [str(programs / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    if everything:
        install += ["--no-compile", "-c", str(ROOT / "constraints.txt")]
    else:
        install += ["--no-deps", "--no-index"]
        (place,) = (folder / "lib").glob("python*/site-packages")
        (place / "borrowed.pth").write_text(sysconfig.get_paths()["purelib"] + "\n", encoding="utf-8")
    subprocess.run([*install, str(wheel)], check=True)
    return programs


def main(arguments: list[str]) -> int:
    """Run everything; the first that fails ends it."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("dist", type=Path)
    parser.add_argument("--python", default=sys.executable, help="interpreter of the environment")
    parser.add_argument(
        "--all", action="store_true", help="install the libraries too, as constraints.txt pins them"
    )
    parser.add_argument("--simulate", action="store_true", help="also run the demo, from data to report")
    asked = parser.parse_args(arguments)
    (wheel,) = asked.dist.glob("fedgen-*.whl")
    with tempfile.TemporaryDirectory() as scratch:
        programs = environment(Path(scratch) / "env", asked.python, wheel.resolve(), asked.all)
        here = Path(scratch) / "elsewhere"
        here.mkdir()
        clean = {
            name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")
        }
        run = [(str(programs / "python"), "-c", WHOLE)]
        run += [(str(programs / name), *rest) for name, *rest in COMMANDS + (SIMULATION,) * asked.simulate]
        for command in run:
            done = subprocess.run(command, cwd=here, env=clean, capture_output=True, text=True, check=False)
            if done.returncode or not done.stdout.strip():
                print(
                    f"{' '.join(command[:3])} ended with {done.returncode}:\n{done.stdout}{done.stderr}",
                    file=sys.stderr,
                )
                return 1
            if command[1] == "-c":
                print(done.stdout.strip())
    print(f"{wheel.name}: {len(run)} commands ran from a fresh environment")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
