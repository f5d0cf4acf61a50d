"""A federation from its rounds to its report, in one process: no stage of the coordinator sees a patient's image."""

from __future__ import annotations

import html
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import nibabel as nib
import pytest
import torch

from fedgen.data.site_data import LabelledImages, Part
from fedgen.errors import ExitCode, StudyError
from fedgen.evidence.files import CALM
from fedgen.federation.coordinator.aggregation import PlainAggregator
from fedgen.federation.coordinator.rounds import train
from fedgen.federation.exchange.direct import DirectExchange
from fedgen.federation.site.site import Site
from fedgen.pipeline import assessment, gather, stages
from fedgen.pipeline.assessment import Assessor
from fedgen.pipeline.federation import FederationSetting
from fedgen.pipeline.runner import run_again, run_stages
from fedgen.pipeline.setting import Setting
from fedgen.pipeline.stages import ASSESS
from fedgen.pipeline.watch import SILENT, Watcher
from fedgen.pipeline.workspace import Workspace
from fedgen.protocol.messages import Answer, Assess, Assessment, Refusal, Task
from fedgen.protocol.wire import decode_answer, decode_task, encode_answer, encode_task
from fedgen.recipe import Recipe
from fedgen.run.directory import RunDirectory
from fedgen.run.evidence_files import EvaluationFile
from fedgen.study.show import dump_study
from fedgen_privacy.accounting import epsilon_prv
from fedgen_privacy.ledger import Ledger

NAMES = ("east", "north")
BOTH = frozenset({"loss", "audit", "evaluation"})


class Wired:
    """A direct exchange whose messages go through the wire's form, and which some sites' answers never reach."""

    def __init__(self, sites: Sequence[Site]) -> None:
        self._exchange = DirectExchange(sites)
        self.asked: list[tuple[str, Task]] = []
        self.gone: set[str] = set()
        self.silent: set[str] = set()
        self.spoil: Callable[[Answer], Answer] = lambda answer: answer

    def sites(self) -> Sequence[str]:
        return [site for site in self._exchange.sites() if site not in self.gone]

    def stream(self, tasks: Mapping[str, Task], deadline: float) -> Iterator[tuple[str, Answer]]:
        assert not self.gone & set(tasks)
        self.asked += tasks.items()
        carried = {site: decode_task(*encode_task(task)) for site, task in tasks.items()}
        for site, answer in self._exchange.stream(carried, deadline):
            if not (site in self.silent and isinstance(tasks[site], Assess)):
                yield site, self.spoil(decode_answer(*encode_answer(answer)))

    def questions(self) -> list[str]:
        return [site for site, task in self.asked if isinstance(task, Assess)]


@pytest.fixture(scope="module")
def known() -> dict[Any, Any]:
    """Numbers of each site by question."""
    return {}


@pytest.fixture(autouse=True)
def _computed_once(monkeypatch: pytest.MonkeyPatch, known: dict[Any, Any]) -> None:
    """What a site finds for a question depends on nothing else, so these tests compute it once."""
    for part in ("audit_numbers", "evaluation_numbers"):
        real = getattr(assessment, part)

        def once(study: Any, data: Any, *rest: Any, part: str = part, real: Any = real) -> Any:
            (task,) = (each for each in rest if isinstance(each, Assess))
            key = (part, data.site, task.sha256)
            if key not in known:
                known[key] = real(study, data, *rest)
            return known[key]

        monkeypatch.setattr(assessment, part, once)


@pytest.fixture
def federation(tmp_path: Path, tiny_study: Any, tiny_site: Any) -> Callable[..., SimpleNamespace]:
    """`federation(metrics={"north": ...})`: two sites and a run; called again it is the same after a restart."""

    def build(
        metrics: Mapping[str, frozenset[str]] | None = None,
        geometry: Mapping[str, dict[str, Any]] | None = None,
        **sections: Any,
    ) -> SimpleNamespace:
        changed = {
            "training": {"rounds": 2},
            "audit": {"bootstrap": 100, "minimum_patients": 6},
            "evaluation": {"extractors": ("random_conv",), "seeds": 1, "steps": 1, "bootstrap": 100},
            # The same seed then gives the same run, and so the same verdict.
            "privacy": {"mode": "none"},
        }
        study = tiny_study(**{**changed, **sections})
        run = RunDirectory(tmp_path / "run")
        run.path.mkdir(exist_ok=True)
        run.study.write_text(dump_study(study))
        data = {
            name: replace(tiny_site(name, 12, held_out=12), **(geometry or {}).get(name, {}))
            for name in NAMES
        }
        folders = {name: tmp_path / "hospitals" / name for name in NAMES}
        sites = [
            Site(
                Recipe.of(study),
                data[name],
                folders[name],
                assessor=Assessor(
                    Recipe.of(study), data[name], folders[name], (metrics or {}).get(name, BOTH)
                ),
            )
            for name in NAMES
        ]
        exchange = Wired(sites)
        return SimpleNamespace(
            study=study,
            run=run,
            data=data,
            folders=folders,
            exchange=exchange,
            here=(here := FederationSetting(Workspace(run, study), exchange, PlainAggregator())),
            go=lambda watcher=SILENT, **options: run_stages(replace(here, **options), watcher),
            json=run.read_json,
        )

    return build


