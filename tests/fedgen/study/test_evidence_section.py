"""Evidence can be paid for only out of an epsilon that there is, and only where images are released."""

from __future__ import annotations

import pytest
from pydantic import ValidationError


@pytest.mark.parametrize(
    ("family", "privacy", "epsilon", "said"),
    [
        ("vae", {"mode": "none"}, 1.0, "privacy.mode none does not have"),
        ("vae", {"epsilon": 1.0}, 1.0, "a part of privacy.epsilon 1"),
        ("translate_gan", {"epsilon": 5.0}, 1.0, "whose release is the model"),
    ],
)
def test_what_cannot_be_paid_for_is_refused(tiny_study, family, privacy, epsilon, said) -> None:
    with pytest.raises(ValidationError, match=said):
        tiny_study(family, privacy=privacy, evidence={"privacy": {"epsilon": epsilon}})


def test_off_by_default(tiny_study) -> None:
    assert tiny_study().evidence.privacy is None
