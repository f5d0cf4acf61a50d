"""The segmentation network of the downstream comparison: a small U-Net of MONAI's, the same for every arm.

Ronneberger et al. 2015. It is trained for a fixed number of steps, without validation or selection, so that an arm can
neither gain nor lose by how long it learns.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from fedgen.evidence.downstream.classifier import JITTER, SHIFT
from fedgen.families.parts.first_weights import first_weights

BATCH = 8
LEARNING_RATE = 5e-3
WEIGHT_DECAY = 1e-4
CHANNELS = (16, 32, 64)


def build_segmenter(channels: int, dimensions: int, classes: int) -> nn.Module:
    """A U-Net of two halvings, (n, C, *size) to logits (n, K + 1, *size) with background first.

    Weights come from torch's global generator.
    """
    # Here, since MONAI takes seconds to import, and most releases have no masks.
    from monai.networks.nets import UNet

    net = UNet(
        spatial_dims=dimensions,
        in_channels=channels,
        out_channels=classes + 1,
        channels=CHANNELS,
        strides=(2, 2),
        norm="INSTANCE",
    )
    made: nn.Module = net
    return made


def train_segmenter(images: Tensor, masks: Tensor, classes: int, *, steps: int, seed: int) -> nn.Module:
    """Train on (n, C, H, W) images in [-1, 1] with masks (n, 1, H, W) of class indices; the last weights count.

    AdamW with a one-cycle schedule (Smith and Topin 2019), cross-entropy alone: under a Dice loss a network marks
    whatever is a little more likely than elsewhere, and masks of other images would seem to teach it something. Each
    batch is drawn evenly from the images, shifted and with changed contrast and brightness.

    Args:
        images: one at least.
        masks: of each image; values above K count as background.
        classes: K.
        steps: number of batches of 8.
        seed: fixes weights and batches; equal seeds give equal first weights in all arms.
    """
    rng = torch.Generator().manual_seed(seed)
    net = first_weights(lambda: build_segmenter(images.shape[1], images.ndim - 2, classes), seed).train()
    optimizer = torch.optim.AdamW(net.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, total_steps=max(2, steps))
    truth = torch.where(masks > classes, 0, masks).float()
    for _ in range(steps):
        chosen = torch.randint(len(images), (min(BATCH, len(images)),), generator=rng)
        x, y = augmented(images[chosen].float(), truth[chosen], rng)
        error = nn.functional.cross_entropy(net(x), y[:, 0].long())
        optimizer.zero_grad()
        error.backward()
        optimizer.step()
        schedule.step()
    return net.eval()


def augmented(images: Tensor, masks: Tensor, rng: torch.Generator) -> tuple[Tensor, Tensor]:
    """Images (n, C, H, W) and their masks (n, 1, H, W), shifted alike; contrast and brightness of the images alone."""
    n, channels, height, width = images.shape
    margin = max(1, round(SHIFT * min(height, width)))
    padded = nn.functional.pad(torch.cat([images, masks], dim=1), (margin,) * 4, mode="reflect")
    top, left = torch.randint(2 * margin + 1, (2, n, 1), generator=rng)
    rows, columns = top + torch.arange(height), left + torch.arange(width)
    shifted = padded[torch.arange(n)[:, None, None], :, rows[:, :, None], columns[:, None, :]].movedim(-1, 1)
    contrast, brightness = (2 * torch.rand(2, n, 1, 1, 1, generator=rng) - 1) * JITTER
    return (shifted[:, :channels] * (1 + contrast) + brightness).clamp(-1, 1), shifted[:, channels:]


@torch.no_grad()
def segment(net: nn.Module, images: Tensor) -> Tensor:
    """(n, K + 1, *size) float32 probabilities of (n, C, *size) images."""
    return torch.cat([net(batch.float()).softmax(dim=1) for batch in images.split(64)])


def chosen_class(probabilities: Tensor) -> Tensor:
    """(n, 1, *size) uint8 of the most probable class, 0 outside of all."""
    return probabilities.argmax(dim=1, keepdim=True).to(torch.uint8)