@pytest.fixture
def release(monkeypatch: pytest.MonkeyPatch) -> Callable[[torch.Tensor], None]:
    """`release(images)`: what the generator returns, in place of what it learned; 4 images of either class."""

    def patch(images: torch.Tensor) -> None:
        made = LabelledImages(images.half().float(), torch.arange(8) // 4)
        monkeypatch.setattr("fedgen.pipeline.release.synthesize", lambda *args, **options: made)

    return patch


@pytest.fixture
def harmless(release: Callable[[torch.Tensor], None]) -> None:
    """A generator that knows no patient."""
    release(torch.rand(8, 1, 16, 16, generator=torch.Generator().manual_seed(7)) * 2 - 1)


def watch(told: list[Any], at: Any = None) -> Watcher:
    def tell(what: Any) -> None:
        told.append(what)
        if what == at:
            raise KeyboardInterrupt

    return Watcher(stage=tell, round=lambda report: tell(report.round), sample=lambda done, total: None)


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


def test_a_harmless_generator_passes_at_every_site(federation, harmless) -> None:
    """The negative control."""
    it = federation()
    it.go()
    audit = it.json("audit.json")
    assert audit["verdict"] == "PASS", audit["reasons"]
    assert audit["reasons"] == [CALM]


@pytest.mark.parametrize("victim", NAMES)
def test_a_generator_that_returns_a_sites_training_images_fails_and_the_site_is_named(
    federation, release, victim
) -> None:
    """The positive control."""
    it = federation()
    train = it.data[victim].part(Part.TRAIN)
    release(torch.cat([train.images[train.labels == label][:4] for label in (0, 1)]))
    it.go()
    audit = it.json("audit.json")
    assert audit["verdict"] == it.json("run.json")["audit"]["verdict"] == "FAIL"
    assert {site["site"]: site["verdict"] == "FAIL" for site in audit["sites"]} == {
        name: name == victim for name in NAMES
    }
    first = audit["reasons"][0]
    assert first == f"Copy detection at {victim}: 8 synthetic images are pixel for pixel a training image."
    assert first in (it.run.path / "report.html").read_text()


def test_a_site_that_withholds_is_named_and_nothing_unknown_passes(federation, harmless) -> None:
    it = federation({"north": frozenset({"evaluation"})})
    it.go()
    audit = it.json("audit.json")
    assert audit["verdict"] == "INSUFFICIENT"
    assert audit["absent"] == [{"site": "north", "reason": "its policy withholds it"}]
    assert "north is in the model and sent no audit (its policy withholds it)." in audit["reasons"]
    assert [row["site"] for row in audit["sites"]] == ["east"]
    evaluation = it.json("evaluation.json")
    assert evaluation["absent"] == []
    (arm,) = (row for row in evaluation["rows"] if row["id"] == "TSTR")
    assert [row["site"] for row in arm["per_site"]] == list(NAMES)
    assert not (it.folders["north"] / "assessment" / "audit.json").exists()
    assert "north: its policy withholds it." in (it.run.path / "report.html").read_text()


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ("silent", "no answer within 7 s"),
        ("gone", "it was not connected"),
        ("refuses", "it refused: PolicyRefusedError"),
        ("renames itself", "it answered something else than its assessment"),
        ("answers for another", "it assessed another model or other images"),
        ("says what it likes", "it audited at another significance level than the study's"),
    ],
)
def test_a_site_without_an_answer_is_named_with_the_reason(
    federation, harmless, monkeypatch, how, reason
) -> None:
    it = federation()

    def spoil(answer: Answer) -> Answer:
        if getattr(answer, "audit", None) is None or answer.site != "north":
            return answer
        return {
            "refuses": Refusal(site="north", code=ExitCode.REFUSED, reason="PolicyRefusedError"),
            "renames itself": answer.model_copy(update={"site": "east"}),
            "answers for another": answer.model_copy(update={"question_sha256": "0" * 64}),
            "says what it likes": answer.model_copy(
                update={"audit": answer.audit.model_copy(update={"alpha": 1e-9})}
            ),
        }[how]

    if how == "silent":
        it.exchange.silent = {"north"}
    elif how == "gone":
        real = stages.assess

        def leave(here: Setting) -> None:
            it.exchange.gone = {"north"}
            monkeypatch.setattr(gather, "RECONNECT_SECONDS", 0.0)
            real(here)

        monkeypatch.setattr(stages, "assess", leave)
    else:
        it.exchange.spoil = spoil
    it.go(deadline=7.0)
    for name in ("audit.json", "evaluation.json"):
        assert it.json(name)["absent"] == [{"site": "north", "reason": reason}]
    assert it.json("audit.json")["verdict"] == "INSUFFICIENT"
    assert [row["parts"] for row in it.json("run.json")["sites"]][1] == {
        "train": 12,
        "audit": None,
        "test": None,
    }
    page = (it.run.path / "report.html").read_text()
    assert "Not every site audited." in page and "Not every site evaluated." in page


