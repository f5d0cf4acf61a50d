"""This machine: its keys, its disk and its GPU."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence

from fedgen.errors import ExitCode, FedgenError
from fedgen_client.checks.line import CheckLine, mend
from fedgen_client.folder import SiteFolder
from fedgen_client.site_file import SiteFile
from fedgen_client.studies import OfferedStudy

#: For decoded images, a model and its optimizer; a ledger that cannot be written stops a study.
LEAST_FREE_BYTES = 2 * 10**9


def key_line(folder: SiteFolder) -> CheckLine:
    """Both keys are there and for their owner alone."""
    try:
        folder.identity(folder.membership().site)
        folder.node_private_key()
    except FedgenError as error:
        return mend("keys", error)
    return CheckLine("keys", "readable by their owner alone.")


def disk_line(folder: SiteFolder) -> CheckLine:
    """Enough space where the site's folder lies."""
    free = shutil.disk_usage(folder.path).free
    text = f"{free / 1e9:.1f} GB free under {folder.path}"
    if free >= LEAST_FREE_BYTES:
        return CheckLine("disk", f"{text}.")
    return CheckLine(
        "disk", f"{text}, of at least {LEAST_FREE_BYTES / 1e9:.0f} GB: free some space.", ExitCode.DATA
    )


def device_lines(site: SiteFile, studies: Sequence[OfferedStudy]) -> Iterator[CheckLine]:
    """Each torch device that the site file or a study names can be used."""
    # heavy, and nothing else on this page needs them
    import torch

    from fedgen.training.devices import require_site_device

    own = site.runtime.device
    for device in sorted({own} if own else {s.study.training.device for s in studies}):
        try:
            require_site_device(own, device)
        except FedgenError as error:
            yield mend("device", error)
            continue
        gpu = torch.device(device).type == "cuda"
        yield CheckLine("device", f"{device}{f', {torch.cuda.get_device_name(device)}' if gpu else ''}.")
