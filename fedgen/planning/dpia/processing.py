"""What is done with whose data, for what, and who receives what: the description that the assessment stands on."""

from __future__ import annotations

from fedgen.planning.dpia.blanks import blank
from fedgen.planning.dpia.figures import PlannedFigures
from fedgen.study.data import DataSection
from fedgen.study.study import Study

_SOURCE = "lawfulness of that source, and whether patients of this hospital are in it"


def purpose(study: Study) -> list[str]:
    """Purpose and means."""
    said = study.study.description.strip()
    return [
        f"In the study's own words: {said}"
        if said
        else f"The study file does not say: {blank('purpose of the study')}",
        _making(study),
        f"Purpose at this hospital, and who asked for it: {blank('purpose, department, project')}",
        f"Legal basis: {blank('such as Art. 6(1) and 9(2) GDPR with national research law, or consent; ethics vote')}",
        f"Why synthetic or federated data, and why these patients: {blank('necessity and proportionality')}",
        "Nothing here is validated for diagnosis or treatment, and the study must not be used for either.",
    ]


def _making(study: Study) -> str:
    task = study.made
    made = " with ".join(field.name for field in task.makes)
    given = " and ".join(field.name for field in task.given)
    if task.translates:
        what = f"A model that makes {made} from {given} of the same patient; the model itself is what is released"
    else:
        what = f"{study.synthesis.images} synthetic items ({made}, given {given or 'nothing'}) for release"
    if study.steps:
        how = f"{study.training.rounds} rounds of {study.training.local_steps} training steps at each site"
    else:
        how = "one sum over all patients" if study.training_rounds == 1 else f"{study.training_rounds} sums"
    return f"{what}, by the model family {study.model.family} in {how}."


def data(figures: PlannedFigures) -> list[str]:
    """Which data, of whom, and how much."""
    study = figures.study
    section, split = study.data, study.data.split
    size = " x ".join(str(side) for side in section.image_size)
    kept = f"{split.audit:.0%} of the patients are held out for the audit and {split.test:.0%} for testing"
    lines = [
        *_pretend(section),
        f"Special categories: health data (medical images{_beside(study)}) of {blank('whose: patients, period, age')}.",
        f"Images are read at {size} pixels, {section.channels} channel{'s' * (section.channels > 1)}, at most "
        f"{section.images_per_patient} of a patient in one computation.",
        f"Read of each patient: {_columns(study)}. Headers of DICOM and NIfTI files are read to understand the images.",
        f"{kept}; they train nothing, but the audit and the evaluation read them. All others train.",
        f"Training patients of each site: {_counted(figures)}",
        "Unit of every promise: one patient with all images. It is as good as the column or rule that tells patients "
        "apart"
        + (
            "; here EACH IMAGE COUNTS AS A PATIENT (data.patient_rule: image), so that somebody with several images "
            "is promised less than is written below."
            if section.patient_rule == "image"
            else f" (column {section.columns.patient!r} of a table, PatientID in DICOM, the subject in BIDS): "
            f"{blank('checked by whom that it never tells images apart')}."
        ),
        f"Minors or people who cannot consent among them: {blank('yes or no, and what follows')}",
    ]
    return [*lines, *_others(study)]


def _pretend(section: DataSection) -> list[str]:
    if section.phantom is None:
        return []
    return [
        "This study can make PHANTOMS of its own, which are no personal data (data.phantom). What follows is about "
        "a run on a hospital's own folder."
    ]


def _beside(study: Study) -> str:
    section, named = study.data, []
    if section.labels:
        named.append(f"class {'/'.join(section.labels)}")
    if section.columns.mask is not None:
        named.append("masks")
    named += [f"{name}" for name in section.covariates]
    if section.embedding_size is not None:
        named.append("an embedding of image or text")
    return f", with {', '.join(named)}" if named else ""


def _columns(study: Study) -> str:
    columns, section = study.data.columns, study.data
    named = [
        f"the image ({columns.image})",
        f"who the patient is ({columns.patient})",
        f"the site ({columns.site})",
    ]
    if section.labels:
        named.append(f"the class ({columns.label})")
    if columns.mask is not None:
        named.append(f"the mask ({columns.mask})")
    if columns.embedding is not None:
        named.append(f"the embedding ({columns.embedding})")
    named += [f"{name} as a covariate" for name in section.covariates]
    return ", ".join(named)


