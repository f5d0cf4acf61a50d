"""Rows of metrics as tables: a section a group, a line a row, a column a value, whatever the metrics are."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from fedgen.report.traces import ALL_TOGETHER, TOGETHER
from fedgen.run.row import Row, SitePart, Value


@dataclass(frozen=True)
class TableLine:
    """A line of a table; `values` and `counts` are in the order of its columns, None where there is none."""

    row: Row
    values: tuple[Value | None, ...]
    counts: tuple[int | None, ...]


@dataclass(frozen=True)
class RowTable:
    """Rows as lines.

    Attributes:
        label: for a screen reader.
        values: names of the columns of values.
        counts: names of the columns of sample sizes.
        lines: one a row.
        plotted: whether the first value is also drawn, against chance.
        notes: each note of a line once, and of which lines it is, in words; nothing where it is of all of them.
    """

    label: str
    values: tuple[str, ...]
    counts: tuple[str, ...]
    lines: tuple[TableLine, ...]
    plotted: bool
    notes: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Column:
    """A site: its name, the sample sizes that are the same in all its lines, and its part of each row, if any."""

    site: str
    n: dict[str, int]
    parts: tuple[SitePart | None, ...]


@dataclass(frozen=True)
class RowGroup:
    """The rows of one group.

    Attributes:
        title: above the tables; None where the section's own title says it.
        name: of the rows' group.
        rows: the rows that have numbers.
        pooled: numbers over all sites; None where they stay with their sites.
        averaged: whether any of these is a mean over sites.
        divided: the rows that are broken down by site.
        columns: of the table by site, with a part for each of these; empty where there are none.
        by_site: each site's own table, with every number.
        captions: notes of the rows without numbers.
        legend: what rows are, each text once, and of which rows it is.
    """

    title: str | None
    name: str
    rows: tuple[Row, ...]
    pooled: RowTable | None
    averaged: bool
    divided: tuple[Row, ...]
    columns: tuple[Column, ...]
    by_site: tuple[tuple[str, RowTable], ...]
    captions: tuple[str, ...]
    legend: tuple[tuple[str, str], ...]

    @property
    def counted(self) -> frozenset[str]:
        """Ids of the rows whose sample sizes over all sites stand in the table of these."""
        return frozenset(line.row.id for line in self.pooled.lines) if self.pooled else frozenset()

    @property
    def lead(self) -> str:
        """The name of the first value by site."""
        parts = [part for row in self.divided for part in (row, *row.per_site) if part.values]
        return parts[0].values[0].name if parts else ""


@dataclass(frozen=True)
class PageSection:
    """A section of the page; without groups it says that there is no such result."""

    id: str
    title: str
    about: str
    groups: tuple[RowGroup, ...]


#: Sections that not every study has; see KNOWN.
OF_TASKS = (
    (
        "segmentation",
        "Segmentation",
        "A network trained on the images and masks of each arm, tested on the true masks of real patients.",
        {"segmentation": None, "segmentation-differences": "Differences between arms"},
    ),
    (
        "translation",
        "Translation",
        "What the model makes of test patients' own images, compared with their real ones, beside controls.",
        {
            "translation": None,
            "translation-differences": "Differences from the controls",
            "translation-sources": "By the sources that are given",
            "translation-task-segmentation": "Segmentation of the target",
            "translation-structure": "Structure of the source",
            "translation-distribution": "Made and real targets as sets",
        },
    ),
)
#: id, title, about, and groups with their titles; a group that is not named here gets a section of its own.
KNOWN = (
    (
        "fidelity",
        "Fidelity",
        "How far synthetic images are from real ones; the floor is real against real.",
        {"fidelity": None, "fidelity-agreement": "Do extractors agree?", "fidelity-joined": "Over sites"},
    ),
    ("diversity", "Diversity", "How alike images of one class are to each other.", {"diversity": None}),
    (
        "downstream",
        "Downstream use",
        "A classifier trained on each arm, tested on real patients of every site.",
        {
            "downstream": None,
            "differences": "Differences between arms",
            "claims": "Is a difference more than luck?",
            "calibration": "Calibration",
            "subgroups": "Subgroups of patients",
            "opportunity": "Is a class found as often in every group?",
            "ratio-curve": "How many synthetic images",
            "low-data-curve": "With little real data",
            "class_scores": "Inception and mode score",
        },
    ),
    *OF_TASKS,
)


def beside(pooled: Sequence[Row], rows: Sequence[Row]) -> list[Row]:
    """The rows of all patients together, named so, and those of the sites; what they explain is explained once."""
    notes, explained = {(row.id, row.note) for row in rows}, {row.id for row in rows if row.about}
    marked = [
        row.model_copy(
            update={
                "id": f"{row.id}{TOGETHER}",
                "title": f"{row.title}{ALL_TOGETHER}",
                "about": None if row.id in explained else row.about,
            }
        )
        for row in pooled
        if row.values or row.findings or (row.id, row.note) not in notes
    ]
    return [*marked, *rows]


def sections(rows: Sequence[Row]) -> list[PageSection]:
    """The sections of an evaluation: the known ones, then those of any other group."""
    by_group: dict[str, list[Row]] = {}
    for row in rows:
        by_group.setdefault(row.group, []).append(row)
    made = []
    for id, title, about, groups in KNOWN:
        found = tuple(
            _group(by_group.pop(name), name, head) for name, head in groups.items() if name in by_group
        )
        if not found and id in {own[0] for own in OF_TASKS}:
            continue
        made.append(PageSection(id, title, about, found))
    for name, own in by_group.items():
        title = name.replace("_", " ").replace("-", " ").capitalize()
        made.append(PageSection(f"group-{name}", title, "", (_group(own, name, None),)))
    return made


def _group(rows: Iterable[Row], name: str, title: str | None) -> RowGroup:
    numbers = tuple(row for row in rows if row.values or any(part.values for part in row.per_site))
    silent = [row for row in rows if row not in numbers]
    divided = tuple(row for row in numbers if row.per_site)
    sites = sorted({part.site for row in divided for part in row.per_site})
    tables = tuple((site, _table(site, [(row, _part(row, site)) for row in divided])) for site in sites)
    pooled = [row for row in numbers if row.values and not _left_to_sites(row)]
    return RowGroup(
        title=title,
        name=name,
        rows=numbers,
        pooled=_table(title or "All sites", [(row, row) for row in pooled]) if pooled else None,
        averaged=any(row.per_site and _known(row) for row in pooled),
        divided=divided,
        columns=tuple(_column(site, divided) for site in sites),
        by_site=tables,
        captions=tuple(note for row in silent for note in _notes(row)),
        legend=_by_text([(row, row.about) for row in numbers if row.about]),
    )


def _known(row: Row) -> bool:
    return any(value.value is not None for value in row.values)


def _left_to_sites(row: Row) -> bool:
    """Whether a row says nothing over all sites, since its numbers cannot be joined."""
    told = row.note or row.findings or any(value.note for value in row.values)
    return bool(row.per_site) and not _known(row) and not told


def _notes(row: Row) -> list[str]:
    own = [row.note] if row.note else []
    return own + [f"{part.site}: {part.note}" for part in row.per_site if part.note and part.note != row.note]


def _part(row: Row, site: str) -> SitePart | None:
    return next((part for part in row.per_site if part.site == site), None)


def _column(site: str, rows: Sequence[Row]) -> Column:
    parts = tuple(_part(row, site) for row in rows)
    counts = [part.n for part in parts if part is not None]
    common = {
        name: n
        for name, n in (counts[0] if counts else {}).items()
        if all(each.get(name) == n for each in counts)
    }
    return Column(site, common, parts)


def _table(label: str, lines: Sequence[tuple[Row, Row | SitePart | None]]) -> RowTable:
    known = [part for _, part in lines if part is not None]
    names = tuple(dict.fromkeys(value.name for part in known for value in part.values))
    counts = tuple(dict.fromkeys(name for part in known for name in part.n))
    return RowTable(
        label=label,
        values=names,
        counts=counts,
        lines=tuple(
            TableLine(
                row,
                tuple(None if part is None else part.get(name) for name in names),
                tuple(None if part is None else part.n.get(name) for name in counts),
            )
            for row, part in lines
        ),
        plotted=any(part.values and part.values[0].chance is not None for part in known),
        notes=_told_once(lines),
    )


def _told_once(lines: Sequence[tuple[Row, Row | SitePart | None]]) -> tuple[tuple[str, str], ...]:
    """The notes of lines: beside the numbers they would be set word under word, and many lines have the same."""
    return _by_text([(row, None if part is None else part.note) for row, part in lines])


def _by_text(lines: Sequence[tuple[Row, str | None]]) -> tuple[tuple[str, str], ...]:
    """Each text once, and of which rows it is, by the shorter of two lists: those rows, or all but the others."""
    of: dict[str, list[str]] = {}
    for row, text in lines:
        if text:
            of.setdefault(text, []).append(row.title)
    titles = list(dict.fromkeys(row.title for row, _ in lines))
    return tuple((text, _which(own, titles)) for text, own in of.items())


def _which(own: Sequence[str], titles: Sequence[str]) -> str:
    others = [title for title in titles if title not in own]
    if not others:
        return ""
    listed, before = (own, "") if len(own) <= len(others) + 1 else (others, "All but ")
    # Whose it is is told where a row over sites has the same title.
    said = [plain if (plain := title.removesuffix(ALL_TOGETHER)) not in titles else title for title in listed]
    return before + "; ".join(dict.fromkeys(said))
