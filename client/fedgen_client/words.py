"""What a study would do at this site and cost its patients, in plain words: what a person reads before approving."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from fedgen.protocol.spoken_key import spoken_key
from fedgen.study.study import Study
from fedgen_client.plain import printable
from fedgen_client.policy import withheld
from fedgen_client.site_file import SiteFile
from fedgen_client.studies import OfferedStudy

if TYPE_CHECKING:  # these load torch, and a caller who has one has loaded it already
    from fedgen.planning.exchanged import Exchanged
    from fedgen_client.books import Balance
    from fedgen_privacy.secagg import Parameters

#: A heading, and one or more sentences under it.
Paragraph = tuple[str, str]

_COLOURS = {1: "gray", 3: "colour"}


def describe(
    offered: OfferedStudy,
    site: SiteFile,
    cohort: str,
    refusals: Sequence[str],
    sizes: Exchanged,
    balance: Balance,
    expected: str | None = None,
) -> list[Paragraph]:
    """The whole description.

    Args:
        offered: the study.
        site: the site file.
        cohort: whose patients would take part.
        refusals: what the policy says against it (`policy.refusals`).
        sizes: of its messages.
        balance: of the cohort's ledger.
        expected: why nothing useful is to be expected, where public numbers say so.
    """
    study = offered.study
    paragraphs = [
        ("study", _title(offered)),
        ("who", _who(offered)),
        ("trains", _trains(study)),
        *_start(study),
        *_public_weights(study),
        ("your data", _data(study, site, cohort)),
        ("privacy", _privacy(study)),
        *_useless(study, expected),
        ("each round", _each_round(study, sizes)),
        ("at the end", _at_the_end(study, site, sizes)),
        ("hidden by", _secure(study, sizes.secure, offered.roster_size)),
        ("your policy", " ".join(refusals) or "allows it."),
        ("your ledger", _ledger(study, balance)),
    ]
    return [(heading, printable(text)) for heading, text in paragraphs]


def _title(offered: OfferedStudy) -> str:
    about = f" {offered.study.study.description.strip()}" if offered.study.study.description.strip() else ""
    return f"{offered.name}, sha256 {offered.study_sha256}.{about}"


def _who(offered: OfferedStudy) -> str:
    manifest, fewest = offered.manifest, offered.study.aggregation.minimum_sites
    sites = ", ".join(f"{site} ({spoken_key(bytes.fromhex(key))})" for site, key in manifest.roster.items())
    return (
        f"Federation {manifest.federation}, signed {manifest.created:%Y-%m-%d %H:%M} UTC; {offered.roster_size} sites "
        f"with the fingerprints of their keys: {sites}. A round needs {fewest} of them."
    )


def _trains(study: Study) -> str:
    chosen = study.model.chosen
    training = study.training
    how = f"in {training.rounds} rounds of {training.local_steps} steps at each site"
    if not study.steps:
        how = (
            "from one sum over all patients"
            if study.training_rounds == 1
            else f"from {study.training_rounds} sums"
        ) + " in all, without training steps at any site"
    size = " x ".join(str(side) for side in study.data.image_size)
    labels = study.data.labels
    classes = f"with the classes {', '.join(labels)}" if labels else "whose labels are not read"
    return (
        f"A generative model of the family {study.model.family} for {_COLOURS[study.data.channels]} images of "
        f"{size} pixels {classes}, {how}."
        + (f" The coordinator left the choice of the family to the plan: {chosen}" if chosen else "")
    )


def _start(study: Study) -> list[Paragraph]:
    start, adapters, prior = study.model.pretrained, study.model.adapters, study.model.prior
    if prior is not None and prior.phantom is not None:
        return [
            (
                "stands on",
                f"A public prior, which this site makes itself in seconds of {prior.words}. It is never changed, and "
                "no file is needed. Every site and the coordinator make their own, of the same numbers of the same "
                "study; they are not compared, since the bound on what a patient adds holds in whatever space a site "
                "has.",
            )
        ]
    if prior is not None:
        return [
            (
                "stands on",
                f"A public prior (sha256 {prior.sha256}): {prior.words.rstrip('.')}. It is never changed, "
                "and this site is given its file in its folder given/ or with --prior; it is refused where its card "
                "names a site of this study. The epsilon below says nothing about the images that it was made of.",
            )
        ]
    if start is None:
        return []
    text = (
        f"Weights trained before (sha256 {start.sha256}): {start.source.rstrip('.')}. The epsilon below is about this "
        "study's patients and says nothing about the data that this start was trained on."
    )
    if adapters is not None:
        text += (
            f" Only adapters of rank {adapters.rank} are trained and sent; the weights under them stay as they are, "
            "and this site is given their file in its folder given/ or with --pretrained."
        )
    return [("starts from", text)]


def _public_weights(study: Study) -> list[Paragraph]:
    return [
        (
            "reads",
            f"Besides your images {file.what} (sha256 {file.sha256}): {file.source.rstrip('.')}. It is never "
            "changed or sent, and this site is given its file once, in its folder given/ or in FEDGEN_WEIGHTS. The "
            "epsilon below says nothing about the images that it was trained on.",
        )
        for file in study.model.given_weights
    ]


def _data(study: Study, site: SiteFile, cohort: str) -> str:
    split = study.data.split
    kept = f"{split.audit:.0%} and {split.test:.0%} of the patients are kept for the audit and for testing"
    images = f"at most {study.data.images_per_patient} of their images"
    reads = f"each step takes about {study.training.batch_patients} patients with {images}"
    if not study.steps:
        reads = f"the sum takes all others, each as one vector of bounded length made of {images}"
    return (
        f"Cohort {cohort} in {site.cohorts[cohort].folder}; no image leaves this site. {kept} and train nothing; "
        f"{reads}.{_canaries(study)} Where a table lists the images, its column {study.data.columns.patient} has to "
        "tell patients apart: the epsilon is of whatever it tells apart."
    )


def _privacy(study: Study) -> str:
    privacy = study.privacy
    if privacy.mode == "none":
        return "NO differential privacy: what the model can tell of a single patient has no bound."
    against = {
        "local": "against everybody, the coordinator and the other sites included",
        "distributed": "against a coordinator that follows the protocol and any single site, as long as the other "
        "sites add their part of the noise",
    }[privacy.mode]
    text = (
        f"Epsilon {privacy.epsilon:g} at delta {privacy.delta:g} a patient over the whole study at most, {against} "
        f"(mode {privacy.mode})."
    )
    if privacy.allow_large_delta:
        text += " The study ACCEPTS A LARGE DELTA, which permits publishing a whole patient."
    return text


def _useless(study: Study, expected: str | None) -> list[Paragraph]:
    if expected is not None:
        return [("to expect", f"{expected}. Your patients would pay for it all the same.")]
    if study.privacy.accept_useless:
        return [
            (
                "to expect",
                "The coordinator would train even where the plan expects NOTHING USEFUL (privacy.accept_useless), and "
                "your patients would pay for it all the same.",
            )
        ]
    return []


def _each_round(study: Study, sizes: Exchanged) -> str:
    total = study.total_rounds * (sizes.model_bytes + sizes.update_bytes)
    what = "change of the model" if study.steps else "mean of the patients' vectors"
    masked = f"the masked {what}" if sizes.secure else f"the {what}, IN THE CLEAR"
    if study.privacy.mode == "distributed":
        masked = (
            "one step's summed gradients, as masked integers with this site's share of the noise, together"
            if study.steps
            else "the sum of the patients' vectors, as masked integers with this site's share of the noise, together"
        )
    return (
        f"In comes the model of {sizes.numbers} numbers ({_mb(sizes.model_bytes)}); out goes {masked} with the "
        f"training loss ({_mb(sizes.update_bytes)}). {_mb(total)} over all rounds. Before the first round the number "
        "of training patients, the noise, and the spacing and orientation that all images share leave."
        f"{_warm_start(study)}"
    )


def _canaries(study: Study) -> str:
    if not study.audit.canaries:
        return ""
    return (
        f" This site makes {study.audit.canaries} records up, of no patient, and trains on about half of them, to "
        "measure what the training gives away; nothing that a patient is promised depends on them."
    )


def _warm_start(study: Study) -> str:
    query = study.privacy.central_images
    if query is None:
        return ""
    return (
        f" One round more, the first, asks for {query.images} mean images of each class instead, each over about "
        f"{query.sampling_rate:.0%} of the patients with noise; their cost is part of the study's epsilon."
    )


def _at_the_end(study: Study, site: SiteFile, sizes: Exchanged) -> str:
    held_back = withheld(site.policy)
    leaves = [name for name in ("audit", "evaluation") if name not in held_back]
    receipt = (
        ""
        if "receipt" in held_back
        else " A receipt leaves too, under this site's signature: the rounds that it trained in, the epsilon that its "
        "ledger holds of them, and after which round how many patients withdrew; it goes into the release."
    )
    says = f"numbers of the {' and of the '.join(leaves)} leave" if leaves else "no number leaves"
    paid = study.evidence.privacy
    if paid is not None and leaves:
        says = (
            f"noised sums for the {' and for the '.join(leaves)} leave and nothing else, at epsilon "
            f"{paid.epsilon:g} for every patient of the cohort, which is part of the study's epsilon and is charged "
            "before they are read"
        )
    text = (
        f"{study.synthesis.images} synthetic images come in ({_mb(sizes.release_bytes)}) and are compared with this "
        f"site's patients here; {says}, of all patients together and never of one.{receipt}"
    )
    if held_back:
        text += f" Your policy withholds {' and '.join(held_back)}."
    return text


def _secure(study: Study, secure: Parameters | None, sites: int) -> str:
    if secure is None:
        return (
            "Nothing: secure aggregation is OFF, and the coordinator sees this site's change of the model alone"
            + (", with its privacy noise." if study.privacy.mode == "local" else ".")
        )
    unless = (
        f"even if up to {secure.colluders} other sites tell it all they know"
        if secure.colluders
        else "as long as no other site helps it"
    )
    return (
        f"Secure aggregation: the coordinator learns the sum of {secure.minimum_sites} honest sites or more and never "
        f"one site's part, {unless}. {secure.threshold} of {sites} sites have to agree to open a sum, so "
        f"{sites - secure.needed} may fail in a round. {_numbers(study, secure)}"
    )


def _numbers(study: Study, secure: Parameters) -> str:
    if study.privacy.mode == "distributed":
        return "What is summed are integers modulo 2^32, never cut to a range."
    return f"Numbers have {secure.ring_bits} bits and are cut at {secure.bound:g}."


def _ledger(study: Study, balance: Balance) -> str:
    from fedgen_client.books import shown

    at = f"at delta {balance.delta:g}"
    if balance.left is None:
        return f"Cohort {balance.cohort} has spent epsilon {shown(balance.spent)} {at}; there is NO LIMIT."
    text = (
        f"Cohort {balance.cohort} has spent epsilon {shown(balance.spent)} of {balance.limit:g} {at}, and "
        f"{_floor(balance.left)} is left{_kept_free(balance)}."
    )
    if study.privacy.mode != "none" and study.privacy.delta > balance.delta:
        text += (
            f" The study counts at the larger delta {study.privacy.delta:g}, so {at} its epsilon is more than "
            f"{study.privacy.epsilon:g}; `fedgen-client check` has the number."
        )
    return text


def _kept_free(balance: Balance) -> str:
    if not balance.kept_free:
        return ""
    which = ", ".join(study[:12] for study in balance.kept_free)
    return f", with what is kept free for studies that were admitted and are not done ({which})"


def _floor(left: float) -> str:
    # Downwards, so that what is shown is never more than is left.
    return f"{int(left * 1000) / 1000:g}"


def _mb(size: int) -> str:
    return f"{size / 1e6:.3g} MB" if size >= 1e4 else f"{size} bytes"
