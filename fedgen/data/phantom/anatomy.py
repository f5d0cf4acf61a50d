"""A procedural axial slice through a head: soft tissue fractions, no atlas, no licence."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

Field = NDArray[np.float64]

#: Tissues in the order of the first axis of `Slice.tissues`.
TISSUES = ("air", "scalp", "skull", "csf", "gray", "white", "deep", "lesion")


@dataclass(frozen=True)
class Lesion:
    """An irregular blob; lengths are fractions of half the image's side."""

    x: float
    y: float
    radius: float
    roughness: float
    seed: int


@dataclass(frozen=True)
class Head:
    """What makes one patient's head; lengths are fractions of half the image's side."""

    width: float
    length: float
    tilt: float
    outline: tuple[float, ...]
    skull: float
    atrophy: float
    ventricles: float
    folds: float
    seed: int
    lesion: Lesion | None

    @staticmethod
    def draw(rng: np.random.Generator, *, lesion: bool) -> Head:
        """A random head; older ones (higher `atrophy`) have wider ventricles and sulci."""
        atrophy = float(rng.beta(2, 3))
        width = float(rng.uniform(0.68, 0.76))
        length = float(rng.uniform(0.82, 0.90))
        return Head(
            width=width,
            length=length,
            tilt=float(rng.normal(0, 0.06)),
            outline=tuple(rng.normal(0, [0.012, 0.012, 0.008, 0.008, 0.005, 0.005]).tolist()),
            skull=float(rng.uniform(0.05, 0.07)),
            atrophy=atrophy,
            ventricles=0.75 + 0.75 * atrophy + float(rng.normal(0, 0.08)),
            folds=float(rng.uniform(0.8, 1.2)),
            seed=int(rng.integers(2**31)),
            lesion=_draw_lesion(rng, width, length) if lesion else None,
        )


def _draw_lesion(rng: np.random.Generator, width: float, length: float) -> Lesion:
    # Off the midline and inside the brain, on either side.
    angle = rng.uniform(0.2, np.pi - 0.2) * rng.choice([-1, 1])
    distance = rng.uniform(0.32, 0.56)
    return Lesion(
        x=float(distance * width * np.sin(angle)),
        y=float(distance * length * np.cos(angle)),
        radius=float(rng.uniform(0.09, 0.2)),
        roughness=float(rng.uniform(0.25, 0.55)),
        seed=int(rng.integers(2**31)),
    )


#: Classes of a mask of tissues, from 1, and the tissues of each; a lesion counts as the white matter it lies in.
SEGMENTS = {"csf": ("csf",), "gray": ("gray", "deep"), "white": ("white", "lesion")}


@dataclass(frozen=True)
class Slice:
    """Tissue fractions of one slice.

    Attributes:
        tissues: (len(TISSUES), H, W) in [0, 1], summing to 1 at every pixel.
        lesion: (H, W) bool, the lesion's mask.
    """

    tissues: Field
    lesion: NDArray[np.bool_]

    @property
    def segments(self) -> NDArray[np.uint8]:
        """(H, W): which of SEGMENTS, from 1, has most of a pixel; 0 where none has half of it."""
        parts = [sum(self.tissues[TISSUES.index(name)] for name in names) for names in SEGMENTS.values()]
        shares = np.stack([np.asarray(part) for part in parts])
        found = np.where(shares.sum(axis=0) > 0.5, shares.argmax(axis=0) + 1, 0)
        return found.astype(np.uint8)


