"""The sentence on the first screen is no kinder than the rows."""

from __future__ import annotations

import pytest

from fedgen.report.worth import worth
from fedgen.run.row import Finding, Row, Value, Verdict


def arm(id: str, value: float | None, verdict: Verdict | None = None, sentence: str = "So it is.") -> Row:
    limits = (None, None) if value is None else (value - 0.05, value + 0.05)
    return Row(
        id=id,
        title=id,
        group="downstream",
        values=(Value(name="AUROC", value=value, low=limits[0], high=limits[1]),),
        findings=() if verdict is None else (Finding(verdict=verdict, sentence=sentence),),
    )


def rows(trtr: Verdict, tstr: Verdict, difference: tuple[float, float] = (-0.1, 0.02)) -> list[Row]:
    low, high = difference
    less = Value(name="AUROC", value=(low + high) / 2, low=low, high=high)
    return [
        arm("TRTR", 0.95, trtr),
        arm("TSTR", 0.84, tstr),
        arm("site-alone", 0.72),
        Row(id="TSTR-against-TRTR", title="t", group="differences", values=(less,)),
    ]


def test_a_judge_that_does_not_see_says_nothing() -> None:
    said = worth(rows(Verdict.INSUFFICIENT, Verdict.PASS))
    assert said == "What the synthetic set is worth cannot be said. So it is."


def test_a_set_that_does_not_beat_its_controls_is_worth_nothing_that_was_shown() -> None:
    said = worth(rows(Verdict.PASS, Verdict.REVIEW)) or ""
    assert "AUROC 0.840 [0.790 to 0.890] on real patients (trained on real ones 0.950" in said
    assert "site alone 0.720" in said and said.endswith("not shown to be worth anything. So it is.")


@pytest.mark.parametrize(
    ("difference", "end"),
    [
        ((-0.2, -0.1), "less than real images do."),
        ((-0.1, 0.02), "less than real images by 0.100 at most."),
        ((0.0, 0.02), "it teaches what real images teach of this task."),
    ],
)
def test_a_set_that_does_is_compared_with_real_images(difference: tuple[float, float], end: str) -> None:
    assert (worth(rows(Verdict.PASS, Verdict.PASS, difference)) or "").endswith(end)


@pytest.mark.parametrize(
    ("real", "made", "said"), [(0.9, 0.52, True), (0.9, 0.7, False), (0.52, 0.52, False), (0.9, None, False)]
)
def test_a_set_without_the_texture_of_real_images_is_said_to_lack_it(
    real: float, made: float | None, said: bool
) -> None:
    def with_texture(row: Row) -> Row:
        value = {"TRTR": real, "TSTR": made}.get(row.id)
        limits = (None, None) if value is None else (value - 0.05, value + 0.05)
        texture = Value(name="AUROC, texture judge", value=value, low=limits[0], high=limits[1])
        return row.model_copy(update={"values": (*row.values, texture)})

    found = [with_texture(row) for row in rows(Verdict.PASS, Verdict.PASS)]
    assert ("Texture is not in it: its judge has 0.520, and 0.900" in (worth(found) or "")) is said
    assert "Texture" not in (worth([with_texture(row) for row in rows(Verdict.PASS, Verdict.REVIEW)]) or "")


@pytest.mark.parametrize(("high", "told"), [(-0.01, True), (0.01, False)])
def test_a_simple_judge_that_surely_learns_less_is_heard(high: float, told: bool) -> None:
    """A network without an error on either says that nothing is missing."""

    def with_simple(row: Row) -> Row:
        low, value, top = {"TSTR": (0.8, 0.9, 0.95), "TRTR": (0.9, 0.99, 1.0)}.get(
            row.id, (-0.2, -0.09, high)
        )
        simple = Value(name="AUROC, simple judge", value=value, low=low, high=top)
        return row.model_copy(update={"values": (*row.values, simple)})

    said = worth([with_simple(row) for row in rows(Verdict.PASS, Verdict.PASS, (0.0, 0.0))]) or ""
    assert ("The simple judge learns less from it: 0.900, and 0.990 from real images." in said) == told


def test_without_a_comparison_there_is_no_sentence() -> None:
    assert worth([arm("TRTR", 0.9)]) is None
    said = worth([arm("TRTR", 0.9, Verdict.PASS), arm("TSTR", None, Verdict.INSUFFICIENT, "No class.")])
    assert said == "What the synthetic set is worth cannot be said. No class."
