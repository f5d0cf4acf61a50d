"""Public images as other places might have made them: other frames, proportions, zooms and contrasts.

A prior is to say how images of a kind differ, and images of one public place differ less than those of several
hospitals: films of other hospitals then lie far from its mean, where a clip cuts and noise is large (decision 022).
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

#: By how much each axis is stretched or shrunk, and moved, both as shares of its length.
STRETCH, SHIFT = 0.25, 0.08
#: Exponents of the contrast.
GAMMA = (0.6, 1.65)
#: Share of the variants in another frame, and of those in another contrast: the others stay as they are.
CHANGED = 0.6


def varied(images: NDArray[np.float32], times: int, seed: int = 0) -> NDArray[np.float32]:
    """Each image in so many random variants, black where nothing is; some are the image as it is.

    Args:
        images: (n, C, *size) in [-1, 1], of two axes or three.
        times: variants of each image, >= 1.
        seed: the same seed draws the same.

    Returns:
        (n * times, C, *size) in [-1, 1]; the variants of an image one after the other.
    """
    # Here, since MONAI takes seconds to import, and only who makes a prior needs this.
    from monai.transforms import Compose, RandAdjustContrast, RandAffine

    size = images.shape[2:]
    change = Compose(
        [
            RandAffine(
                prob=CHANGED,
                scale_range=[(-STRETCH, STRETCH)] * len(size),
                translate_range=[SHIFT * side for side in size],
                padding_mode="zeros",
            ),
            RandAdjustContrast(prob=CHANGED, gamma=GAMMA),
        ]
    )
    change.set_random_state(seed)
    # From black at 0, which is what comes in from beyond the edge.
    light = torch.from_numpy(images + 1) / 2
    made = [torch.as_tensor(change(image)) for image in light for _ in range(times)]
    return (torch.stack(made).clamp(0, 1) * 2 - 1).numpy().astype(np.float32)
