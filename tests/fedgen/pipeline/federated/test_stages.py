"""A federation from its rounds to its report, in one process: no stage of the coordinator sees a patient's image."""

from __future__ import annotations

import html
from typing import Any

import nibabel as nib
import pytest
import torch

from fedgen.errors import StudyError
from fedgen.federation.coordinator.aggregation import PlainAggregator
from fedgen.federation.coordinator.rounds import train
from fedgen.pipeline import gather
from fedgen.pipeline.watch import Watcher
from fedgen.recipe import Recipe
from fedgen.run.evidence_files import EvaluationFile
from fedgen_privacy.accounting import epsilon_prv
from fedgen_privacy.ledger import Ledger

NAMES = ("east", "north")


def watch(told: list[Any], at: Any = None) -> Watcher:
    def tell(what: Any) -> None:
        told.append(what)
        if what == at:
            raise KeyboardInterrupt

    return Watcher(stage=tell, round=lambda report: tell(report.round), images=lambda done, total: None)


def test_a_federation_ends_in_a_report_without_any_real_image(federation) -> None:
    it = federation()
    told: list[Any] = []
    it.go(watcher=watch(told))
    assert told == ["prepare", "train", 1, 2, "synthesize", "assess", "report"]
    summary = it.json("run.json")
    assert summary["status"] == "done"
    assert set(summary["timings"]) == {"prepare", "train", "synthesize", "assess", "report"}
    assert summary["data"] == {"source": "federation", "shared_patients": None}
    assert summary["rounds"] == 2
    assert [row["parts"] for row in summary["sites"]] == [{"train": 12, "audit": 12, "test": 12}] * 2
    counted = it.data["north"]
    assert summary["sites"][1]["images"] == counted.n_images
    assert summary["sites"][1]["patients"] == counted.n_patients

    audit = it.json("audit.json")
    assert [row["site"] for row in audit["sites"]] == list(NAMES)
    assert audit["absent"] == []
    assert audit["verdict"] == summary["audit"]["verdict"]
    assert all([site["site"] for site in row["per_site"]] == list(NAMES) for row in audit["rows"])
    assert audit["n"]["train_patients"] == 24
    assert audit["n"]["synthetic_images"] == 8
    rows = {row.id: row for row in EvaluationFile.read(it.run).rows}
    assert [part.site for part in rows["FID-random_conv"].per_site] == list(NAMES)
    auroc = rows["TRTR"].get("AUROC")
    alone = [part.get("AUROC").value for part in rows["TRTR"].per_site]
    assert auroc.value == pytest.approx(sum(alone) / 2)
    assert summary["evaluation"]["TRTR"]["AUROC"] == auroc.value
    assert summary["evaluation"]["FID-random_conv, north"].keys() >= {"synthetic to real"}

    # Nothing of the coordinator's folder holds an image of a patient, in any of the forms it could have.
    real = torch.cat([site.images for site in it.data.values()])
    needles = [image.numpy().tobytes()[:64] for image in real] + [
        image.float().numpy().tobytes()[:64] for image in real
    ]
    for path in it.run.path.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            assert not any(needle in content for needle in needles), path
    assert not (it.run.figures / "real_vs_synthetic.json").exists()
    assert not (it.run.figures / "neighbours.json").exists()
    assert not it.run.sites.exists()


def test_the_epsilon_stated_is_never_below_the_ledgers(federation) -> None:
    it = federation(privacy={"mode": "local"})
    it.go()
    report = it.json("privacy.json")
    assert [row["site"] for row in report["sites"]] == list(NAMES)
    for row in report["sites"]:
        spends = Ledger(it.folders[row["site"]] / "ledger.jsonl").spends()
        assert row["epsilon"] == epsilon_prv(spends, it.study.privacy.delta) <= it.study.privacy.epsilon
    assert report["shared_patients"] is None
    assert "nobody can count the patients" in report["statement"]
    assert any("sees no ledger" in limit for limit in report["limits"])


def test_a_second_call_asks_nobody_and_changes_no_result(federation) -> None:
    it = federation()
    it.go()
    products = ("privacy.json", "samples/synthetic.safetensors", "audit.json", "evaluation.json")
    before = {name: (it.run.path / name).read_bytes() for name in products}
    again = federation()
    again.go()
    assert again.exchange.asked == []
    assert {name: (it.run.path / name).read_bytes() for name in products} == before


