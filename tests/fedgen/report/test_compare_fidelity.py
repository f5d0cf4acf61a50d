"""How like real images those of several runs are: which numbers stand together, what is said of the others."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from fedgen.cli.main import app
from fedgen.evidence.metrics.fidelity_words import identity
from fedgen.report.compare_file import CompareFile
from fedgen.report.compare_page import compare_runs, panels, render

Made = Callable[..., Path]
SEED, OTHER_SEED = "seed: 3", "seed: 4"
EPSILON, STRICT = "epsilon: 8.0", "epsilon: 1.0"
OF_SITES = {"north": 0.2, "south": 0.4}


def values(value: float, floor: float) -> list[dict[str, Any]]:
    return [
        {"name": "synthetic to real", "value": value, "low": value - 0.1, "high": value + 0.1},
        {"name": "real to real (floor)", "value": floor},
    ]


def row(id: str, n: int, value: float | None, floor: float, sites: dict[str, float]) -> dict[str, Any]:
    counts = {"real_images": n, "synthetic_images": n}
    parts = [{"site": site, "values": values(each, floor), "n": counts} for site, each in sites.items()]
    own = [] if value is None else values(value, floor)
    return {"id": id, "title": id, "group": "fidelity", "values": own, "per_site": parts, "n": counts}


def with_fidelity(
    path: Path, *, mmd: float | None = 0.1, coverage: float | None = 0.7, n: int = 100, features: str = "abc1",
    extractors: tuple[str, ...] = ("radiomics",), sites: dict[str, float] | None = None,
) -> Path:  # fmt: skip
    """A run with this fidelity alone: of all patients together, or of each of these sites."""
    file = path / "evaluation.json"
    value = json.loads(file.read_text())
    kept = {
        part: [each for each in value[part] if each["group"] != "fidelity"] for part in ("rows", "pooled")
    }
    added = [
        made
        for name in extractors
        for made in (
            row(f"MMD-{name}", n, None if sites else mmd, 0.02, sites or {}),
            row(f"coverage-{name}", n, None if sites else coverage, 0.9, sites or {}),
            {
                "id": f"features-{name}", "title": name, "group": "fidelity", "note": identity(name, 1, 95, features),
            },
        )
    ]  # fmt: skip
    part = "rows" if sites else "pooled"
    file.write_text(json.dumps({**value, **kept, part: kept[part] + added}))
    return path


def test_fidelity_stands_beside_worth_with_interval_and_floor(made: Made, tmp_path: Path) -> None:
    one = with_fidelity(made("one", score=0.7), mmd=0.2)
    two = with_fidelity(made("two", score=0.8, study={SEED: OTHER_SEED}), mmd=0.4, n=110)
    strict = with_fidelity(made("strict", score=0.6, study={EPSILON: STRICT}), mmd=0.6)
    found = compare_runs([one, two, strict], tmp_path / "out")
    low, high = found.fidelity
    assert (low.asked, low.runs, low.numbers[0].value) == (1.0, ("strict",), 0.6)
    assert (high.runs, high.fewest, high.most) == (("one", "two"), 100, 110)
    mmd = high.get("MMD")
    assert mmd is not None
    assert [mmd.value, mmd.low, mmd.high, mmd.floor] == pytest.approx([0.3, 0.1, 0.5, 0.02])
    assert mmd.runs == 2
    assert mmd.std == pytest.approx(0.1414, abs=1e-4)
    (panel,) = panels(found)
    assert panel.apart == ()
    (drawn,) = panel.fidelity
    assert [each.title for each in drawn.drawings] == ["Distance (MMD)", "Diversity (coverage)"]
    svg = drawn.drawings[0].svg
    assert svg is not None
    assert len(list(svg.iter("circle"))) == 2
    assert "real against real 0.0200" in {text.text for text in svg.iter("text")}
    assert "NOT ONE FIDELITY" not in render(found)


def test_a_line_has_one_colour_in_all_curves(made: Made, tmp_path: Path) -> None:
    one = with_fidelity(made("one", score=0.7))
    two = with_fidelity(made("two", score=0.8, study={"rounds: 3": "rounds: 5"}))
    (panel,) = panels(compare_runs([one, two], tmp_path / "out"))
    (drawn,) = panel.fidelity
    assert panel.legend == drawn.drawings[0].legend == drawn.drawings[1].legend
    assert len({ink for _, ink in panel.legend}) == 2


def test_sets_of_other_sizes_stand_apart_and_it_is_said(made: Made, tmp_path: Path) -> None:
    """Of few images coverage is higher: beside many they would look better than they are."""
    both = ("radiomics", "random_conv")
    many = with_fidelity(made("many"), n=126, extractors=both)
    few = with_fidelity(made("few", study={"images: 20": "images: 8"}), n=100, extractors=both)
    found = compare_runs([many, few], tmp_path / "out")
    assert [(each.extractor, each.fewest, each.runs) for each in found.fidelity] == [
        ("radiomics", 126, ("many",)),
        ("radiomics", 100, ("few",)),
        ("random_conv", 126, ("many",)),
        ("random_conv", 100, ("few",)),
    ]
    (panel,) = panels(found)
    assert len(panel.fidelity) == 4
    (said,) = panel.apart
    assert "by radiomics and random_conv the runs compare sets of other sizes" in said
    assert "100 images of either kind: few" in said
    assert said in re.sub("&#39;", "'", render(found))
    runs = [str(many), str(few)]
    shown = CliRunner().invoke(app, ["compare", *runs, "--out", str(tmp_path / "second")])
    assert "NOT ONE FIDELITY" in shown.output
    assert "Fidelity by radiomics, all patients, 126 images of either kind" in " ".join(shown.output.split())


def test_features_of_another_hash_stand_apart(made: Made, tmp_path: Path) -> None:
    one = with_fidelity(made("one"))
    two = with_fidelity(made("two", study={SEED: OTHER_SEED}), features="abc2")
    found = compare_runs([one, two], tmp_path / "out")
    assert [each.runs for each in found.fidelity] == [("one",), ("two",)]
    (panel,) = panels(found)
    assert "in other features of that name" in panel.apart[0]


def test_a_federations_fidelity_is_the_mean_over_the_same_sites(made: Made, tmp_path: Path) -> None:
    one = with_fidelity(made("one"), sites=OF_SITES)
    (measured,) = compare_runs([one], tmp_path / "out").runs[0].fidelity
    assert (measured.over, measured.sites) == ("mean over sites", ("north", "south"))
    mmd = measured.numbers[0]
    assert mmd.value == pytest.approx(0.3)
    # Two independent numbers, half of each: sqrt(2) * 0.1 / 2.
    assert mmd.high == pytest.approx(0.3 + 0.1 / 2**0.5)
    two = with_fidelity(made("two", study={SEED: OTHER_SEED}), sites={"north": 0.2})
    (panel,) = panels(compare_runs([one, two], tmp_path / "both"))
    assert "measured at other sites" in panel.apart[0]


def test_an_extractor_that_is_not_identified_is_not_compared(made: Made, tmp_path: Path) -> None:
    one = with_fidelity(made("one"), features="no hash")
    two = with_fidelity(made("two", study={SEED: OTHER_SEED}), extractors=("radiomics", "thumbnails"))
    found = compare_runs([one, two], tmp_path / "out")
    assert found.runs[0].fidelity == ()
    assert "a measure of fidelity" not in found.runs[1].missing
    three = with_fidelity(made("three", study={EPSILON: STRICT}))
    (panel,) = panels(compare_runs([two, three], tmp_path / "both"))
    assert panel.apart == ("NOT ONE FIDELITY: by thumbnails nothing is known of three.",)


def test_a_program_gets_each_runs_numbers_and_their_means(made: Made, tmp_path: Path) -> None:
    one = with_fidelity(made("one", score=0.7))
    shown = CliRunner().invoke(app, ["compare", str(one), "--json", "--out", str(tmp_path / "out")])
    told = CompareFile.model_validate_json(shown.stdout)
    assert told.runs[0].fidelity[0].features == "abc1"
    assert [number.measure for number in told.fidelity[0].numbers] == ["MMD", "coverage"]
