"""The downstream network: small, with pooling, the same for every arm."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from fedgen.families.parts.first_weights import first_weights

BATCH = 32
LEARNING_RATE = 3e-3
WEIGHT_DECAY = 1e-2
#: largest shift of the augmentation, as a share of the image's side
SHIFT = 1 / 16
#: largest change of contrast (a factor) and of brightness (an offset in [-1, 1] units)
JITTER = 0.1
CHANNELS = (8, 32, 32, 32, 32, 32, 32)


class PooledConvolutions(nn.Module):
    """3x3 convolutions, halved by their maximum between them; the maximum and mean over the image decide.

    What is small and may be anywhere is in the maximum. A network that keeps its positions to the end, by strides and
    one large linear layer, has to learn it anew at each of them, which no cohort of a hospital is large enough for.
    """

    def __init__(self, inputs: int, channels: tuple[int, ...], classes: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for level, outputs in enumerate(channels):
            layers.append(nn.Conv2d(inputs, outputs, 3, padding=1, bias=False))
            if level < len(channels) - 1:
                layers.append(nn.MaxPool2d(2))
            layers += [nn.BatchNorm2d(outputs), nn.ReLU()]
            inputs = outputs
        self.features = nn.Sequential(*layers)
        self.decide = nn.Linear(2 * inputs, classes)

    def forward(self, images: Tensor) -> Tensor:
        """Logits (n, K) of (n, C, H, W) images."""
        x = self.features(images)
        return self.decide(torch.cat([x.amax((2, 3)), x.mean((2, 3))], dim=1))


def build_classifier(channels: int, height: int, width: int, classes: int) -> nn.Module:
    """A small convolutional classifier with pooling.

    It halves the image until its shorter side is 8 px (64 px: three levels), one level at least.
    Weights come from torch's global generator.
    """
    levels = min(len(CHANNELS) - 1, max(1, round(math.log2(min(height, width) / 8))))
    net = PooledConvolutions(channels, CHANNELS[: levels + 1], classes)
    return net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


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
    training = Training(images, labels, classes, seed=seed)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        training.optimizer, LEARNING_RATE, total_steps=max(2, steps)
    )
    for _ in range(steps):
        training.step()
        schedule.step()
    return training.net.eval()


class Training:
    """A network in training; arguments as of `train_classifier`."""

    def __init__(self, images: Tensor, labels: Tensor, classes: int, *, seed: int) -> None:
        self._rng = torch.Generator().manual_seed(seed)
        channels, height, width = images.shape[1:]
        self.net = first_weights(lambda: build_classifier(channels, height, width, classes), seed).train()
        self.optimizer = torch.optim.AdamW(
            self.net.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY, fused=True
        )
        self._margin = _margin(images)
        self._padded = nn.functional.pad(images, (self._margin,) * 4, mode="reflect")
        self._by_class = labels.argsort(stable=True)
        self._count = labels.bincount(minlength=classes)
        self._first = self._count.cumsum(0) - self._count

    def step(self) -> None:
        """One batch."""
        y = torch.randint(len(self._count), (BATCH,), generator=self._rng)
        u = torch.rand(BATCH, generator=self._rng)
        chosen = self._by_class[self._first[y] + (u.double() * self._count[y]).long()]
        x = augment(self._padded, chosen, self._margin, self._rng)
        loss = nn.functional.cross_entropy(self.net(x), y)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()


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


def augmented_once(images: Tensor, seed: int) -> Tensor:
    """Each of (n, C, H, W) images in [-1, 1] once, as the augmentation of training gives it."""
    if not len(images):
        return images
    margin = _margin(images)
    padded = nn.functional.pad(images, (margin,) * 4, mode="reflect")
    rng = torch.Generator().manual_seed(seed)
    parts = [augment(padded, rows, margin, rng) for rows in torch.arange(len(images)).split(256)]
    return torch.cat(parts).contiguous()


@torch.no_grad()
def probabilities(net: nn.Module, images: Tensor) -> Tensor:
    """Class probabilities of (n, C, H, W) images; (n, K) float64.

    The mean over the image and its shifts by half the largest of training, up, down, left and right, which no label
    depends on: better in cross-validation over training patients, for no step more.
    """
    margin = _margin(images)
    padded = nn.functional.pad(images, (margin,) * 4, mode="reflect")
    height, width = images.shape[-2:]
    step = -(-margin // 2)
    views = []
    for down, right in ((0, 0), (-step, 0), (step, 0), (0, -step), (0, step)):
        top, left = margin + down, margin + right
        shifted = padded[..., top : top + height, left : left + width]
        views.append(torch.cat([net(batch).double().softmax(dim=1) for batch in shifted.split(256)]))
    return torch.stack(views).mean(dim=0)


def _margin(images: Tensor) -> int:
    """Largest shift of the augmentation, in pixels."""
    return max(1, round(SHIFT * min(images.shape[-2:])))
