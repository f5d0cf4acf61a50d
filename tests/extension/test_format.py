"""A file format or a folder layout is one file: found by walking its folder, told by its endings or its content."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fedgen.data.build import build_index
from fedgen.data.decode import decode_site
from fedgen.data.decoders.registry import decoder_for
from fedgen.data.layouts.registry import by_precedence
from fedgen.errors import DataError
from fedgen.study.data import DataSection

KINDS = ("a file format", "a folder layout")
DECODER_FILE = """
from pathlib import Path
import numpy as np
from fedgen.data.decoders.decoder import Decoder, Header

class PlantedDecoder(Decoder):
    supported_file_endings = ("{ending}",)

    def recognises(self, path):
        return path.read_bytes()[:6] == b"\\x93NUMPY"

    def header(self, path, axis):
        return Header(np.load(path).shape, spacing=(2.0, 2.0), orientation="IL")

    def pixels(self, path, slices):
        return np.load(path)[None, ..., None].astype(np.float32)

DECODER = PlantedDecoder()
"""

LAYOUT_FILE = """
from fedgen.data.decoders.registry import decoder_for
from fedgen.data.index import IndexEntry
from fedgen.data.layouts.layout import FolderLayout, Scan

class ByFolder(FolderLayout):
    name, precedence = "by_folder", {precedence}

    def matches(self, request):
        return "by_folder" in request.files

    def scan(self, request):
        result = Scan(self.name)
        for path in (path for path in request.files if path.endswith(".png")):
            site, patient, _ = path.split("/")
            header = decoder_for(request.folder / path).header(request.folder / path, 2)
            result.entries.append(
                IndexEntry(
                    (path,), patient, site, "none", None, "", "", "", header.spacing, header.orientation, None,
                    header.size,
                )
            )
        return result

LAYOUT = ByFolder()
"""

Add = Callable[[str, str, str], None]


@pytest.mark.parametrize("name", ["one.bam", "1.2.840.1", "one"])
def test_a_format_is_one_file(add: Add, tmp_path: Path, name: str) -> None:
    add("fedgen.data.decoders", "planted", DECODER_FILE.format(ending=".bam"))
    folder = tmp_path / "images"
    folder.mkdir()
    (folder / "metadata.csv").write_text(f"image,patient,site,label\n{name},ann,north,none\n")
    stored = np.arange(16 * 16, dtype=np.uint8).reshape(16, 16)
    with (folder / name).open("wb") as handle:
        np.save(handle, stored)
    data = DataSection(labels=("none",), image_size=(16, 16))
    index = build_index(folder, data)
    assert [(e.size, e.spacing, e.orientation) for e in index.entries] == [((16, 16), (2.0, 2.0), "IL")]
    image = decode_site(folder, index.entries, data).images[0, 0]
    np.testing.assert_allclose(image, stored / 127.5 - 1, atol=1e-3)


def test_two_that_claim_one_ending_are_an_error(add: Add) -> None:
    add("fedgen.data.decoders", "planted", DECODER_FILE.format(ending=".png"))
    with pytest.raises(
        DataError, match=r"PlantedDecoder and RasterDecoder both claim the ending \.png: take it"
    ):
        decoder_for(Path("a.png"))


def test_the_longest_ending_tells(add: Add, tmp_path: Path) -> None:
    add("fedgen.data.decoders", "planted", DECODER_FILE.format(ending=".gz"))
    assert type(decoder_for(Path("a.nii.gz"))).__name__ == "NiftiDecoder"
    assert type(decoder_for(Path("a.npy.gz"))).__name__ == "PlantedDecoder"


def test_a_layout_is_one_file(add: Add, tmp_path: Path) -> None:
    add("fedgen.data.layouts", "planted", LAYOUT_FILE.format(precedence=5))
    folder = tmp_path / "images" / "north" / "ann"
    folder.mkdir(parents=True)
    (tmp_path / "images" / "by_folder").touch()
    Image.fromarray(np.zeros((16, 16), np.uint8)).save(folder / "1.png")
    index = build_index(tmp_path / "images", DataSection(labels=("none",)))
    assert (index.layout, index.sites, index.patients) == ("by_folder", ("north",), ("ann",))


def test_two_layouts_of_one_rank_are_an_error(add: Add) -> None:
    add("fedgen.data.layouts", "planted", LAYOUT_FILE.format(precedence=20))
    with pytest.raises(DataError, match="ByFolder and TableLayout have the same name or precedence"):
        by_precedence()
