"""Each linear judge sees what it is named for and is blind to what it is said to be blind to; scripts get them all."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate

from fedgen.evidence import remembered
from fedgen.evidence.downstream.arms import TrainingSet
from fedgen.evidence.downstream.features import BLOCK, ORIENTATIONS, texture_features
from fedgen.evidence.downstream.judged import JUDGES, auroc, judged, predicted, site_alone, within_sites
from fedgen.evidence.downstream.judges import Known, LinearInRows
from fedgen.evidence.downstream.linear import COMPONENTS, LINEAR, LinearJudge


def gradients(image: np.ndarray, cell: int) -> np.ndarray:
    """Histograms of oriented gradients, pixel by pixel as Dalal and Triggs (2005) write them, blocks by their norm."""
    rows, columns = np.zeros_like(image), np.zeros_like(image)
    rows[1:-1] = image[2:] - image[:-2]
    columns[:, 1:-1] = image[:, 2:] - image[:, :-2]
    size, angle = np.hypot(rows, columns), np.degrees(np.arctan2(rows, columns)) % 180
    cells = np.zeros((image.shape[0] // cell, image.shape[1] // cell, ORIENTATIONS))
    for y in range(cells.shape[0] * cell):
        for x in range(cells.shape[1] * cell):
            turn = int(angle[y, x] / (180 / ORIENTATIONS)) % ORIENTATIONS
            cells[y // cell, x // cell, turn] += size[y, x] / cell**2
    blocks = []
    for y in range(cells.shape[0] - BLOCK + 1):
        for x in range(cells.shape[1] - BLOCK + 1):
            block = cells[y : y + BLOCK, x : x + BLOCK].ravel()
            block = np.minimum(block / np.sqrt((block**2).sum() + 1e-10), 0.2)
            blocks.append(block / np.sqrt((block**2).sum() + 1e-10))
    return np.concatenate(blocks)


@pytest.mark.parametrize(("size", "cell"), [((32, 32), 4), ((28, 36), 4), ((16, 16), 2)])
def test_texture_features_are_those_of_the_paper(size: tuple[int, int], cell: int) -> None:
    image = torch.rand(2, 1, *size, generator=torch.Generator().manual_seed(0)) * 2 - 1
    expected = np.stack([gradients(each[0].double().numpy(), cell) for each in image])
    assert texture_features(image) == pytest.approx(expected, abs=1e-5)
    # The channels are averaged, and neither brightness nor contrast is seen.
    assert texture_features(image.expand(-1, 3, -1, -1)) == pytest.approx(expected, abs=1e-5)
    assert texture_features(image * 0.5 + 0.2) == pytest.approx(expected, abs=1e-3)


def striped(n: int, seed: int) -> tuple[Tensor, Tensor]:
    """Noise with fine stripes of any phase, along the rows in class 0 and along the columns in class 1."""
    rng = torch.Generator().manual_seed(seed)
    labels = torch.arange(n) % 2
    phase = torch.rand(n, 1, generator=rng) * 2 * torch.pi
    wave = torch.sin(torch.arange(32) * torch.pi / 2 + phase)[:, None, :, None].expand(-1, -1, -1, 32)
    stripes = torch.where(labels[:, None, None, None] == 1, wave.transpose(2, 3), wave)
    noise = torch.randn(n, 1, 32, 32, generator=rng)
    return (stripes * 0.3 + noise * 0.2).clamp(-1, 1), labels


def shaded(n: int, seed: int) -> tuple[Tensor, Tensor]:
    """Noise, and in class 1 a slow shade from left to right whose gradient is far below the noise's."""
    labels = torch.arange(n) % 2
    rng = torch.Generator().manual_seed(seed)
    shade = torch.linspace(-0.15, 0.15, 32).expand(n, 1, 32, 32) * labels[:, None, None, None]
    return (torch.randn(n, 1, 32, 32, generator=rng) * 0.3 + shade).clamp(-1, 1), labels


def scores(make: object, names: tuple[str, ...]) -> dict[str, float]:
    images, labels = make(80, 0)  # type: ignore[operator]
    test, truth = make(60, 1)  # type: ignore[operator]
    return judged(images, labels, test, truth, judges=names)


def test_texture_is_seen_by_its_judge_and_not_in_pixels_means() -> None:
    found = scores(striped, ("texture", "pixel"))
    assert found["texture"] > 0.95 and abs(found["pixel"] - 0.5) < 0.2


def test_a_shade_is_seen_in_pixels_and_not_by_the_texture_judge() -> None:
    found = scores(shaded, ("texture", "pixel"))
    assert found["pixel"] > 0.95 and found["texture"] < 0.8


def test_images_that_are_smooth_teach_no_texture() -> None:
    """A copy of the training set with a resolution of eight pixels: what it lost, the texture judge lost."""
    test, truth = striped(40, 100)
    found = []
    # Real classes lie so far apart that any direction parts them, in the right order or the wrong one: many sets.
    for seed in range(8):
        images, labels = striped(40, seed)
        smooth = interpolate(avg_pool2d(images, 8), size=32, mode="bilinear")
        found.append(
            [judged(each, labels, test, truth, judges=("texture",))["texture"] for each in (images, smooth)]
        )
    sharp, blurred = np.mean(found, axis=0)
    assert sharp > 0.95 and blurred < 0.8