def cut(head: Head, level: float, size: tuple[int, int]) -> Slice:
    """The slice of a head at a height.

    Args:
        head: the patient.
        level: height in [-1, 1]; 0 goes through the bodies of the lateral ventricles, and beyond 0.7 and -0.7 the
            head closes.
        size: (height, width) in pixels.
    """
    noise = _noise(head.seed, size, (0.030, 0.070))
    edge = 1.3 / (min(size) / 2)
    grid = _Grid(head, level, size, margin=edge / 2 + 0.012 * float(np.abs(noise[1]).max()))
    noise = [field.ravel()[grid.pixels] for field in noise]
    # Depth below the scalp's surface; each shell is a smooth step of it.
    depth = grid.depth
    head_inside = _step(depth, edge)
    inner_scalp = _step(depth - 0.035 - 0.012 * noise[1], edge)
    inner_skull = _step(depth - 0.035 - head.skull, edge)
    gap = 0.018 + 0.02 * head.atrophy
    below_pia = depth - 0.035 - head.skull - gap
    brain = _step(below_pia, edge)

    sulci, folded = _folds(grid, below_pia, noise, head, edge)
    fissure = _step(0.007 + 0.012 * head.atrophy - np.abs(grid.x), edge) * _step(np.abs(grid.y) - 0.30, 0.08)
    ventricles = _ventricles(grid, head, level, edge)
    csf = np.maximum.reduce([sulci, fissure, ventricles])
    ribbon = _step(0.05 + 0.008 * noise[0] - below_pia, 1.5 * edge)
    beside_fissure = _step(0.045 - np.abs(grid.x), 1.5 * edge) * _step(np.abs(grid.y) - 0.36, 0.08)
    cortex = np.maximum.reduce([ribbon, folded, beside_fissure])
    deep = _deep_gray(grid, level, edge) * (1 - ventricles)

    # Paint from the outside in: each layer covers its fraction of what lies under it.
    layers = [("scalp", head_inside), ("skull", inner_scalp), ("csf", inner_skull), ("white", brain)]
    layers += [("gray", cortex * brain), ("deep", deep * brain), ("csf", csf * brain)]
    if head.lesion is not None:
        layers.append(("lesion", _lesion(head.lesion, grid, level, edge) * brain * (1 - ventricles)))
    inside = np.zeros((len(TISSUES), grid.pixels.size))
    inside[0] = 1
    painted = {0}
    for name, fraction in layers:
        left = 1 - fraction
        for tissue in painted:
            inside[tissue] *= left
        painted.add(TISSUES.index(name))
        inside[TISSUES.index(name)] += fraction
    tissues = np.zeros((len(TISSUES), size[0] * size[1]))
    tissues[0] = 1
    tissues[:, grid.pixels] = inside
    lesion = np.zeros(size, np.bool_)
    if head.lesion is not None:
        lesion.ravel()[grid.pixels] = layers[-1][1] > 0.5
    return Slice(tissues.reshape(len(TISSUES), *size), lesion)


