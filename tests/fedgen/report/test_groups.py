"""Rows as tables: no line of dashes alone, no note told twice, no note dropped."""

from __future__ import annotations

import pytest

from fedgen.report.groups import RowGroup, beside, sections
from fedgen.run.row import Row, SitePart, Value

NOTE = "Every replicate is the same."


def row(id: str, value: float | None, *, group: str = "fidelity", sites: bool = True, **more: object) -> Row:
    parts = (SitePart(site="a", values=(Value(name="x", value=0.1),), n={"images": 7}),) if sites else ()
    return Row.model_validate(
        {"id": id, "title": id, "group": group, "values": (Value(name="x", value=value),), "per_site": parts}
        | more
    )


def only_group(rows: list[Row]) -> RowGroup:
    (group,) = [group for section in sections(rows) for group in section.groups]
    return group


def test_rows_over_all_patients_are_no_lines_of_the_table_by_site() -> None:
    group = only_group(beside([row("FID", 1.0, sites=False)], [row("FID", 2.0)]))
    assert group.pooled is not None and len(group.pooled.lines) == 2
    assert [own.id for own in group.divided] == ["FID"]
    assert [[part is not None for part in column.parts] for column in group.columns] == [[True]]


def test_numbers_that_cannot_be_joined_are_no_line_of_dashes() -> None:
    group = only_group([row("FID", None), row("KID", 0.5)])
    assert group.pooled is not None
    assert [line.row.id for line in group.pooled.lines] == ["KID"]
    assert [own.id for own in group.divided] == ["FID", "KID"], "the sites still tell both"
    assert only_group([row("FID", None)]).pooled is None


@pytest.mark.parametrize("more", [{"note": NOTE}, {"values": (Value(name="x", value=None, note=NOTE),)}])
def test_a_line_without_numbers_that_says_why_stays(more: dict[str, object]) -> None:
    group = only_group([row("FID", None, **more)])
    assert group.pooled is not None and len(group.pooled.lines) == 1


def test_the_mean_over_sites_is_explained_where_there_is_one() -> None:
    assert only_group([row("a", 1.0)]).averaged
    assert not only_group(beside([row("a", 1.0, sites=False)], [row("a", None)])).averaged


def test_each_note_and_each_explanation_is_told_once_with_its_rows() -> None:
    names = ["a", "b", "c", "d", "f", "e"]
    rows = [row(name, 1.0, note=None if name == "e" else NOTE, about="A distance.") for name in names]
    rows[0] = row("a", 1.0, note="Another.", about="A distance.")
    group = only_group(rows)
    assert group.pooled is not None
    assert group.pooled.notes == (("Another.", "a"), (NOTE, "All but a; e"))
    assert group.legend == (("A distance.", ""),)


def test_a_note_says_whose_row_it_is_of_where_two_have_one_name() -> None:
    group = only_group(beside([row("FID", 1.0, sites=False, note=NOTE)], [row("FID", 2.0), row("KID", 1.0)]))
    assert group.pooled is not None
    assert group.pooled.notes == ((NOTE, "FID, all patients together"),)


def test_what_only_all_patients_together_have_is_explained_too() -> None:
    alone = row("gap", 1.0, sites=False, about="A gap.")
    assert only_group(beside([alone], [])).legend == (("A gap.", ""),)
    both = only_group(beside([alone], [row("gap", 1.0, about="A gap.")]))
    assert both.legend == (("A gap.", ""),), "once"