def _counted(figures: PlannedFigures) -> str:
    if not figures.patients:
        return (
            f"{blank('number of each site; run again with --patients N for each, which fills in section 5')}"
        )
    numbers = ", ".join(str(each) for each in figures.patients)
    return f"{numbers} as planned; the hospital's own: {blank('its number')}"


def _others(study: Study) -> list[str]:
    start, prior = study.model.pretrained, study.model.prior
    lines = []
    if start is not None:
        lines.append(
            f"Starts from weights trained on OTHER data ({start.source.rstrip('.')}): no number below is about those "
            f"people. {blank(_SOURCE)}"
        )
    if prior is not None and prior.phantom is None:
        lines.append(
            f"Stands on a prior made of OTHER images ({prior.words.rstrip('.')}), which the release may show: no "
            f"number below is about those people. {blank(_SOURCE)}"
        )
    if study.audit.canaries:
        lines.append(
            f"{study.audit.canaries} made-up records of no patient are trained on, to measure what is given away."
        )
    return lines


def recipients(figures: PlannedFigures) -> list[str]:
    """Who receives what."""
    study, sizes = figures.study, figures.sizes
    what = "change of the model and training loss" if study.steps else "vectors of the patients"
    if study.privacy.mode == "distributed" and study.steps:
        what = "gradients of single steps"
    sent = f"the sum over at least {study.aggregation.minimum_sites} sites of their {what}, never one site's"
    if not study.aggregation.secure:
        sent = f"EACH SITE'S OWN {what}, IN THE CLEAR (aggregation.secure: false)"
    released = "the model" if study.made.translates else "the synthetic images"
    licence = "" if study.release.licence is None else f", under {study.release.licence}"
    rounds = f"{study.total_rounds} round{'s' * (study.total_rounds > 1)}"
    noised = study.evidence.privacy is not None
    evidence = (
        "noised sums for audit and evaluation, and no other number of them"
        if noised
        else "numbers of audit and evaluation over all patients together, WITHOUT NOISE, unless the site's policy "
        "withholds them"
    )
    return [
        "Nobody receives an image, a name or an identifier of a patient; they never leave the hospital.",
        f"The coordinator ({blank('who, in which country; contract or joint controllership')}): the number of training "
        f"patients; spacing and orientation of the images; {sent} ({sizes.numbers} numbers, "
        f"{_mb(sizes.update_bytes)} a round, {rounds}); {evidence}; a signed receipt; when the site is online; why it "
        "refused.",
        f"The other sites ({blank('which')}): names and keys of all sites, the model of every round, the release.",
        f"Whoever is given the release: {released} with datasheet, evidence and receipts{licence}: "
        f"{blank('to whom, on which terms, public or not')}",
        f"Transfer outside the EEA: {blank('none, or which and by what means')}",
        "Nobody else: the software sends nothing to its makers. Hosting, backup, network: "
        f"{blank('processors at this hospital')}",
    ]


def _mb(size: int) -> str:
    return f"{size / 1e6:.3g} MB" if size >= 1e4 else f"{size} bytes"


def retention() -> list[str]:
    """How long what is kept, and what a patient may ask for."""
    return [
        "Images: stay where they are; the hospital's own rules. Decoded copies in the site's folder (cache/): "
        f"{blank('deleted when')}",
        f"Training state and outbox in the site's folder (studies/): {blank('deleted when')}",
        "Ledger, log and approvals in the site's folder: as long as these patients may take part in any study. Without "
        f"the ledger nobody knows what they have paid, and the budget would begin anew. {blank('until when')}",
        f"Checkpoints, evidence and release at the coordinator: {blank('how long, agreed how')}",
        "A release cannot be recalled from whoever has it.",
        "Withdrawal of consent: `fedgen-client withdraw` takes a patient out of every later step; what earlier rounds "
        "learned stays, within the promise below. "
        f"Access, rectification, objection: {blank('how requests are answered')}",
    ]
