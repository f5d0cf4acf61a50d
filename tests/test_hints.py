"""What to do next is said in the words of the program that speaks, and the floors below know no program's options."""

from __future__ import annotations

import ast
import errno
import os
import re
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from rich.console import Console

import fedgen.cli.hints
import fedgen.cli.main
import fedgen_client.cli.main
import fedgen_client.hints
import fedgen_server.cli.main
import fedgen_server.hints
from fedgen.errors import DataError
from fedgen.run.atomic import unwritable
from fedgen.run.hints import Hints, hints, speak_as
from fedgen.run.signals import kept

REPO = Path(__file__).parent.parent
FLOORS = ("privacy/fedgen_privacy", "fedgen", "client/fedgen_client", "server/fedgen_server")

#: Words that are true for one program, or one command of it, and the packages that may say them.
OWN = {
    r"--(resume|out|data|table|debug)\b": (),
    r"--folder\b": ("client/fedgen_client", "server/fedgen_server"),
    r"`fedgen (simulate|train|synthesize|audit|evaluate)\b": (),
    r"with resume\b|resume (the|that|a) run\b": (),
    r"`fedgen-server resume\b": ("server/fedgen_server",),
}
#: Rooms whose words belong to one command anyway: its options, the commands of the demonstration, and what a released
#: model's card tells its user.
EXEMPT = (
    "fedgen/pipeline/model_release.py",
    "fedgen/cli/",
    "fedgen/report/commands.py",
    "client/fedgen_client/cli/",
    "server/fedgen_server/cli/",
    "server/fedgen_server/hints.py",
    "server/fedgen_server/demo.py",
    "client/fedgen_client/enrol.py",
)


