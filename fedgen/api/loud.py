"""What a study switched off, or stands on, and everyone should see."""

from __future__ import annotations

from fedgen.study.study import Study


class ProtectionWarning(UserWarning):
    """A study does without a protection that is on by default, or stands on something that its epsilon is silent on."""


def loud(study: Study) -> list[str]:
    """What a study switched off and everyone should see."""
    sentences = []
    if not study.privacy.private:
        sentences.append(
            "WARNING: privacy.mode is none. Nothing bounds what this model and its images reveal about patients."
        )
    if not study.aggregation.secure:
        sentences.append(
            "WARNING: aggregation.secure is off. The coordinator sees the update of each single site."
        )
    if study.privacy.allow_large_delta:
        sentences.append(
            "WARNING: privacy.allow_large_delta is on. The delta may permit publishing a whole patient."
        )
    prior = study.model.prior
    if prior is not None and prior.phantom is not None:
        sentences.append(f"NOTE: training stands on a public prior of {prior.words}.")
    elif study.model.start is not None:
        what = "stands on a public prior" if prior is not None else "starts from pretrained weights"
        sentences.append(
            f"NOTE: training {what}, about whose data this study's privacy says nothing: {study.model.start.words}"
        )
    return sentences
