"""Damaged files of every format through everything that reads: python fuzz_readers.py INPUTS SEED [NAME].

Only errors of ours may come out, within ten seconds of the processor; of six gigabytes of addresses no more than one
and a half may be filled. Hypothesis shrinks what breaks that.
"""

from __future__ import annotations

import faulthandler
import json
import os
import resource
import signal
import sys
import tempfile
import traceback
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st
from mutations import KINDS, damaged
from PIL import Image
from seed_files import RAMP, VOLUME, seed_files

from fedgen.data.build import build_index
from fedgen.data.decode import decode_site
from fedgen.data.decoders.decoder import UnreadableError
from fedgen.data.decoders.registry import decoder_for
from fedgen.data.inspect.look import inspect_data
from fedgen.data.load import decoding_findings
from fedgen.errors import FedgenError
from fedgen.study.data import DataSection

SECONDS, ADDRESSES, FILLED = 10, 6 * 2**30, 3 * 2**29
DATA = DataSection(labels=("none",), image_size=(16, 16), unused_share=1.0, patient_rule="image")
WHOLE = DATA.model_copy(update={"image_size": (16, 16, 16)})
#: In a folder with an inspection now and then: it reads every image twice.
INSPECT_EVERY = 16


class Late(BaseException):
    """An input that takes too long."""


def main(inputs: int, number: int, only: str) -> None:
    files = {name: content for name, content in seed_files().items() if only in name}
    changes = st.lists(
        st.tuples(st.integers(0, KINDS - 1), st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1)),
        min_size=1,
        max_size=6,
    )
    count = 0

    @seed(number)
    @settings(max_examples=inputs, database=None, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.sampled_from(sorted(files)), changes, st.booleans(), st.integers(0, 2))
    def survives(name: str, done: list[tuple[int, int, int]], inner: bool, axis: int) -> None:
        nonlocal count
        count += 1
        with tempfile.TemporaryDirectory(prefix="fuzz-", dir=ROOT) as folder:
            _read(
                Path(folder),
                name,
                damaged(files[name], done, inner),
                axis,
                inspect=count % INSPECT_EVERY == 0,
            )

    signal.signal(signal.SIGALRM, _late)
    signal.signal(signal.SIGPROF, _late)
    survives()
    most = _most_memory()
    assert most < FILLED, f"{most} bytes of memory"
    print(f"{count} inputs of {len(files)} files")


def _most_memory() -> int:
    """Bytes that this program ever held; getrusage also counts what its parent held when it was forked."""
    status = Path("/proc/self/status")
    if status.exists():
        (line,) = [line for line in status.read_text().splitlines() if line.startswith("VmHWM:")]
        return 1024 * int(line.split()[1])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _late(*_: object) -> None:
    raise Late


def _read(folder: Path, name: str, content: bytes, axis: int, inspect: bool) -> None:
    kind, file = name.split("/")
    # Of the processor, so that a busy machine fails no input; a wait costs it none, so there is the clock as well.
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    signal.alarm(6 * SECONDS)
    try:
        if kind == "table":
            _beside(folder, file)
            (folder / file).write_bytes(content)
        else:
            (folder / file).write_bytes(content)
            _companion(folder, file)
            _decode(folder / file, axis)
            if kind.startswith("nifti") and axis == 0:
                (folder / "sub-1" / "anat").mkdir(parents=True)
                (folder / file).rename(folder / "sub-1" / "anat" / file.replace("a", "sub-1_T1w", 1))
            elif not (kind.startswith(("dicom", "array")) and axis < 2):
                (folder / "metadata.csv").write_text(f"image,patient,site,label\n{file},p,s,none\n")
        _use(folder, WHOLE if axis == 1 else DATA)
        if inspect:
            _told(lambda: json.dumps(inspect_data(folder).to_json(), allow_nan=False))
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.alarm(0)


def _decode(path: Path, axis: int) -> None:
    def whole() -> None:
        decoder = decoder_for(path)
        header = decoder.header(path, axis)
        if header.depth is None:
            pixels = decoder.pixels(path, None)
            # Of a size that the header does not say, `read_stored` says so.
            assert pixels.dtype == np.float32

    _told(whole)


def _use(folder: Path, data: DataSection) -> None:
    def use() -> None:
        index = build_index(folder, data, site="s")
        json.dumps(index.to_json(), allow_nan=False)
        sites = {"s": decode_site(folder, index.entries, data)}
        decoding_findings(index, sites, data)
        assert np.isfinite(sites["s"].images).all()

    _told(use)


def _told(what: Any) -> None:
    try:
        what()
    except (UnreadableError, FedgenError) as error:
        assert "more memory" not in str(error), error
        str(error).encode("utf-8", "surrogateescape")


def _beside(folder: Path, file: str) -> None:
    """What a table is about."""
    if file == "participants.tsv":
        (folder / "sub-1" / "anat").mkdir(parents=True)
        (folder / "sub-1" / "anat" / "sub-1_T1w.nii").write_bytes(SEEDS["nifti-short/a.nii"])
    elif file == "labels.csv":
        (folder / "a.dcm").write_bytes(SEEDS["dicom-Explicit VR Little Endian/a.dcm"])
    else:
        for image in ("a.png", "b.png"):
            Image.fromarray(RAMP).save(folder / image)


def _companion(folder: Path, file: str) -> None:
    """The second file of a pair."""
    if file in ("a.hdr", "a.nhdr", "a.mhd"):
        (folder / {"a.hdr": "a.img", "a.nhdr": "a.raw", "a.mhd": "a.raw"}[file]).write_bytes(VOLUME.tobytes())


def quiet() -> None:
    """Libraries write to the C level's standard error; what a person reads is on standard output."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    faulthandler.enable(sys.stdout)
    faulthandler.register(signal.SIGUSR1, sys.stdout)
    warnings.simplefilter("ignore")


if __name__ == "__main__":
    quiet()
    ROOT = "/dev/shm" if Path("/dev/shm").is_dir() else None
    SEEDS = seed_files()
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + ADDRESSES, used + ADDRESSES))
    try:
        main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3] if len(sys.argv) > 3 else "")
    except BaseException:
        traceback.print_exc(file=sys.stdout)
        sys.exit(1)