def test_a_script_gets_every_judge_the_same_each_time() -> None:
    images, labels = striped(24, 0)
    test, truth = striped(20, 1)
    found = predicted(images, labels, test, 2, steps=4, seeds=2)
    assert tuple(found) == JUDGES == ("network", *LINEAR)
    assert [len(each) for each in found.values()] == [2, 1, 1, 1]
    for each in found.values():
        assert all(p.shape == (20, 2) and p.sum(axis=1) == pytest.approx(np.ones(20)) for p in each)
    means = judged(images, labels, test, truth, steps=4, seeds=2)
    assert means == {
        name: pytest.approx(auroc(truth.numpy(), np.mean(each, axis=0))) for name, each in found.items()
    }
    assert means["network"] == pytest.approx(roc_auc_score(truth, sum(p[:, 1] for p in found["network"])))


def test_fewer_images_than_components_are_learnt_from() -> None:
    images, labels = striped(8, 0)
    assert len(images) < COMPONENTS
    assert judged(images, labels, *striped(20, 1), judges=("texture",))["texture"] > 0.5


@pytest.mark.parametrize(
    ("name", "scale"),
    [("simple", StandardScaler()), ("texture", PCA(COMPONENTS, svd_solver="full")), ("pixel", "passthrough")],
)
def test_an_image_that_is_there_several_times_weighs_as_much_as_its_copies(name: str, scale: object) -> None:
    rng = np.random.default_rng(0)
    # A spectrum that falls, as that of images, so that the components are well told apart.
    features = rng.normal(size=(90, 60)) * np.geomspace(3, 0.05, 60)
    labels = (features[:, 0] + features[:, 1] + rng.normal(size=90) > 0).astype(np.int64) * 2
    rows, test = rng.integers(90, size=400), rng.normal(size=(30, 60))
    labelled = [labels[rows], rng.permutation(labels[rows])]
    found = LINEAR[name].teach(features, labelled, rows).think(test, 3)
    for given, seen in zip(labelled, found, strict=True):
        model = LogisticRegression(
            C=LINEAR[name].inverse_penalty, class_weight="balanced", max_iter=1000, tol=1e-8
        )
        plain = make_pipeline(scale, model).fit(features[rows], given)
        assert seen[:, [0, 2]] == pytest.approx(plain.predict_proba(test), abs=2e-3)
        assert not seen[:, 1].any()


def test_equal_images_of_a_release_are_learnt_from_once(monkeypatch: pytest.MonkeyPatch) -> None:
    fitted: list[int] = []
    plain = LogisticRegression.fit

    def counting(self: LogisticRegression, x: np.ndarray, *others: object, **more: object) -> object:
        fitted.append(len(x))
        return plain(self, x, *others, **more)

    monkeypatch.setattr(LogisticRegression, "fit", counting)
    images, labels = striped(12, 0)
    again = torch.arange(60) % 12
    rows = torch.arange(60)
    sets = [TrainingSet(images[again], labels[again], rows, rows)]
    own = np.empty((0, 1))
    features = LINEAR["pixel"].features(images[again])
    test = LINEAR["pixel"].features(striped(8, 1)[0])
    judge = LinearInRows("pixel", own.reshape(0, features.shape[1]), features, test, Known.of(images[again]))
    found = judge.learn(sets, 2)[0]
    assert fitted == [12]
    assert found == pytest.approx(LINEAR["pixel"](features, labels[again].numpy(), test, 2), abs=1e-4)
    assert fitted == [12, 60]


def test_knowing_the_site_is_worth_nothing_within_sites() -> None:
    labels, sites = torch.tensor([0, 0, 0, 1, 0, 1, 1, 1]), torch.tensor([0, 0, 0, 0, 1, 1, 1, 1])
    alone = site_alone(labels, sites, sites, 2)
    assert auroc(labels.numpy(), alone) == 0.75
    assert within_sites(labels, [alone, alone], sites) == 0.5


def test_what_is_learnt_of_a_release_alone_is_learnt_once_and_is_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    taught: list[int] = []
    plain = LinearJudge.teach

    def counting(self: LinearJudge, features: object, labelled: object, rows: np.ndarray) -> object:
        taught.append(len(rows))
        return plain(self, features, labelled, rows)  # type: ignore[arg-type]

    monkeypatch.setattr(remembered, "_known", {})
    monkeypatch.setattr(LinearJudge, "teach", counting)
    rng = np.random.default_rng(0)
    release = Known("release", np.arange(30))
    of_release, labels = rng.normal(size=(30, 4)), torch.arange(30) % 2
    for n in (10, 12):
        own, test = rng.normal(size=(n, 4)), rng.normal(size=(7, 4))
        rows = torch.arange(n, n + 30)
        sets = [TrainingSet(torch.zeros(30, 1), each, rows, rows) for each in (labels, 1 - labels)]
        found = LinearInRows("simple", own, of_release, test, release).learn(sets, 2)
        for each, seen in zip(sets, found, strict=True):
            expected = plain(LINEAR["simple"], of_release, [each.labels.numpy()]).think(test, 2)[0]
            assert seen == pytest.approx(expected)
        both = TrainingSet(torch.zeros(n + 30, 1), torch.arange(n + 30) % 2, *[torch.arange(n + 30)] * 2)
        LinearInRows("simple", own, of_release, test, release).learn([both], 2)
    assert taught == [30, 40, 42]
