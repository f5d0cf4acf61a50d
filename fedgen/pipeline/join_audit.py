"""The audits of single sites, each on its own patients, joined into one audit.json: pure functions of numbers."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from fedgen.evidence.audit.result import Verdict
from fedgen.evidence.audit.verdict import SEVERITY, worst
from fedgen.study.study import Study

Json = dict[str, Any]

#: Counts that are the same at every site, not a part of each.
COMMON = frozenset({"synthetic_images"})
_PATIENTS = re.compile(r"\d+ (training|held-out|test) ")
WHERE = (
    "The sites audited the model and the synthetic images, each against its own patients on its own machine. Only "
    "these numbers left them, as far as each site's policy allows; the training's epsilon does not cover them."
)
CALM = "No audit of any site found that the release or the model gives a training patient away."


def join_audits(study: Study, audits: Mapping[str, Json], absent: Mapping[str, str]) -> Json:
    """The content of audit.json.

    The verdict is the most severe of the sites'. A site whose patients are in the model and that sent no audit makes
    it INSUFFICIENT at best: nothing is known of its patients, and nothing that is unknown passes.

    Args:
        study: the resolved study.
        audits: site to its `AuditNumbers`.
        absent: sites in the model without an audit, with the reason.
    """
    sites = sorted(audits)
    rows = [_joined_row(id, audits) for id in _ids(audits)]
    verdicts = [Verdict(audits[site]["verdict"]) for site in sites]
    verdicts += [Verdict(row["verdict"]) for row in rows]
    verdicts += [Verdict.INSUFFICIENT] * bool(absent or not sites)
    claims = [audits[site]["claim"]["epsilon"] for site in sites]
    return {
        "verdict": worst(verdicts).value,
        "reasons": _reasons(audits, absent),
        "alpha": study.audit.alpha,
        "n": summed([audits[site]["n"] for site in sites]),
        "claim": {
            "epsilon": max((e for e in claims if e is not None), default=None),
            "delta": study.privacy.delta,
        },
        "where": WHERE,
        "sites": [
            {"site": site, **{key: audits[site][key] for key in ("verdict", "reasons", "n", "claim")}}
            for site in sites
        ],
        "absent": [{"site": site, "reason": absent[site]} for site in sorted(absent)],
        "audits": rows,
        "limits": [*joined_limits({site: audits[site]["limits"] for site in sites}), *_limits(study, sites)],
        "seed": study.study.seed,
    }


def _ids(audits: Mapping[str, Json]) -> list[str]:
    return list(dict.fromkeys(row["id"] for site in sorted(audits) for row in audits[site]["audits"]))


def _joined_row(id: str, audits: Mapping[str, Json]) -> Json:
    """One audit over the sites: no number is pooled, since the sites' distances and scores are not comparable."""
    found = {site: row for site in sorted(audits) for row in audits[site]["audits"] if row["id"] == id}
    verdict = worst([Verdict(row["verdict"]) for row in found.values()])
    reasons = {site: row["reason"] for site, row in found.items() if row["verdict"] == verdict.value}
    return {
        "id": id,
        "title": next(iter(found.values()))["title"],
        "verdict": verdict.value,
        "reason": " ".join(
            text if len(sites) == len(found) else f"{', '.join(sites)}: {text}"
            for text, sites in by_text(reasons).items()
        ),
        "values": [],
        "per_site": [
            {"site": site, **{key: row[key] for key in ("verdict", "reason", "values", "n")}}
            for site, row in found.items()
        ],
        "n": summed([row["n"] for row in found.values()]),
    }


def _reasons(audits: Mapping[str, Json], absent: Mapping[str, str]) -> list[str]:
    said: dict[tuple[Verdict, str], dict[str, str]] = {}
    for site in sorted(audits):
        rows = audits[site]["audits"]
        for row in rows:
            said.setdefault((Verdict(row["verdict"]), row["title"]), {})[site] = row["reason"]
        own = Verdict(audits[site]["verdict"])
        if own is not worst([Verdict(row["verdict"]) for row in rows]):
            said.setdefault((own, "Its own verdict"), {})[site] = f"{own.value}."
    raised = [
        (verdict, f"{title} at {', '.join(sites)}: {text}")
        for (verdict, title), texts in said.items()
        if verdict is not Verdict.PASS
        for text, sites in by_text(texts).items()
    ]
    raised += [
        (Verdict.INSUFFICIENT, f"{site} is in the model and sent no audit ({why}).")
        for site, why in sorted(absent.items())
    ]
    raised.sort(key=lambda each: SEVERITY.index(each[0]))
    if not audits:
        raised.append((Verdict.INSUFFICIENT, "No site sent an audit."))
    return [text for _, text in raised] or [CALM]


def by_text(texts: Mapping[str, str]) -> dict[str, list[str]]:
    """Each different text with the sites that say it."""
    sites: dict[str, list[str]] = {}
    for site, text in texts.items():
        sites.setdefault(text, []).append(site)
    return sites


def summed(counts: Sequence[Mapping[str, int]]) -> dict[str, int]:
    """Counts over the sites; those of the release, which is one, are not added up."""
    keys = dict.fromkeys(key for each in counts for key in each)
    return {
        key: (max if key in COMMON else sum)([each[key] for each in counts if key in each]) for key in keys
    }


def joined_limits(limits: Mapping[str, Sequence[str]]) -> list[str]:
    """What every site says, once; what only some say, with their names.

    A sentence with a number of patients speaks of each site alone, even where the numbers happen to be equal.
    """
    sites: dict[str, list[str]] = {}
    for site, said in limits.items():
        for text in said:
            sites.setdefault(text, []).append(site)
    return [
        text if len(who) == len(limits) and not _PATIENTS.search(text) else f"{', '.join(who)}: {text}"
        for text, who in sites.items()
    ]


def _limits(study: Study, sites: Sequence[str]) -> list[str]:
    said = []
    if len(sites) > 1:
        chance = min(1.0, len(sites) * study.audit.alpha)
        said.append(
            f"Each site corrected its tests for their number (family-wise error {study.audit.alpha:g}); over "
            f"{len(sites)} sites, a harmless release fails to pass by chance with a probability of up to {chance:.0%}."
        )
    if sites:
        said.append(
            "The numbers of a site are as the site sent them: nobody else can check them without its patients."
        )
    return said
