"""Blind baseline: can train and held-out be told apart WITHOUT the model?

If so (another scanner, another year), an attack succeeds on the difference of the groups and says nothing
about memorisation (Das et al. 2024; Meeus et al. 2024): every membership result is then invalid.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import rankdata
from sklearn.linear_model import Ridge
from sklearn.model_selection import KFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor
from torch.nn import functional

from fedgen.data.site_data import LabelledImages
from fedgen.evidence.audit.audited import AuditedGroup, AuditedSite, join, usable
from fedgen.evidence.measure import AuditedModel, Measure, Real
from fedgen.evidence.verdict import Undecided
from fedgen.run.row import Finding, Row, Value, Verdict
from fedgen.study.audit_section import AuditSection
from fedgen_privacy.statistics.auc import bootstrap_interval
from fedgen_privacy.statistics.patients import per_patient

FOLDS = 5

#: penalty on standardised features
RIDGE = 10.0

#: images of at most this many patients a side train the classifier
PATIENTS = 5000

_QUANTILES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)


def simple_features(images: Tensor) -> NDArray[np.float64]:
    """Intensity quantiles, mean, spread, sharpness and a thumbnail of 4 pixels a side of each image, shape (n, f)."""
    pool = functional.adaptive_avg_pool2d if images.ndim == 4 else functional.adaptive_avg_pool3d
    rows = []
    for part in images.split(1024):
        grey = part.float().mean(1)
        flat = grey.flatten(1)
        rows.append(
            torch.cat(
                [
                    torch.quantile(flat, torch.tensor(_QUANTILES), dim=1).T,
                    flat.mean(1, keepdim=True),
                    flat.std(1, keepdim=True),
                    *(grey.diff(dim=k).abs().flatten(1).mean(1, keepdim=True) for k in range(1, grey.ndim)),
                    pool(grey[:, None], 4).flatten(1),
                ],
                dim=1,
            )
        )
    return torch.cat(rows).double().numpy()


def out_of_fold(
    features: NDArray[np.float64], members: NDArray[np.float64], seed: int
) -> NDArray[np.float64]:
    """Ridge scores of being a member, each from a classifier that never saw the patient.

    Args:
        features: (P, f), one row a patient.
        members: (P, R) one labelling of the patients a column, 1 for members.
        seed: of the folds, which are the same for every labelling.

    Returns:
        (P, R) scores. Without an intercept, which would tell the share of members in the other folds.
    """
    scores = np.empty(members.shape)
    for fit, test in KFold(FOLDS, shuffle=True, random_state=seed).split(features):
        model = make_pipeline(StandardScaler(), Ridge(alpha=RIDGE, fit_intercept=False))
        scores[test] = model.fit(features[fit], members[fit]).predict(features[test])
    return scores


def areas_of(members: NDArray[np.float64], scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """`auc` of each column of (P, R) scores under the labelling of the same column; shape (R,)."""
    m = members.sum(axis=0)
    ranks = (rankdata(scores, axis=0) * members).sum(axis=0)
    return (ranks - m * (m + 1) / 2) / (m * (len(members) - m))


def _by_patient(group: AuditedGroup, rng: np.random.Generator) -> NDArray[np.float64]:
    """Mean features of each patient, of `PATIENTS` at most; (P, f)."""
    chosen = group.rows(_sampled(group.patients, rng))
    patients = chosen.patients.numpy()
    return np.stack([per_patient(column, patients, "mean") for column in simple_features(chosen.images).T], 1)


def _sampled(patients: Tensor, rng: np.random.Generator) -> Tensor:
    owners = torch.unique(patients)
    if owners.numel() <= PATIENTS:
        return torch.ones_like(patients, dtype=torch.bool)
    return torch.isin(patients, owners[torch.from_numpy(rng.permutation(owners.numel())[:PATIENTS])])


def blind_baseline(
    cohorts: Sequence[AuditedSite], alpha: float, minimum_patients: int, replicates: int, seed: int
) -> tuple[Undecided, str | None]:
    """The audit row, and why membership results are invalid (None where they are not).

    Invalid means that a one-sided test at alpha / 2, which permutes whole patients between the groups and trains
    anew, rejects "cannot be told apart". Out-of-fold scores depend on each other, so the interval of their AUC is
    shown but does not decide. An AUC far BELOW 0.5 is no sign of a difference: in small groups the left-out
    patients lie on the far side of the mean of those left in.

    Args:
        cohorts: the sites, pooled here; at least one training and one held-out patient.
        alpha: 1 - confidence; deliberately not corrected, since a missed difference invalidates the rest.
        minimum_patients: below this on a side nothing is tested.
        replicates: bootstrap replicates and permutations of patients.
        seed: of folds, bootstrap and permutations.
    """
    rng = np.random.default_rng(seed)
    train, held_out = join([each.train for each in cohorts]), join([each.held_out for each in cohorts])
    n = {"train_patients": train.n_patients, "held_out_patients": held_out.n_patients}
    if min(n.values()) < max(FOLDS, minimum_patients):
        nothing = (Value.of("AUC", None, note="too few patients"),)
        few = Finding(
            verdict=Verdict.INSUFFICIENT,
            sentence="There are too few patients to compare train with held-out.",
        )
        return Undecided(_row(nothing, n, few), ""), None
    sides = [_by_patient(group, rng) for group in (train, held_out)]
    truth = np.repeat([1.0, 0.0], [side.shape[0] for side in sides])
    others = rng.permuted(np.tile(truth, (replicates, 1)), axis=1)
    members = np.concatenate([truth[None], others]).T
    scores = out_of_fold(np.concatenate(sides), members, seed)
    areas = areas_of(members, scores)
    low, high = bootstrap_interval(scores[truth == 1, 0], scores[truth == 0, 0], alpha, replicates, rng)
    p = float(np.mean(areas >= areas[0]))
    values = (
        Value.of("AUC", float(areas[0]), low, high, "of a classifier that never saw the model"),
        Value.of("p, told apart (permutation of patients, one-sided)", p),
    )
    calm = (
        "Train and held-out patients cannot be told apart without the model, so an attack's success counts."
    )
    if p > alpha / 2:
        return Undecided(_row(values, n), calm), None
    why = (
        f"train and held-out patients differ without the model (AUC {areas[0]:.2f}, p = {p:.2g}); "
        "split the patients at random."
    )
    finding = Finding(verdict=Verdict.REVIEW, sentence=f"Membership results are invalid: {why}")
    return Undecided(_row(values, n, finding), calm), why


def _row(values: tuple[Value, ...], n: dict[str, int], *findings: Finding) -> Row:
    return Row(
        id=BlindBaseline.id,
        title=BlindBaseline.title,
        group="audit",
        about="Do training and held-out patients differ even without the model? Then membership results mean nothing.",
        values=values,
        n=n,
        findings=findings,
    )


def baseline(real: Real, options: AuditSection, seed: int) -> tuple[Undecided, str | None]:
    """`blind_baseline` of the sites that have training and held-out patients, made once."""
    return real.once(
        ("blind", options, seed),
        lambda: blind_baseline(
            usable(real), options.alpha, options.minimum_patients, options.bootstrap, seed
        ),
    )


@dataclass(frozen=True)
class BlindBaseline(Measure):
    """A classifier that never saw the model."""

    id = "blind-baseline"
    title = "Blind baseline"
    order = 3
    of_images = False
    options: AuditSection

    def measure(
        self, real: Real, made: LabelledImages, model: AuditedModel | None, seed: int
    ) -> Iterator[Undecided]:
        """One row."""
        yield baseline(real, self.options, seed)[0]
