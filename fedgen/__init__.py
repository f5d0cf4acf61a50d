"""fedgen: hospitals co-train generative models of medical images and get back audited synthetic data.

    import fedgen
    run = fedgen.simulate("demo")    # virtual hospitals, from their patients to the report
    run.report()                     # in a notebook: the report
    images = run.samples()           # a torch data set

A folder is a room with one concept, and a room imports what stands before it: `schema`, `task`, `run` (strict files,
what is made from what, the run directory), `priors`, `families`, `study` (what is known, what can be trained, what was
asked), `data` and `training` (files to tensors, a site's steps), `mechanisms` (how a contribution becomes private),
`recipe` (the study compiled once), `protocol` and `federation` (messages and both ends), `synthesis` and `evidence`
(images, and what is said of them), `planning` and `selftest`, `report`, `release` and `pipeline` (one list of
stages), `api` (what is named here), `cli`.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fedgen.api.looks import inspect as inspect
    from fedgen.api.looks import verify as verify
    from fedgen.api.open_run import Run as Run
    from fedgen.api.open_run import open_run as open_run
    from fedgen.api.simulate import simulate as simulate
    from fedgen.api.study_given import study as study
    from fedgen.api.study_plan import plan as plan
    from fedgen.release.open_release import load_release as load_release

__version__ = "0.1.0"
__all__ = ["Run", "inspect", "load_release", "open_run", "plan", "simulate", "study", "verify"]

#: Where each name is; its module is imported when it is first asked for, since some load torch.
_HOMES = {
    "Run": "fedgen.api.open_run",
    "inspect": "fedgen.api.looks",
    "load_release": "fedgen.release.open_release",
    "open_run": "fedgen.api.open_run",
    "plan": "fedgen.api.study_plan",
    "simulate": "fedgen.api.simulate",
    "verify": "fedgen.api.looks",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'fedgen' has no attribute {name!r}")
    return globals().setdefault(name, getattr(import_module(_HOMES[name]), name))


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


class _StudyRoom(ModuleType):
    """The room `fedgen.study`, which is called to make a study: `fedgen.study("demo")`."""

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        return import_module("fedgen.api.study_given").study(*arguments, **options)


# One name is both: the package where studies are defined, and what a program calls to have one.
import_module("fedgen.study")
sys.modules["fedgen.study"].__class__ = _StudyRoom
