"""What the numbers of an audit and of an evaluation do not say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fedgen.evidence.downstream.arms import SHUFFLED
from fedgen.evidence.downstream.cells import SAID
from fedgen.run.row import Row, Value, cut
from fedgen_privacy.statistics.auc import minimum_detectable

#: What no number of one run could say.
_ALWAYS = (
    "One synthetic set of one trained generator was evaluated: no interval covers training it again.",
    "These numbers are computed from real patients and are not covered by the training's epsilon.",
)
#: Of a two-sided test at 5 %, from the half-width of its interval to what it finds in 80 % of studies.
_TO_POWER = (1.959964 + 0.841621) / 1.959964
_POOLED = "TRTR pools the real images of all sites, which a simulation can do and a federation cannot."
#: Of an audit without released images.
OF_MODELS = (
    "The release is the model, not images of patients: copies, neighbours and data copying are audits of released "
    "images, and do not apply."
)
#: Of an evaluation of volumes.
OF_VOLUMES = "Volumes were evaluated by their middle slices alone; the audit compared them whole."
FEW_PATIENTS = 30


def translation_limits(test_patients: int, n_sites: int) -> tuple[str, ...]:
    """What an evaluation of a translation does not say.

    Args:
        test_patients: in the TEST part of all sites.
        n_sites: sites evaluated together.
    """
    found = [
        "One trained model was evaluated: no spread covers training it again.",
        "Intervals cover the choice of test patients; they are not corrected for the number of comparisons.",
        "A small error is not a small risk: a lesion that is missing, or one that is not there, is few voxels.",
        "These numbers are computed from real patients and are not covered by the training's epsilon.",
    ]
    if n_sites > 1:
        found.append("The controls are fitted to the patients of all sites, which a federation cannot do.")
    if test_patients < FEW_PATIENTS:
        found.append(few_patients(test_patients))
    return tuple(found)


def few_patients(test_patients: int) -> str:
    """That intervals are of few patients."""
    return f"Only {test_patients} test patients: intervals from so few are uncertain, mostly too narrow."


def evaluation_limits(rows: Sequence[Row], test_patients: int, n_sites: int) -> tuple[str, ...]:
    """What no number of one run says, and what these rows show that they cannot say: power, confounding, few patients.

    Args:
        rows: of the evaluation.
        test_patients: in the TEST part of all sites.
        n_sites: sites evaluated together.
    """
    found = [*_ALWAYS, _POOLED] if n_sites > 1 else list(_ALWAYS)
    if test_patients < FEW_PATIENTS:
        found.append(few_patients(test_patients))
    by_id = {row.id: row for row in rows}
    found += [
        sentence
        for say in (_power, _confounded, _uncertain_distances, _uncorrected)
        if (sentence := say(by_id))
    ]
    for row in rows:
        if row.id not in SHUFFLED or (mean := _away_from_chance(row.get(SAID["simple"]))) is None:
            continue
        found.append(
            f"The control {row.id} is not at chance (AUROC of the simple judge {mean:.2f}): something else than the "
            "labels may be in the scores of other arms as well."
        )
    return tuple(found)


def _power(rows: Mapping[str, Row]) -> str | None:
    """The least difference that so many patients could show."""
    row = rows.get("TSTR-against-TRTR")
    match None if row is None else row.get(SAID["auroc"]):
        case Value(low=float(low), high=float(high)) if high > low and row is not None:
            least = (high - low) / 2 * _TO_POWER
            patients = next(iter(row.n.values()), 0)
            return (
                f"With {patients} test patients a difference in AUROC between real and synthetic training below about "
                f"{least:.2f} would mostly go unseen: that none is seen is no proof that there is none."
            )
    return None


def _confounded(rows: Mapping[str, Row]) -> str | None:
    """What knowing the site is worth, where classes and sites go together."""
    row = rows.get("site-alone")
    match None if row is None else row.get(SAID["auroc"]):
        case Value(value=float(value), low=float(low)) if low > 0.5:
            return (
                f"Classes and sites go together: who knows an image's site alone has an AUROC of {value:.2f}, and so "
                "much of any AUROC over all sites may be the site's. Read those within sites."
            )
    return None


def _uncertain_distances(rows: Mapping[str, Row]) -> str | None:
    """Which distances have more features than images."""
    ill = [
        row.title for row in rows.values() if row.note is not None and row.note.startswith("Ill-conditioned")
    ]
    if not ill:
        return None
    images = min(row.n.get("real_images", 0) for row in rows.values() if row.title in ill)
    return cut(
        f"{', '.join(ill)} have no more images ({images}) than features: read them against their floors alone."
    )


def _uncorrected(rows: Mapping[str, Row]) -> str | None:
    """How many intervals there are, of which one in twenty misses by luck."""
    many = sum(
        value.low is not None
        for row in rows.values()
        for part in (row, *row.per_site)
        for value in part.values
    )
    if not many:
        return None
    return (
        f"{many} intervals are given, each of 95 %: of so many, {max(1, round(many / 20))} or so miss by luck. "
        "The claims are corrected for their number, the intervals are not."
    )


def _away_from_chance(mean: Value | None) -> float | None:
    """The mean over shuffles, where neither patients nor shuffles explain how far it is from 0.5."""
    match mean:
        case Value(value=float(value), low=float(low), high=float(high)) if not low <= 0.5 <= high:
            return value
    return None


def canary_limits(canaries: int) -> tuple[str, ...]:
    """What a study with canaries must say of them; nothing of one without.

    Args:
        canaries: m of each site.
    """
    if not canaries:
        return ()
    return (
        f"Each site made up {canaries} canaries (patterns of squares, no patient), and about half of them were trained "
        "on as patients are: they are in the model and, faintly, in what it draws.",
        "Canaries show the worst case that was tried, by the loss of the final model alone: a stronger attack may "
        "prove a larger epsilon, and a bound of 0 is no evidence of privacy.",
    )


def sample_limits(n: Mapping[str, int], alpha: float, epsilon: float | None) -> tuple[str, ...]:
    """What an audit of images alone cannot show; arguments as of `audit_limits`."""
    said = [
        *_of_patients(n, alpha),
        "No model was asked: whoever may have the model, or may ask it, needs an audit of the model.",
        "Whether the held-out people are like those who trained, of the same places and times, whoever gave them must "
        "know; the blind baseline sees coarse differences alone.",
        "These results depend on the patients' images: no differential privacy covers them.",
    ]
    if epsilon is None:
        said.append("No differential privacy was claimed: nothing but this audit speaks for the images.")
    return tuple(said)


def _of_patients(n: Mapping[str, int], alpha: float) -> list[str]:
    least = minimum_detectable(n["train_patients"], n["audit_patients"], alpha)
    said = [
        f"With {n['train_patients']} training and {n['audit_patients']} held-out patients an attack with an "
        f"AUC below about {least:.2f} cannot be detected.",
        "Distances between images do not find every leak: a release that passes may still be attacked with "
        "better means (Yao et al. 2025).",
        "Copies planted as a control are pixel for pixel, or shifted with noise: a copy that is altered otherwise may "
        "go unseen.",
    ]
    if n["audit_patients"] < 100:
        said.append(
            f"A false positive rate of 1 % cannot be measured with {n['audit_patients']} held-out patients: "
            "the TPR is given above all of them."
        )
    return said


def audit_limits(
    n: Mapping[str, int], alpha: float, epsilon: float | None, small: Sequence[str]
) -> tuple[str, ...]:
    """What an audit of so many patients cannot show.

    Args:
        n: `train_patients` and `audit_patients`.
        alpha: 1 - confidence.
        epsilon: claim of the training; None without DP.
        small: sites with too few patients to be judged alone.
    """
    said = [
        *_of_patients(n, alpha),
        "The attacks on the model are those that its family knows; one with reference models can be stronger.",
        "These results depend on the patients' data and are not covered by the training's epsilon.",
        "Attacks of one site on another site's patients are not part of this audit.",
    ]
    if epsilon is None:
        said.append(
            "The model was trained without differential privacy: nothing but this audit speaks for it."
        )
    if small:
        said.append(cut(f"Too few patients to judge alone, so only within all sites: {', '.join(small)}."))
    return tuple(said)