def test_a_run_stopped_at_every_point_in_turn_charges_each_round_once(federation) -> None:
    told: list[Any] = []
    for at in (1, "assess", "report"):
        it = federation(privacy={"mode": "local"})
        with pytest.raises(KeyboardInterrupt):
            it.go(watcher=watch(told, at))
        assert it.json("run.json")["status"] == "interrupted"
    it = federation(privacy={"mode": "local"})
    it.go(watcher=watch(told))
    starts = [["prepare", "train", 1], ["prepare", "train", 2, "synthesize", "assess"]]
    starts += [["prepare", "assess", "report"], ["prepare", "report"]]
    assert told == [what for start in starts for what in start]
    assert it.json("run.json")["status"] == "done"
    charged = [[row.round for row in Ledger(folder / "ledger.jsonl")] for folder in it.folders.values()]
    assert charged == [[1, 2], [1, 2]]
    assert [row["steps"] for row in it.json("privacy.json")["sites"]] == [4, 4]


@pytest.mark.slow
@pytest.mark.parametrize("at", [1, "assess", "report"])
def test_a_stopped_run_goes_on_where_it_was(federation, at) -> None:
    private = {"privacy": {"mode": "local"}}
    it = federation(**private)
    with pytest.raises(KeyboardInterrupt):
        it.go(watcher=watch([], at))
    assert it.json("run.json")["status"] == "interrupted"
    again = federation(**private)
    told: list[Any] = []
    again.go(watcher=watch(told))
    order = ["train", "synthesize", "assess", "report"]
    rest = order[order.index("train" if at == 1 else at) :]
    assert told == ["prepare", *([rest[0], 2, *rest[1:]] if at == 1 else rest)]
    assert it.json("run.json")["status"] == "done"
    charged = [[row.round for row in Ledger(folder / "ledger.jsonl")] for folder in it.folders.values()]
    assert charged == [[1, 2], [1, 2]]
    assert [row["steps"] for row in it.json("privacy.json")["sites"]] == [4, 4]


def test_a_run_killed_while_sites_assess_asks_the_others_only(federation, monkeypatch) -> None:
    it = federation()

    def killed(*args: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(gather, "_join", killed)
        it.exchange.silent = {"north"}
        with pytest.raises(KeyboardInterrupt):
            it.go()
    assert it.exchange.questions() == ["east", "north"]
    again = federation()
    again.go()
    assert again.exchange.questions() == ["north"]
    assert again.json("audit.json")["absent"] == []


@pytest.mark.slow
def test_a_coordinator_may_train_by_itself_and_finish(federation) -> None:
    """Without the notes of `Asking` every round counts for every site."""
    it = federation(privacy={"mode": "local"})
    train(Recipe.of(it.study), it.exchange, PlainAggregator(), it.run)
    it.go()
    for row in it.json("privacy.json")["sites"]:
        spends = Ledger(it.folders[row["site"]] / "ledger.jsonl").spends()
        assert row["epsilon"] == epsilon_prv(spends, it.study.privacy.delta)


def test_a_release_has_the_geometry_that_all_sites_agree_on(federation) -> None:
    geometry = {
        "east": {"spacing": (2.5, 3.0), "orientation": "PR"},
        "north": {"spacing": (2.51, 3.0), "orientation": "PR"},
    }
    it = federation(geometry=geometry, synthesis={"images": 8, "formats": ("png", "nifti")})
    it.go()
    summary = it.json("run.json")
    assert summary["findings"] == []
    assert summary["image"] == {"channels": 1, "size": [16, 16], "spacing": [2.505, 3.0], "orientation": "PR"}
    files = list(it.run.samples.glob("*.nii.gz"))
    assert len(files) == 8
    for file in files:
        volume = nib.load(file)
        assert nib.aff2axcodes(volume.affine) == ("R", "A", "S")
        assert volume.header.get_zooms() == pytest.approx((3.0, 2.505, 1.0))


@pytest.mark.slow
def test_a_release_says_what_the_sites_do_not_agree_on(federation) -> None:
    geometry = {
        "east": {"spacing": (2.5, 3.0), "orientation": "PR"},
        "north": {"spacing": (2.5, 3.0), "orientation": "PL"},
    }
    it = federation(geometry=geometry, synthesis={"images": 8, "formats": ("nifti",)})
    it.go()
    (sentence,) = it.json("run.json")["findings"]
    assert "left and right of the patient must not be read from it (east PR, north PL)" in sentence
    header = nib.load(next(it.run.samples.glob("*.nii.gz"))).header
    assert (header["sform_code"], header["qform_code"]) == (0, 0)
    assert header.get_zooms()[:2] == (3.0, 2.5)
    assert sentence in html.unescape((it.run.path / "report.html").read_text(encoding="utf-8"))


def test_a_coordinator_without_the_studys_device_asks_nobody(federation) -> None:
    made = federation(training={"rounds": 2, "device": "cuda:77"})
    with pytest.raises(StudyError, match=r"^training\.device asks for cuda:77"):
        made.go()
    assert made.exchange.asked == []
    assert made.json("run.json")["status"] == "failed"
