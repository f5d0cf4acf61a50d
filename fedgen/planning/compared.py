"""Means compared for one cohort, and the one recommended: in sentences, and as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from fedgen.families.registry import specs
from fedgen.planning.alternatives import Alternative, alternatives, by_itself
from fedgen.planning.published import FAMILY
from fedgen.planning.recommend import ENOUGH_FOR_STEPS, LEAST_FOR_STEPS, Recommendation, recommended
from fedgen.study.study import Study

RULE = (
    f"The rule is one of thumb: DP-SGD where its signal to noise is {ENOUGH_FOR_STEPS:g} or more and a sum first from "
    f"{LEAST_FOR_STEPS:g}, which are what DPDM on MNIST has at epsilon 1 (FID 23.4) and 0.2 (FID 61.9) by the same "
    "formula; below that one sum, which on chest X-rays of 87 training patients at epsilon 3 beat gradients of 0.04 to "
    "0.14; and nothing where a sum is shorter than its noise. What a model makes of its ratio no formula "
    "says."
)


@dataclass(frozen=True)
class Comparison:
    """All means and the one to take.

    Attributes:
        found: every means.
        recommendation: which to take, and why.
    """

    found: tuple[Alternative, ...]
    recommendation: Recommendation


def compare(variants: Mapping[str, Study], patients: Sequence[int], family: str) -> Comparison:
    """Every means for these patients.

    Args:
        variants: the study in each family, all with privacy.
        patients: training patients of each site.
        family: the study's own, which is preferred to others of its kind.
    """
    preferred = (family, FAMILY) if specs()[family].sums else (family,)
    found = alternatives(variants, patients, preferred)
    return Comparison(found, recommended(found, preferred))


def sentences(comparison: Comparison, study: Study) -> list[str]:
    """What is recommended and why, by which rule, and what could not be had."""
    take, reason = comparison.recommendation.take, comparison.recommendation.reason
    if take is None:
        first = f"Recommended: nothing, because {reason}."
    else:
        same = take.families == (study.model.family,)
        what = "this study as it is" if same else f"{take.name} ({words(take)})"
        first = f"Recommended: {what}, because {reason}."
    lines = [first, RULE]
    if study.model.chosen is not None:
        lines.insert(0, f"model.family was auto: {study.model.chosen}")
    lines += [f"{each.name} cannot be had: {each.why_not}" for each in comparison.found if each.why_not]
    if take is not None and take.kind != "steps":
        lines += [
            f"{each.name} could be summed too ({specs()[each.name].summary}): which sum suits depends on what tells "
            "the classes apart, and no ratio knows that."
            for each in comparison.found
            if each.kind == "sum" and each.why_not is None and each.name != take.families[0]
        ]
    there = {family for each in comparison.found for family in each.families}
    lines += [
        f"{name} would be one more: it needs a public prior (model.prior), since {spec.needs_prior}."
        for name, spec in specs().items()
        if spec.private and spec.needs_prior and name not in there
    ]
    return lines


def better_sum(variants: Mapping[str, Study], patients: Sequence[int], study: Study) -> str | None:
    """Why one sum would do better than this study's steps, in a sentence; None where it would not, or nobody can say.

    Args:
        variants: the study in each family that it can be of.
        patients: training patients of each site; not empty.
        study: as it would run.
    """
    if not study.privacy.private or not study.steps:
        return None
    private = {name: each for name, each in variants.items() if specs()[name].private}
    found = [by_itself(each, patients) for name, each in private.items() if specs()[name].sums]
    advice = recommended([by_itself(study, patients), *found])
    if advice.take is None or advice.take.kind != "sum":
        return None
    return (
        f"by a rule of thumb the family {advice.take.name} would do better for so few patients: {advice.reason} "
        "(`fedgen privacy plan` compares them)"
    )


def words(alternative: Alternative) -> str:
    """What kind of means it is, in words."""
    if alternative.kind == "sum":
        return "one private sum"
    if alternative.kind == "steps":
        pretrained = any(leg.start == "pretrained" for leg in alternative.legs)
        return "DP-SGD from pretrained weights" if pretrained else "DP-SGD from random weights"
    return "the sum, then DP-SGD from weights pretrained on its samples"


def to_json(comparison: Comparison) -> dict[str, Any]:
    """Everything, as plain values."""
    take = comparison.recommendation.take
    return {
        "alternatives": [_plain(each) for each in comparison.found],
        "recommended": None if take is None else {"kind": take.kind, "families": list(take.families)},
        "reason": comparison.recommendation.reason,
        "rule": RULE,
    }


def _plain(alternative: Alternative) -> dict[str, Any]:
    values = asdict(alternative)
    legs = [{**leg, "noise": list(leg["noise"])} for leg in values["legs"]]
    return {**values, "families": list(values["families"]), "legs": legs}