def test_a_site_that_comes_back_is_asked_then(federation, harmless, monkeypatch) -> None:
    it = federation()
    slept: list[float] = []

    def come_back(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 3:
            it.exchange.gone = set()

    real = stages.assess

    def leave(here: Setting) -> None:
        it.exchange.gone = {"north"}
        monkeypatch.setattr("fedgen.pipeline.gather.time.sleep", come_back)
        real(here)

    monkeypatch.setattr(stages, "assess", leave)
    it.go()
    assert len(slept) == 3
    assert it.exchange.questions() == ["east", "north"]
    assert it.json("audit.json")["absent"] == []


@pytest.mark.parametrize(
    ("code", "lost", "asked"),
    [
        (ExitCode.FEDERATION, 2, 3),
        (ExitCode.FEDERATION, 99, gather.TRIES),
        (ExitCode.REFUSED, 99, 1),
        (ExitCode.DATA, 99, 1),
    ],
)
def test_only_a_lost_connection_is_tried_again(federation, harmless, code, lost, asked) -> None:
    it = federation()
    answers: list[Answer] = []

    def spoil(answer: Answer) -> Answer:
        if not isinstance(answer, Assessment) or answer.site != "north":
            return answer
        answers.append(answer)
        return (
            Refusal(site="north", code=code, reason="the connection to it was lost")
            if len(answers) <= lost
            else answer
        )

    it.exchange.spoil = spoil
    it.go()
    assert it.exchange.questions() == ["east"] + ["north"] * asked
    assert all(answer == answers[0] for answer in answers)
    absent = (
        [] if lost < asked else [{"site": "north", "reason": "it refused: the connection to it was lost"}]
    )
    assert it.json("audit.json")["absent"] == absent


def test_a_site_asked_again_completes_the_run(federation, harmless) -> None:
    it = federation()
    it.exchange.silent = {"north"}
    it.go()
    assert it.json("audit.json")["verdict"] == "INSUFFICIENT"
    again = federation()
    run_again(again.here, ASSESS)
    assert again.exchange.questions() == ["north"]
    assert again.json("audit.json")["verdict"] == "PASS"
    assert again.json("audit.json")["absent"] == []


def test_a_release_drawn_anew_is_not_assessed_a_second_time(federation, harmless, release) -> None:
    it = federation()
    it.go()
    for name in ("samples/synthetic.safetensors", "audit.json", "evaluation.json"):
        (it.run.path / name).unlink()
    release(torch.rand(8, 1, 16, 16, generator=torch.Generator().manual_seed(8)) * 2 - 1)
    again = federation()
    again.go()
    audit = again.json("audit.json")
    assert audit["verdict"] == "INSUFFICIENT"
    assert [row["reason"] for row in audit["absent"]] == [
        "it refused: PrivacyRefusedError; the site's log has the reason"
    ] * 2


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
