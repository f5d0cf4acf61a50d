"""Runs side by side: what is averaged, what is told apart, and what is missing."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from itertools import combinations, permutations
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fedgen.cli.main import app
from fedgen.errors import StudyError
from fedgen.report.compare_chart import line_inks, utility_curve
from fedgen.report.compare_file import CompareFile
from fedgen.report.compare_page import compare_runs, panels, render, splits
from fedgen.run.directory import RunDirectory
from fedgen.run.row import Verdict

Made = Callable[..., Path]


SEED, OTHER_SEED = "seed: 3", "seed: 4"
EPSILON, STRICT = "epsilon: 8.0", "epsilon: 1.0"


def test_runs_that_differ_in_the_seed_alone_are_averaged(made: Made, tmp_path: Path) -> None:
    one, two = made("one", score=0.7), made("two", score=0.8, study={SEED: OTHER_SEED})
    strict = made("strict", score=0.6, study={EPSILON: STRICT})
    found = compare_runs([one, two, strict], tmp_path / "out")
    assert CompareFile.read(RunDirectory(tmp_path / "out")) == found
    (low, high) = found.averaged
    assert (low.asked, low.value, low.std, low.scored) == (1.0, 0.6, None, 1)
    assert high.value == pytest.approx(0.75)
    assert high.std == pytest.approx(0.0707, abs=1e-4)
    assert (high.low, high.high, high.scored) == (pytest.approx(0.6), pytest.approx(0.9), 2)
    assert low.line == high.line, "one curve"
    (panel,) = panels(found)
    assert panel.curve is not None
    assert len(list(panel.curve.iter("circle"))) == 2
    assert len(panel.legend) == 1


def test_other_splits_are_never_compared_without_saying_so(made: Made, tmp_path: Path) -> None:
    """The seed deals the patients, and equal counts hide it."""
    one, two = made("one"), made("two", study={SEED: OTHER_SEED})
    strict = made("strict", study={EPSILON: STRICT})
    found = compare_runs([one, two], tmp_path / "out")
    (panel,) = panels(found)
    assert "the seeds 3, 4" in (splits(panel.runs) or "")
    assert "NOT ONE SPLIT" in render(found)
    same = compare_runs([one, strict], tmp_path / "same")
    assert splits(same.runs) is None
    assert "NOT ONE SPLIT" not in render(same)
    shown = CliRunner().invoke(app, ["compare", str(one), str(two), "--out", str(tmp_path / "third")])
    assert "NOT ONE SPLIT" in shown.output


def test_a_run_and_its_copy_are_not_two(made: Made, tmp_path: Path) -> None:
    one, copy = made("one", score=0.7), made("copy", score=0.7, model="one")
    with pytest.raises(StudyError, match="one and copy have one study and one model"):
        compare_runs([one, copy], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_name_of_a_line_at_the_top_does_not_stand_on_the_label_of_the_axis(
    made: Made, tmp_path: Path
) -> None:
    one = made("one", score=0.7)
    (panel,) = panels(compare_runs([one], tmp_path / "out"))
    assert panel.curve is not None
    (averaged,) = panel.averaged
    at_top = averaged.model_copy(update={"real": 1.0, "high": 1.0})
    svg = utility_curve([at_top], line_inks([at_top]))
    assert svg is not None
    heights = {text.text: float(text.get("y") or "nan") for text in svg.iter("text") if text.text}
    assert heights["real images 1.000"] - heights[f"{averaged.measure}, {averaged.over}"] > 11


def test_another_option_is_another_line_with_its_name(made: Made, tmp_path: Path) -> None:
    one, two = made("one", score=0.7), made("two", score=0.8, study={"rounds: 3": "rounds: 5"})
    found = compare_runs([one, two], tmp_path / "out")
    assert sorted(each.name.rpartition("; ")[2] for each in found.averaged) == ["rounds 3", "rounds 5"]
    assert len(found.questions) == 1


@pytest.mark.parametrize(
    "change", [{"image_size: [16, 16]": "image_size: [32, 32]"}, {"steps: 2\n": "steps: 3\n"}]
)
def test_other_data_or_another_judge_is_another_question(
    made: Made, tmp_path: Path, change: dict[str, str]
) -> None:
    found = compare_runs([made("one"), made("two", study=change)], tmp_path / "out")
    assert len(found.questions) == len(panels(found)) == 2
    assert "not comparable" in render(found)


def test_other_test_patients_are_another_question(made: Made, tmp_path: Path) -> None:
    other = made("two")
    value = json.loads((other / "run.json").read_text())
    value["sites"][0]["parts"]["test"] += 1
    (other / "run.json").write_text(json.dumps(value))
    assert len(compare_runs([made("one"), other], tmp_path / "out").questions) == 2


def test_what_is_missing_is_named_and_does_not_hide_the_others(made: Made, tmp_path: Path) -> None:
    half = made("half", gone="evaluation.json", study={SEED: OTHER_SEED})
    found = compare_runs([made("one", score=0.7), half], tmp_path / "out")
    assert {run.run: run.missing for run in found.runs} == {"one": (), "half": ("stage assess",)}
    (averaged,) = found.averaged
    assert (averaged.scored, averaged.runs, averaged.value) == (1, ("one", "half"), 0.7)
    assert "half: stage assess" in render(found)


def test_a_verdict_is_the_worst_of_the_seeds_and_none_where_one_was_not_audited(
    made: Made, tmp_path: Path
) -> None:
    one, two = made("one"), made("two", study={SEED: OTHER_SEED})
    value = json.loads((two / "audit.json").read_text())
    (two / "audit.json").write_text(json.dumps({**value, "verdict": "FAIL"}))
    (averaged,) = compare_runs([one, two], tmp_path / "out").averaged
    assert averaged.verdict is Verdict.FAIL
    (two / "audit.json").unlink()
    (averaged,) = compare_runs([one, two], tmp_path / "out").averaged
    assert averaged.verdict is None


def test_without_privacy_a_run_stands_at_infinity(made: Made, tmp_path: Path) -> None:
    path = made("none", score=0.9, study={"mode: local": "mode: none"})
    value = json.loads((path / "privacy.json").read_text())
    (path / "privacy.json").write_text(json.dumps({**value, "mode": "none", "epsilon": None}))
    found = compare_runs([path, made("one", score=0.7)], tmp_path / "out")
    assert [each.asked for each in found.averaged] == [8.0, None]
    assert "\u221e" in render(found)


def test_folders_that_are_no_runs_or_given_twice_are_refused(made: Made, tmp_path: Path) -> None:
    one = made("one")
    with pytest.raises(StudyError, match="twice"):
        compare_runs([one, one], tmp_path / "out")
    with pytest.raises(StudyError, match=r"no study\.yaml"):
        compare_runs([one, tmp_path], tmp_path / "out")
    (tmp_path / "elsewhere").mkdir()
    shutil.copytree(one, tmp_path / "elsewhere" / "one")
    with pytest.raises(StudyError, match="same name"):
        compare_runs([one, tmp_path / "elsewhere" / "one"], tmp_path / "out")


def test_the_command_prints_a_table_and_writes_both_files(made: Made, tmp_path: Path) -> None:
    out = tmp_path / "out"
    one, half = made("one", score=0.7), made("half", gone="evaluation.json")
    told = CliRunner().invoke(app, ["compare", str(one), str(half), "--out", str(out)])
    assert told.exit_code == 0, told.output
    assert "TSTR AUROC" in told.output
    assert "half lacks stage assess." in told.output
    assert {path.name for path in out.iterdir()} >= {"compare.html", "compare.json"}
    page = (out / "compare.html").read_text()
    assert "<script" not in page
    assert "http" not in page.replace("http://www.w3.org", "")


def with_distances(path: Path, **extractors: float) -> Path:
    """A run with a pooled FID of each of these extractors."""
    file = path / "evaluation.json"
    value = json.loads(file.read_text())
    value["pooled"] = [row for row in value["pooled"] if not row["id"].startswith(("FID-", "KID-"))]
    value["rows"] = [row for row in value["rows"] if not row["id"].startswith(("FID-", "KID-"))]
    for name, distance in extractors.items():
        values = [{"name": "synthetic to real", "value": distance}]
        value["pooled"].append({"id": f"FID-{name}", "title": "FID", "group": "fidelity", "values": values})
    file.write_text(json.dumps(value))
    return path


def test_extractors_that_order_runs_otherwise_are_told(made: Made, tmp_path: Path) -> None:
    # Of four runs five of the six pairs are in one order: tau = (5 - 1) / 6, and exactly 4 of 24 orders differ as much.
    numbers = [(1.0, 10.0), (2.0, 20.0), (3.0, 40.0), (4.0, 30.0)]
    runs = [
        with_distances(made(f"run{k}", study={"seed: 3": f"seed: {k + 3}"}), radiomics=a, random_conv=b)
        for k, (a, b) in enumerate(numbers)
    ]
    found = compare_runs(runs, tmp_path / "out")
    (agreement,) = found.agreement
    assert (agreement.measure, agreement.one, agreement.other) == ("FID", "radiomics", "random_conv")
    assert (agreement.runs, agreement.over) == (4, "all patients")
    assert agreement.tau == pytest.approx(4 / 6)
    orders = [
        sum((p[i] < p[j]) * 2 - 1 for i, j in combinations(range(4), 2)) for p in permutations(range(4))
    ]
    assert agreement.p == pytest.approx(sum(abs(each) >= 4 for each in orders) / len(orders))
    text = (tmp_path / "out" / "compare.html").read_text()
    assert "Do extractors put the runs in one order?" in text and "radiomics and random_conv" in text


def test_of_two_runs_no_order_is_told(made: Made, tmp_path: Path) -> None:
    runs = [
        with_distances(made(f"run{k}", study={"seed: 3": f"seed: {k + 3}"}), radiomics=k, random_conv=k)
        for k in range(2)
    ]
    found = compare_runs(runs, tmp_path / "out")
    assert found.agreement == ()
    assert "in one order" not in render(found)
