"""Whether letters are part of a picture: found by a detector that runs offline, and never read.

The detector is the first half of PP-OCR (differentiable binarization, Liao et al. 2020), whose weights the package
rapidocr carries in its wheel. Its second half, which would read the letters, is not loaded. Beside lines of text it
marks whole pictures and large parts of bodies; what is higher than a line of text can be is left out.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fedgen.data.decoders.guard import guard

#: In the package rapidocr; named, because where it is missing rapidocr would fetch one.
_MODEL = "models/PP-OCRv6_det_small.onnx"
#: The detector's own score from which text is suspected: its default.
_SURE = 0.5
#: The largest height of a line, of the shorter side of the picture.
_HIGHEST = 0.2
#: Pixels: smaller pictures are enlarged to the one, larger ones made smaller to the other.
_SHORTER, _LONGER = 512, 1024


class TextDetector:
    """Finds letters in pictures.

    Raises:
        ImportError: fedgen was installed without the extra `text`.
    """

    def __init__(self) -> None:
        import onnxruntime
        import rapidocr

        onnxruntime.disable_telemetry_events()
        self._engine: Any = rapidocr.RapidOCR(
            params={
                "Global.use_cls": False,
                "Global.use_rec": False,
                "Global.log_level": "critical",
                "Det.model_path": str(Path(rapidocr.__file__).parent / _MODEL),
                "Det.limit_side_len": _SHORTER,
            }
        )

    def suspects(self, picture: NDArray[np.float32]) -> bool:
        """Whether letters seem to be part of a picture.

        Args:
            picture: (H, W, 1) or (H, W, 3) of any values.

        Raises:
            UnreadableError: the detector cannot take it.
        """
        image = _as_bytes(picture)
        with guard("cannot be searched for text"):
            found = self._engine(image, use_det=True, use_cls=False, use_rec=False, box_thresh=_SURE)
        if found.boxes is None:
            return False
        # Corners run around the box, (n, 4, 2).
        corners = np.asarray(found.boxes, np.float64)
        sides = np.linalg.norm(corners - np.roll(corners, 1, axis=1), axis=2)
        heights = sides.min(axis=1)
        likely = np.asarray(found.scores, np.float64) >= _SURE
        return bool((likely & (heights <= _HIGHEST * min(image.shape[:2]))).any())


def _as_bytes(picture: NDArray[np.float32]) -> NDArray[np.uint8]:
    """(H, W, 3) of 0 to 255, the middle 99 % of its values spread over them, at most `_LONGER` pixels long."""
    values = np.nan_to_num(picture, nan=0.0, posinf=0.0, neginf=0.0)
    low, high = np.percentile(values, (0.5, 99.5))
    if low == high:
        low, high = float(values.min()), float(values.max())
    spread = np.clip((values - low) / max(high - low, 1e-6), 0, 1) * 255
    image = Image.fromarray(np.broadcast_to(spread.astype(np.uint8), (*spread.shape[:2], 3)).copy())
    image.thumbnail((_LONGER, _LONGER), Image.Resampling.BOX)
    return np.asarray(image)
