"""What nothing useful is to be expected of is said before a patient is read, and only of sums."""

from __future__ import annotations

import pytest

from fedgen.errors import PrivacyRefusedError
from fedgen.planning.forecast import forecast
from fedgen.planning.useless import publicly_useless, refuse_useless, useless

FAINT = {"epsilon": 0.02}


def test_it_is_what_the_forecast_says_of_a_sum(tiny_study) -> None:
    faint, loud = tiny_study("latent", privacy=FAINT), tiny_study("latent")
    assert not forecast(faint, (12, 12)).sizes[0].reached
    assert forecast(loud, (12, 12)).sizes[0].reached
    why = useless(faint, (12, 12))
    assert (
        "NOTHING USEFUL is to be expected of tiny: at epsilon 0.02 the sum over 24 training patients of 2 sites"
        in why
    )
    assert useless(loud, (12, 12)) is None


def test_of_gradients_and_without_privacy_nothing_is_known(tiny_study) -> None:
    assert useless(tiny_study("vae", privacy=FAINT), (12, 12)) is None
    assert useless(tiny_study("latent", privacy={"mode": "none"}), (12, 12)) is None


def test_it_is_refused_unless_somebody_wants_it(tiny_study) -> None:
    faint = tiny_study("latent", privacy=FAINT)
    with pytest.raises(PrivacyRefusedError, match=r"give --yes, or set privacy\.accept_useless to true"):
        refuse_useless(faint, (12, 12), accepted=False)
    refuse_useless(faint, (12, 12), accepted=True)
    refuse_useless(tiny_study("latent", privacy={**FAINT, "accept_useless": True}), (12, 12), accepted=False)
    refuse_useless(tiny_study("latent"), (12, 12), accepted=False)


def test_what_a_study_says_of_its_patients_itself_is_enough_for_a_site(tiny_study) -> None:
    shared = {"mode": "distributed", "sampling_rate": 0.1}
    secure = {"aggregation": {"secure": True, "minimum_sites": 3}}
    faint = tiny_study("latent", privacy={**FAINT, **shared}, **secure)
    # 3 patients in a step at a rate of 0.1
    assert "over 30 training patients of 3 sites" in publicly_useless(faint, 3)
    assert publicly_useless(tiny_study("latent", privacy=shared, **secure), 3) is None
    assert publicly_useless(tiny_study("latent", privacy=FAINT), 3) is None
    # refused for another reason, by whoever it is refused
    assert (
        publicly_useless(tiny_study("latent", privacy={**FAINT, **shared, "delta": 0.1}, **secure), 3) is None
    )