class _Grid:
    """Coordinates in the head's own frame (x to the right, y forward) and depth below its surface.

    Of the pixels that can be less than `margin` outside of the head, in the order of the image; half of an image is
    air, and nothing else needs to be known of it.

    Attributes:
        pixels: (n,) their numbers, row by row.
        x, y, angle, depth: (n,) each.
    """

    def __init__(self, head: Head, level: float, size: tuple[int, int], margin: float) -> None:
        right, up = _frame(size)
        cos, sin = np.cos(head.tilt), np.sin(head.tilt)
        shrink = _width(level)
        x = (cos * right - sin * up) / shrink
        y = (sin * right + cos * up) / shrink
        # The outline below, with every wave at its crest and each half of the head at its widest.
        mean = (head.width + head.length) / 2
        widest = 1.001 + sum(abs(amplitude) for amplitude in head.outline) + margin / mean
        width = head.width * np.where(y < 0, 1.05, 1)
        near = (x / width) ** 2 + (y / head.length) ** 2 < widest**2
        self.pixels = np.flatnonzero(near)
        self.x, self.y = x.ravel()[self.pixels], y.ravel()[self.pixels]
        self.angle: Field = np.arctan2(self.x / head.width, self.y / head.length)
        wave = sum(
            amplitude * (np.cos if i % 2 else np.sin)((i // 2 + 2) * self.angle)
            for i, amplitude in enumerate(head.outline)
        )
        # Heads are a little narrower in front.
        narrow = 1 - 0.05 * np.cos(self.angle)
        radius = np.hypot(self.x / (head.width * narrow), self.y / head.length)
        self.depth: Field = (1 + wave - radius) * mean


def _width(level: float) -> float:
    """Of the head at a height, in its greatest; it closes as a dome above 0.7 and below -0.7."""
    beyond = max(abs(level) - 0.7, 0) / 0.32
    return (1 - 0.10 * min(abs(level), 0.7) ** 2) * float(np.sqrt(max(1 - beyond**2, 1e-4)))


@lru_cache(maxsize=1)
def _frame(size: tuple[int, int]) -> tuple[Field, Field]:
    """(right, up) of each pixel from the centre, (H, W), in halves of the shorter side."""
    half = min(size) / 2
    rows, columns = np.mgrid[: size[0], : size[1]]
    return (columns - (size[1] - 1) / 2) / half, ((size[0] - 1) / 2 - rows) / half


def _step(value: Field, edge: float) -> Field:
    """0 below, 1 above zero, smooth over `edge`: partial volume."""
    return np.clip(value / edge + 0.5, 0, 1)


@lru_cache(maxsize=1)  # the slices of one head come one after the other and share it
def _noise(seed: int, size: tuple[int, int], scales: tuple[float, ...]) -> list[Field]:
    """Smooth random fields with unit variance; scales are fractions of the image's side."""
    rng = np.random.default_rng(seed)
    fields = [gaussian_filter(rng.standard_normal(size), scale * min(size), mode="wrap") for scale in scales]
    return [field / field.std() for field in fields]


def _folds(grid: _Grid, below_pia: Field, noise: list[Field], head: Head, edge: float) -> tuple[Field, Field]:
    """Sulci that dive inwards from the surface, and the gray matter that lines them."""
    rng = np.random.default_rng(head.seed)
    count = round(19 * head.folds)
    # One sulcus a turn of the phase; the noise bends it on its way in.
    turns = count * grid.angle / (2 * np.pi) + 0.33 * noise[1] + 0.1 * noise[0]
    nearest = np.round(turns)
    beside = np.abs(turns - nearest) * 2 * np.pi / count * np.hypot(grid.x, grid.y)
    reach = rng.uniform(0.06, 0.24, count)[nearest.astype(int) % count]
    width = (0.007 + 0.020 * head.atrophy) * np.clip(1.2 - below_pia / reach, 0, 1)
    sulci = _step(width - beside, edge) * _step(reach - below_pia, 2 * edge)
    lining = _step(width + 0.042 - beside, 1.5 * edge) * _step(reach + 0.042 - below_pia, 2 * edge)
    return sulci, lining


@dataclass(frozen=True)
class _Ellipse:
    """An ellipse in the plane of (|x|, y): one on each side of the midline; `weight` is its greatest coverage."""

    centre: tuple[float, float]
    axes: tuple[float, float]
    turn: float
    weight: float = 1.0

    def reach(self, edge: float) -> float:
        """No pixel farther from the centre is covered."""
        return 1.001 * max(self.axes) * (1 + edge / 2 / min(self.axes))

    def coverage(self, x: Field, y: Field, edge: float) -> Field:
        """Share of each pixel inside, times the weight; the edge's width is in units of the shorter axis."""
        cos, sin = np.cos(self.turn), np.sin(self.turn)
        u, v = x - self.centre[0], y - self.centre[1]
        within = 1 - np.hypot((cos * u + sin * v) / self.axes[0], (cos * v - sin * u) / self.axes[1])
        return self.weight * _step(within * min(self.axes), edge)


def _union(ellipses: list[_Ellipse], grid: _Grid, edge: float) -> Field:
    """The greatest coverage of each pixel; only pixels in reach are looked at."""
    x, y = np.abs(grid.x), grid.y
    reaches = [(ellipse.centre, ellipse.reach(edge)) for ellipse in ellipses]
    low, high = min(c[1] - reach for c, reach in reaches), max(c[1] + reach for c, reach in reaches)
    near = np.flatnonzero((x < max(c[0] + reach for c, reach in reaches)) & (y > low) & (y < high))
    x, y = x[near], y[near]
    covered = np.zeros(grid.pixels.size)
    covered[near] = np.maximum.reduce([ellipse.coverage(x, y, edge) for ellipse in ellipses])
    return covered


def _ventricles(grid: _Grid, head: Head, level: float, edge: float) -> Field:
    scale = head.ventricles
    thin = 0.042 * scale
    low = float(np.clip(0.5 - level, 0, 1))
    frontal = _Ellipse((0.085 * scale, 0.19), (thin, 0.15 - 0.03 * level), -0.42)
    body = _Ellipse((0.055 * scale, 0.0), (0.8 * thin, 0.16), 0.1, 1 - low)
    occipital = _Ellipse((0.13 * scale + 0.02, -0.25), (thin, 0.15 + 0.04 * level), 0.45)
    third = _Ellipse((0.0, -0.02), (0.016 * scale, 0.10), 0.0, low)
    return _union([frontal, body, occipital, third], grid, edge)


def _deep_gray(grid: _Grid, level: float, edge: float) -> Field:
    present = float(np.clip(1.1 - 0.9 * max(level, 0), 0, 1))
    caudate = _Ellipse((0.145, 0.17), (0.045, 0.10), -0.35)
    putamen = _Ellipse((0.265, 0.04), (0.055, 0.15), 0.22)
    thalamus = _Ellipse((0.105, -0.09), (0.075, 0.115), 0.35)
    return present * _union([caudate, putamen, thalamus], grid, 2 * edge)


def _lesion(lesion: Lesion, grid: _Grid, level: float, edge: float) -> Field:
    widest = 1.7
    reach = widest * lesion.radius + 1.001 * edge
    near = np.flatnonzero((np.abs(grid.x - lesion.x) < reach) & (np.abs(grid.y - lesion.y) < reach))
    u, v = grid.x[near] - lesion.x, grid.y[near] - lesion.y
    angle = np.arctan2(v, u)
    rng = np.random.default_rng(lesion.seed)
    amplitudes = rng.normal(0, lesion.roughness / np.arange(1, 6))
    phases = rng.uniform(0, 2 * np.pi, 5)
    wave = sum(
        a * np.cos(k * angle + p) for k, (a, p) in enumerate(zip(amplitudes, phases, strict=True), start=1)
    )
    radius = lesion.radius * np.sqrt(1 - 0.35 * level**2) * np.clip(1 + 0.6 * wave, 0.45, widest)
    covered = np.zeros(grid.pixels.size)
    covered[near] = _step(radius - np.hypot(u, v), 2 * edge)
    return covered
