"""The downstream classifier: small, the same for every arm, trained for a fixed number of steps."""

from __future__ import annotations

import hashlib
import math

import torch
from monai.networks.nets import Classifier
from torch import Tensor, nn

BATCH = 32
LEARNING_RATE = 3e-3
WEIGHT_DECAY = 1e-2
#: largest shift of the augmentation, as a share of the image's side
SHIFT = 1 / 16
#: largest change of contrast (a factor) and of brightness (an offset in [-1, 1] units)
JITTER = 0.1
#: Classifiers of releases that a process remembers: those of ten seeds.
KEPT = 20
CHANNELS = (8, 16, 32, 32, 32, 32)

_trained: dict[tuple[str, tuple[int, ...], int, int, int], nn.Module] = {}


def build_classifier(channels: int, height: int, width: int, classes: int) -> nn.Module:
    """MONAI's plain convolutional classifier with batch normalisation.

    It halves the image until its shorter side is 8 px (64 px: three levels), one level at least.
    Weights come from torch's global generator.
    """
    levels = min(len(CHANNELS), max(1, round(math.log2(min(height, width) / 8))))
    net = Classifier(
        in_shape=(channels, height, width),
        classes=classes,
        channels=CHANNELS[:levels],
        strides=(2,) * levels,
        num_res_units=0,
        act="RELU",
        norm="BATCH",
    )
    return net.to(memory_format=torch.channels_last)


def train_classifier(images: Tensor, labels: Tensor, classes: int, *, steps: int, seed: int) -> nn.Module:
    """Train on (n, C, H, W) images in [-1, 1]; no validation, no selection, the last weights count.

    Each batch element is of a uniformly drawn class and a uniformly drawn image of it, with a random
    shift, contrast and brightness. AdamW with a one-cycle schedule (Smith and Topin 2019).

    Args:
        images, labels: every class has an image at least.
        classes: K.
        steps: number of batches of 32.
        seed: fixes weights and batches; equal seeds give equal first weights in all arms.
    """
    rng = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = build_classifier(images.shape[1], images.shape[2], images.shape[3], classes).train()
    optimizer = torch.optim.AdamW(net.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY, fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, total_steps=max(2, steps))
    margin = max(1, round(SHIFT * min(images.shape[-2:])))
    padded = nn.functional.pad(images, (margin,) * 4, mode="reflect")
    by_class = labels.argsort(stable=True)
    count = labels.bincount(minlength=classes)
    first = count.cumsum(0) - count
    for _ in range(steps):
        y = torch.randint(classes, (BATCH,), generator=rng)
        u = torch.rand(BATCH, generator=rng)
        chosen = by_class[first[y] + (u.double() * count[y]).long()]
        x = augment(padded, chosen, margin, rng)
        loss = nn.functional.cross_entropy(net(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return net.eval()


def trained_once(images: Tensor, labels: Tensor, classes: int, *, steps: int, seed: int) -> nn.Module:
    """`train_classifier`, or what it gave for equal arguments before: in a simulation every site asks for the same."""
    content = hashlib.sha256(images.contiguous().numpy().tobytes() + labels.contiguous().numpy().tobytes())
    key = (content.hexdigest(), tuple(images.shape), classes, steps, seed)
    if key not in _trained:
        while len(_trained) >= KEPT:
            _trained.pop(next(iter(_trained)))
        _trained[key] = train_classifier(images, labels, classes, steps=steps, seed=seed)
    return _trained[key]


def augment(padded: Tensor, chosen: Tensor, margin: int, rng: torch.Generator) -> Tensor:
    """Images at `chosen`, each at a random crop of its padding, with random contrast and brightness."""
    n = len(chosen)
    height, width = (side - 2 * margin for side in padded.shape[-2:])
    top, left = torch.randint(2 * margin + 1, (2, n, 1), generator=rng)
    rows, columns = top + torch.arange(height), left + torch.arange(width)
    # Indexing with the channel axis between puts it last: (n, H, W, C), which is channels_last already.
    x = padded[chosen[:, None, None], :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)
    contrast, brightness = (2 * torch.rand(2, n, 1, 1, 1, generator=rng) - 1) * JITTER
    return (x * (1 + contrast) + brightness).clamp(-1, 1)


@torch.no_grad()
def probabilities(net: nn.Module, images: Tensor) -> Tensor:
    """Class probabilities of (n, C, H, W) images; (n, K) float64."""
    return torch.cat([net(batch).double().softmax(dim=1) for batch in images.split(256)])
