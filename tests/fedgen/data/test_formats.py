"""Which decoder reads a file: told by its ending, or by its content; that a format is one file: tests/extension."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from fedgen.data.decoders.decoder import Decoder, UnreadableError
from fedgen.data.decoders.registry import by_ending, decoder_for


def test_every_ending_has_its_decoder_in_any_case() -> None:
    for ending, decoder in by_ending().items():
        assert decoder_for(Path(f"A.1{ending.upper()}")) is decoder
        assert ending == ending.lower()
        assert ending.startswith(".")
    assert {".png", ".dcm", ".nii.gz"} <= set(by_ending())


def test_the_page_on_formats_names_every_ending_and_no_other() -> None:
    page = (Path(__file__).parents[3] / "docs/reference/data-support.md").read_text(encoding="utf-8")
    (line,) = [line for line in page.splitlines() if line.startswith("Endings: ")]
    endings, _, by_content = line.partition(";")
    assert re.findall(r"`(\.[^`]+)`", endings) == sorted(by_ending())
    # Those that look into a file are the decoders that say how.
    looking = {
        type(decoder).__module__.removeprefix("fedgen.data.decoders.").partition(".")[0]
        for decoder in by_ending().values()
        if type(decoder).recognises is not Decoder.recognises
    }
    names = {"dicom": "DICOM", "nifti": "NIfTI", "nrrd": "NRRD", "arrays": "idx"}
    assert looking == set(names)
    assert by_content.strip().startswith(
        "DICOM, NIfTI, NRRD and idx files are also known by their first bytes"
    )


def test_names_that_tell_nothing(tmp_path: Path) -> None:
    with pytest.raises(UnreadableError, match="has an ending no reader knows"):
        decoder_for(tmp_path / "a.bam")
    (tmp_path / "README").write_text("no image")
    with pytest.raises(UnreadableError, match="has no ending, and no reader knows its content"):
        decoder_for(tmp_path / "README")
    with pytest.raises(UnreadableError, match="No such file"):
        decoder_for(tmp_path / "1.2.3")
