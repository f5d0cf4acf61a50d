"""Train every family for every task that it says it does, and write docs/reference/families.md of it.

    OMP_NUM_THREADS=1 python simulations/zoo/run.py                 # trains what is missing, and writes the page
    OMP_NUM_THREADS=1 python simulations/zoo/run.py --row vae "diffusion, latent: prior"     # these rows alone
    python simulations/zoo/run.py --print                           # writes the page from what is there

A cell that is there is not trained again, unless the code of its family or of what families share has changed. A cell
that fails is told, and the page is not written. Rows that are not asked for stay on the page as they are.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import traceback
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from cell import PRIVACY, TRAINING, Asked, run, sections

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from cells import Cells, code
from page import FOLDER, write_page

from fedgen.families.registry import specs
from fedgen.run.atomic import write_atomic
from fedgen.selftest.tasks import cells

HERE = Path(__file__).parent


def asked_of(name: str) -> Iterator[Asked]:
    """The cells of a family and its systems."""
    spec = specs()[name]
    for row in spec.rows:
        for found in cells(spec):
            for privacy in PRIVACY:
                if privacy == "none" or spec.private:
                    yield Asked(name, found.what, found.axes, privacy, row)


def key_of(asked: Asked) -> dict[str, object]:
    """What decides a cell."""
    return {
        **vars(asked),
        "code": code(
            f"families/{asked.family}", "families/contract.py", *(["priors"] if asked.on_prior else [])
        ),
        "training": TRAINING,
        "sections": sections(asked.task, asked.axes),
        "small": asked.options.model_dump(mode="json"),
    }


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    rows = [row for spec in specs().values() for row in spec.rows]
    parser.add_argument("--row", choices=rows, nargs="+", default=rows, help="a family, or a system of its")
    parser.add_argument("--print", action="store_true", help="train nothing")
    parser.add_argument("--out", type=Path, default=Path("runs/zoo"), help="where cells are kept")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    kept = Cells(arguments.out, make=not arguments.print)
    found, failed = {}, 0
    with tempfile.TemporaryDirectory() as work:
        for name in specs():
            for asked in (each for each in asked_of(name) if each.row in arguments.row):

                def made(asked: Asked = asked) -> dict[str, object]:
                    seconds, images = run(asked, Path(work))
                    write_atomic(_images(kept, asked), _bytes(images))
                    print(f"{asked.name}: {seconds:.1f} s", flush=True)
                    return {"seconds": round(seconds, 2)}

                try:
                    cell = kept.get(asked.name, key_of(asked), made)
                except Exception:
                    traceback.print_exc()
                    print(f"{asked.name}: FAILED", flush=True)
                    cell = None
                if cell is None:
                    failed += 1
                    print(f"{asked.name}: no cell", flush=True)
                else:
                    found[asked] = (float(cell["seconds"]), np.load(_images(kept, asked)))
    if failed:
        print(f"{len(found)} cells, {failed} without a run: the page stays as it is.")
        return int(failed > 0)
    write_page(found)
    print(f"{len(found)} cells in {FOLDER}.")
    return 0


def _images(kept: Cells, asked: Asked) -> Path:
    return kept.path(asked.name, key_of(asked)).with_suffix(".npy")


def _bytes(images: torch.Tensor) -> bytes:
    import io

    buffer = io.BytesIO()
    np.save(buffer, ((images.detach().clamp(-1, 1) + 1) * 127.5).round().byte().numpy())
    return buffer.getvalue()


if __name__ == "__main__":
    sys.exit(main())
