"""Which decoder reads a file: told by its ending, or by its content; that a format is one file: tests/extension."""

from __future__ import annotations

from pathlib import Path

import pytest

from fedgen.data.decoders.decoder import UnreadableError
from fedgen.data.decoders.registry import by_ending, decoder_for


def test_every_ending_has_its_decoder_in_any_case() -> None:
    for ending, decoder in by_ending().items():
        assert decoder_for(Path(f"A.1{ending.upper()}")) is decoder
        assert ending == ending.lower()
        assert ending.startswith(".")
    assert {".png", ".dcm", ".nii.gz"} <= set(by_ending())


def test_names_that_tell_nothing(tmp_path: Path) -> None:
    with pytest.raises(UnreadableError, match="has an ending no reader knows"):
        decoder_for(tmp_path / "a.bam")
    (tmp_path / "README").write_text("no image")
    with pytest.raises(UnreadableError, match="has no ending, and no reader knows its content"):
        decoder_for(tmp_path / "README")
    with pytest.raises(UnreadableError, match="No such file"):
        decoder_for(tmp_path / "1.2.3")
