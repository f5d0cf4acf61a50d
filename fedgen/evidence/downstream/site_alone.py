"""One who looks at no image: what an arm has no more of than this, it has of the site."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


def site_alone(labels: Tensor, sites: Tensor, asked: Tensor, classes: int) -> NDArray[np.float64]:
    """Class probabilities (n_asked, K) of one who knows an image's site and how its training images are shared out.

    At a site without training images it is the share at all sites.

    Args:
        labels: (n,) int64 class of each training image.
        sites: (n,) int64 its site, from 0.
        asked: (n_asked,) int64 sites of the images asked about.
        classes: K.
    """
    shares = []
    for site in range(int(torch.cat([sites, asked]).max()) + 1):
        own = labels[sites == site]
        shares.append((own if len(own) else labels).bincount(minlength=classes).double())
    found = torch.stack(shares)[asked]
    return (found / found.sum(dim=1, keepdim=True)).numpy()
