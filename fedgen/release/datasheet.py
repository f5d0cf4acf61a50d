"""The datasheet of a release, in plain language: facts of the run and nothing else.

The headings are those of Gebru et al. (arXiv 1803.09010). What nobody wrote down is said to be unknown.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from fedgen.protocol.receipt import Withdrawn
from fedgen.release.release_manifest import ReleaseManifest, SiteLineage
from fedgen.run_view import RunView

_UNKNOWN = "Not written down."


def datasheet(manifest: ReleaseManifest, view: RunView, worth: str | None) -> str:
    """The page, Markdown.

    Args:
        manifest: of the release; its files are not looked at.
        view: the run.
        worth: what the evaluation says in a sentence; None where it says nothing.
    """
    parts = (
        _head(manifest),
        _motivation(manifest),
        _composition(manifest, view),
        _collection(manifest),
        _preprocessing(view),
        _uses(manifest, worth),
        _distribution(manifest),
        _maintenance(manifest),
    )
    return "\n".join(line for part in parts for line in (*part, ""))


def _head(m: ReleaseManifest) -> Iterator[str]:
    what = "Synthetic images" if m.kind == "images" else "A model that makes one image from others"
    yield f"# Datasheet: {m.title}"
    yield ""
    yield (
        f"{what}, made by fedgen {m.code.fedgen}. **{m.privacy.statement}** The audit's verdict is "
        f"**{m.gate.verdict}**{_accepted(m)}. Written from the facts of the run; the headings are those of Gebru et "
        "al., Datasheets for Datasets."
    )


def _accepted(m: ReleaseManifest) -> str:
    if m.gate.accepted is None:
        return ""
    by = m.gate.accepted
    return f", accepted by {by.name} on {by.time[:10]}: {by.why}"


def _motivation(m: ReleaseManifest) -> Iterator[str]:
    yield "## Motivation"
    yield ""
    yield f"* For what purpose was it made? {m.study.description or _UNKNOWN}"
    yield f"* Who made it? {m.signer.name}, with the sites {', '.join(site.site for site in m.lineage.sites)}."
    yield f"* By which study? {m.study.name}, SHA-256 `{m.study.sha256}`; all of it is in `study.yaml`."


def _composition(m: ReleaseManifest, view: RunView) -> Iterator[str]:
    study = view.study
    yield "## Composition"
    yield ""
    if m.kind == "images" and study is not None:
        made = study.synthesis
        yield (
            f"* What is in it? {made.images} synthetic images as {', '.join(made.formats)}, each of a patient who does "
            f"not exist{', with their masks' if study.made.mask is not None else ''}. `images/labels.csv` lists them."
        )
        yield f"* Classes: {', '.join(study.data.labels) or 'none, since the study reads no labels'}."
    elif study is not None:
        sources = " and ".join(source.name for source in study.made.sources)
        yield f"* What is in it? One model, which makes {study.made.makes[0].name} from {sources}. It holds no image."
    yield f"* {_grid(m)}"
    yield (
        "* Whose patients is it made of? "
        + (
            "Nobody's: the training images were phantoms, which fedgen draws."
            if m.lineage.source == "phantom"
            else f"With privacy: {_names(m.lineage.protected)}. Without privacy: {_names(m.lineage.unprotected)}."
        )
    )
    for site in m.lineage.sites:
        yield f"  * {site.site}: {_site(site)}"
    yield f"* Is anything about real people in it? {_about_people(m)}"
    yield "* Labels: each image was drawn for its class; nobody has looked at it and found the class again."
    for finding in view.summary.findings:
        yield f"* Noted: {finding}"


def _grid(m: ReleaseManifest) -> str:
    if m.image is None:
        return "Size, spacing and orientation of an image: not known."
    image = m.image
    spacing = (
        "not known" if image.spacing is None else " x ".join(f"{side:g}" for side in image.spacing) + " mm"
    )
    return (
        f"An image has {image.channels} channel{'s' * (image.channels != 1)} of "
        f"{' x '.join(map(str, image.size))}; spacing {spacing}; orientation {image.orientation or 'not known'}."
    )


def _site(site: SiteLineage) -> str:
    rounds = ", ".join(f"{a}" if a == b else f"{a} to {b}" for a, b in site.rounds)
    epsilon = "without privacy" if site.epsilon is None else f"epsilon {_up(site.epsilon)} at most"
    signed = "it signed a receipt" if site.receipt else "it signed no receipt"
    return f"in rounds {rounds}, {epsilon}; {signed}{_withdrawn(site.withdrawn)}."


def _withdrawn(found: Sequence[Withdrawn] | None) -> str:
    if found is None:
        return ", so that withdrawals are not known"
    if not found:
        return ", by which no training patient withdrew"
    said = (
        f"{each.patients} withdrew after round {each.after_round}"
        if each.after_round
        else f"{each.patients} before any"
        for each in found
    )
    return (
        f", by which of its training patients {' and '.join(said)}, and later rounds were made without them"
    )


def _about_people(m: ReleaseManifest) -> str:
    if m.lineage.source == "phantom":
        return "No."
    if m.privacy.epsilon is None:
        return (
            "It must be assumed: nothing bounds what the model learned of a single patient. The audit looked for "
            "copies and for patients who can be told to have taken part; what it did not find can still be there."
        )
    return (
        f"At most what epsilon {_up(m.privacy.epsilon)} and delta {m.privacy.delta:g} allow of one {m.privacy.unit} "
        f"({m.privacy.holds_against}). It is not called anonymous: that is for each controller to judge."
    )


def _collection(m: ReleaseManifest) -> Iterator[str]:
    how = {
        "phantom": "The training images were generated by fedgen.",
        "folder": "The training images lay in one place and were divided into virtual sites (a simulation).",
        "federation": "The training images stayed at their sites; updates left them as the study says.",
    }
    yield "## Collection process"
    yield ""
    yield f"* How were the patients' images acquired? {_UNKNOWN} {how[m.lineage.source]}"
    yield "* Did the patients consent, and was there an ethical review? Not written down here: ask the sites."
    yield (
        "* Can consent be revoked? At a site, at any time: she is out of every later step. What was learned before "
        "stays."
    )
    yield (
        "* What else was it made of? "
        + (
            "Nothing: training began with random numbers."
            if not m.priors
            else " ".join(
                f"{prior.source} (licence: {prior.licence or 'as stated there'}; SHA-256 `{prior.sha256 or 'none'}`)"
                for prior in m.priors
            )
        )
    )


def _preprocessing(view: RunView) -> Iterator[str]:
    yield "## Preprocessing, cleaning, labeling"
    yield ""
    if view.study is None:
        yield f"* {_UNKNOWN}"
        return
    data = view.study.data
    yield (
        f"* Images were brought to {' x '.join(map(str, data.image_size))}, and the window "
        f"[{data.intensity.lower:g}, {data.intensity.upper:g}] to [-1, 1]; values outside were cut off. The section "
        "`data` of `study.yaml` says all of it."
    )
    yield (
        f"* A share of {data.split.audit:g} of each site's patients was held out for the audit and {data.split.test:g} "
        "to test, before training began."
    )


def _uses(m: ReleaseManifest, worth: str | None) -> Iterator[str]:
    yield "## Uses"
    yield ""
    yield f"* What is it worth? {worth or 'Nothing was measured.'} Every number is in `evidence/evaluation.json`."
    yield "* What was not found, and what could not have been found, is in `evidence/audit.json` and `report.html`."
    yield "* Not for: diagnosis, treatment, or any decision about a person. For research only."
    yield "* Not for: finding out who took part. Whoever uses it must not try to recognise anybody."
    for limit in m.privacy.limits:
        yield f"* Limit: {limit}"


def _distribution(m: ReleaseManifest) -> Iterator[str]:
    yield "## Distribution"
    yield ""
    yield f"* Licence: {m.licence or 'none is granted by this release; ask whoever signed it'}."
    yield (
        f"* Signed by {m.signer.name}, Ed25519 key `{m.signer.key}`. `fedgen verify` checks every file, the signature "
        "and the sites' receipts without a network."
    )


def _maintenance(m: ReleaseManifest) -> Iterator[str]:
    yield "## Maintenance"
    yield ""
    yield f"* Who maintains it? {m.signer.name}. A changed release is another one, with another signature."
    yield (
        f"* Can it be made again? Study, code (`{m.code.source_sha256[:16]}`) and versions are in the manifest; "
        + (
            "the privacy noise is secret, so other images would come out."
            if m.privacy.epsilon is not None
            else "the same data and seed give the same images."
        )
    )


def _up(epsilon: float) -> str:
    # Never below what was spent.
    return f"{math.ceil(epsilon * 1000) / 1000:g}" if math.isfinite(epsilon) else "without a limit"


def _names(sites: Sequence[str]) -> str:
    return ", ".join(sites) or "nobody's"