def sentences(text: str) -> Iterator[tuple[int, str]]:
    """Line and text of every string of a module that is no docstring."""
    tree = ast.parse(text)
    described = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    bodies = [node.body[0] for node in ast.walk(tree) if isinstance(node, described) and node.body]
    docstrings = {id(first.value) for first in bodies if isinstance(first, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
            yield node.lineno, node.value


def foreign(package: str, path: str, text: str) -> list[str]:
    """Every sentence that is not true for all programs that can say it."""
    if path.startswith(EXEMPT):
        return []
    return [
        f"{path}:{line}: {sentence!r}"
        for line, sentence in sentences(text)
        for words, speakers in OWN.items()
        if package not in speakers and re.search(words, sentence)
    ]


@pytest.mark.parametrize("package", FLOORS)
def test_no_floor_says_what_only_one_program_has(package: str) -> None:
    found = []
    for file in sorted((REPO / package).rglob("*.py")):
        path = file.relative_to(REPO).as_posix()
        found += foreign(package, path, file.read_text(encoding="utf-8"))
    assert found == []


@pytest.mark.parametrize(
    "sentence",
    [
        "free some space and continue with --resume.",
        "choose a folder you may write to with --out.",
        "mend the sites and resume the run.",
        "continue it with resume.",
        "name another folder with --folder.",
        "run `fedgen synthesize` first.",
        "continue with `fedgen-server resume`.",
    ],
)
def test_a_planted_hint_is_found(sentence: str) -> None:
    text = f'"""Go on with --resume."""\n\ndef f(path):\n    raise ValueError(f"No {{path}}: {sentence}")\n'
    (found,) = foreign("fedgen", "fedgen/run/planted.py", text)
    assert found.startswith("fedgen/run/planted.py:4")


def test_a_program_may_say_what_it_has() -> None:
    text = 'HINT = "name another folder with --folder, or run `fedgen-server resume`"'
    assert foreign("server/fedgen_server", "server/fedgen_server/exchange.py", text) == []
    assert len(foreign("client/fedgen_client", "client/fedgen_client/hints.py", text)) == 1


DENIED = OSError(errno.EACCES, "Permission denied")
FULL = OSError(errno.ENOSPC, "No space left on device")

SENTENCES = [
    (
        fedgen.cli.main,
        "fedgen",
        "give the same command again",
        "give this user the right to",
        "give the same",
    ),
    (
        fedgen_client.cli.main,
        "fedgen-client",
        "run the same command again",
        "give this user the right to, or name another folder with --folder",
        "run the same command again to go on",
    ),
    (
        fedgen_server.cli.main,
        "fedgen-server",
        "give the same command again",
        "give this user the right to, or name another folder with --folder",
        "`fedgen-server start` serves again, and `fedgen-server resume` goes on with a run",
    ),
]


@pytest.mark.parametrize(("program", "name", "again", "elsewhere", "stopped"), SENTENCES)
def test_each_program_speaks_for_itself(
    monkeypatch, capsys, program: ModuleType, name: str, again: str, elsewhere: str, stopped: str
) -> None:
    def told(what: object) -> str:
        def fail(_: object) -> None:
            raise what() if callable(what) else what

        monkeypatch.setattr(sys, "argv", [name, "version"])
        before = signal.getsignal(signal.SIGTERM)
        try:
            with monkeypatch.context() as patch, pytest.raises(SystemExit):
                patch.setattr(program.typer, "echo", fail)
                patch.setattr("fedgen.cli.shell.os._exit", sys.exit)
                program.run()
        finally:
            signal.signal(signal.SIGTERM, before)
        return capsys.readouterr().err

    # Made while the program runs, as the floors do.
    assert told(lambda: unwritable(Path("a"), FULL)) == (
        f"{name}: The disk is full while writing a: free some space and {again}.\n"
    )
    assert told(FULL) == f"{name}: The disk is full: free some space and {again}.\n"
    assert told(lambda: unwritable(Path("a"), DENIED)) == (
        f"{name}: Cannot write a (Permission denied): {elsewhere}.\n"
    )
    assert told(KeyboardInterrupt()).startswith(f"{name}: Stopped. Nothing is lost: {stopped}")


ALL_WORDS = [
    (module, attribute)
    for module in (fedgen.cli.hints, fedgen_client.hints, fedgen_server.hints)
    for attribute in dir(module)
    if isinstance(getattr(module, attribute), Hints)
]


def test_every_program_has_words() -> None:
    assert {module.__name__.partition(".")[0] for module, _ in ALL_WORDS} == {
        "fedgen",
        "fedgen_client",
        "fedgen_server",
    }


@pytest.mark.parametrize(("module", "attribute"), ALL_WORDS)
def test_a_commands_own_words_end_a_sentence(module: ModuleType, attribute: str) -> None:
    words = getattr(module, attribute)
    for text in (words.again, words.elsewhere, words.stopped):
        assert text and text[-1] not in ".:;, " and text[0] not in ".:;, "


def test_a_process_that_sets_no_words_says_what_is_true_for_everybody() -> None:
    assert hints() == Hints()
    assert not any(re.search(r"--|`", text) for text in (Hints().again, Hints().elsewhere, Hints().stopped))
    speak_as(Hints(again="x"))
    assert hints().again == "x"


# Commands and processes that have better words ------------------------------------------------------------------------


def test_simulate_names_resume_only_once_there_is_a_run(tmp_path, monkeypatch, capsys) -> None:
    (tmp_path / "file").touch()

    def simulated(out: Path) -> str:
        monkeypatch.setattr(sys, "argv", ["fedgen", "simulate", "demo", "--out", str(out)])
        before = signal.getsignal(signal.SIGTERM)
        try:
            with pytest.raises(SystemExit) as left:
                fedgen.cli.main.run()
        finally:
            signal.signal(signal.SIGTERM, before)
        assert left.value.code == 4
        return capsys.readouterr().err

    def fails(*_: object) -> None:
        raise unwritable(Path("a"), FULL)

    assert "choose a folder you may write to with --out." in simulated(tmp_path / "file" / "runs")
    with monkeypatch.context() as patch:
        patch.setattr("fedgen.pipeline.workspace.keep_start", fails)
        assert "free some space and give the same command again." in simulated(tmp_path / "runs")
    monkeypatch.setattr("fedgen.pipeline.runner.run_stages", fails)
    assert "free some space and continue with --resume." in simulated(tmp_path / "runs")


def test_a_published_study_is_resumed_not_run_again(monkeypatch) -> None:
    import fedgen_server.conduct
    from fedgen_server.cli.operate import _conduct

    def fails(*_: object) -> None:
        raise unwritable(Path("a"), FULL)

    monkeypatch.setattr(fedgen_server.conduct, "conduct", fails)
    with pytest.raises(DataError, match="free some space and continue with `fedgen-server resume`"):
        _conduct(Console(), None, None, 1.0)


def test_a_hospitals_worker_asks_nobody_to_start_it(monkeypatch) -> None:
    from fedgen_client import worker

    told = []
    monkeypatch.setattr(worker, "work", lambda *_: told.append(str(unwritable(Path("a"), FULL))))
    reader, writer = os.pipe()
    with kept(signal.SIGINT):
        worker.main(["folder", str(reader)])
    os.close(writer)
    assert told == ["The disk is full while writing a: free some space and the site takes part again."]


def test_the_workers_of_a_simulation_speak_as_the_program_that_started_them(tiny_study, tmp_path) -> None:
    import pickle
    from types import SimpleNamespace

    from fedgen.federation.simulation.virtual_sites import VirtualSites

    speak_as(fedgen.cli.hints.SIMULATE)
    shipped = pickle.dumps(VirtualSites(tiny_study(), (tmp_path / "north",), 1, tmp_path / "none"))
    speak_as(Hints())
    with pytest.raises(DataError):  # there is no site: its words come first
        pickle.loads(shipped)(SimpleNamespace(node_config={"partition-id": 0}))  # noqa: S301 - our own bytes
    assert hints() == fedgen.cli.hints.SIMULATE
