"""Whether this machine has the torch device that a study or a site asks for; asked before a patient is read."""

from __future__ import annotations

import torch

from fedgen.errors import StudyError


def unusable(name: str, dtype: torch.dtype = torch.float32) -> str | None:
    """Why numbers of `dtype` cannot be worked with on device `name`; None where they can."""
    try:
        # Read back, because a device such as meta takes numbers and keeps none.
        torch.zeros(1, device=name, dtype=dtype).item()
    except (RuntimeError, AssertionError, TypeError) as error:
        return str(error).partition("\n")[0].partition(". ")[0].rstrip(".")
    return None


def devices_here() -> list[str]:
    """The devices of this machine, as a study file names them, GPUs with their model."""
    gpus = range(torch.cuda.device_count()) if torch.cuda.is_available() else ()
    named = [f"cuda:{gpu} ({torch.cuda.get_device_name(gpu)})" for gpu in gpus]
    return ["cpu", *named, *(["mps"] if torch.backends.mps.is_available() else [])]


def require_device(name: str, key: str, mend: str) -> None:
    """Refuse a device that this machine does not have.

    Args:
        name: of the device, such as cuda:0.
        key: of the file that asks for it.
        mend: what to do, as the end of a sentence.

    Raises:
        StudyError: `key` asks for what is not there.
    """
    why = unusable(name)
    if why is not None:
        asked = f"{key} asks for {name}, but this machine has {', '.join(devices_here())} ({why})"
        # A study comes from elsewhere, and its text must not write over a terminal.
        raise StudyError(f"{asked.encode('unicode_escape').decode()}: {mend}.")


def require_study_device(name: str) -> None:
    """`require_device` for `training.device`, at whoever may still change the study or its machine.

    Raises:
        StudyError: this machine does not have it.
    """
    require_device(name, "training.device", "set training.device to what is there, or use another machine")


def require_site_device(own: str | None, study: str) -> None:
    """`require_device` for a site: `own` is its `runtime.device`, which counts before the study's.

    Raises:
        StudyError: this machine does not have the one that counts.
    """
    mend = "set runtime.device in the site file, such as to cpu"
    if own is not None:
        require_device(own, "runtime.device", mend)
    else:
        require_device(study, "The study's training.device", mend)
