"""What a run writes down of its images, and when a person is told of what is not known."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import nibabel as nib
import pytest
import torch

from fedgen.data.index import PatientIndex, write_index
from fedgen.data.prepare import Prepared
from fedgen.errors import DataError
from fedgen.pipeline.asked import Asking, spent, stated
from fedgen.pipeline.grid_record import joined_image, recorded_image
from fedgen.pipeline.runner import run_stages
from fedgen.protocol.messages import SiteDescription, TrainRound
from fedgen.recipe import Recipe
from fedgen.run.directory import RunDirectory
from fedgen.run.summary import RunSummary, update_summary
from fedgen.task.image_spec import ImageSpec
from fedgen.training.vector import vector_sha256


def grid(spacing: Any = None, orientation: str = "") -> ImageSpec:
    return ImageSpec(channels=1, size=(16, 16), spacing=spacing, orientation=orientation)


def described(site: str, grid: ImageSpec | None) -> SiteDescription:
    return SiteDescription(
        site=site,
        patients=9,
        sampling_rate=0.5,
        noise_multiplier=0.0,
        steps_per_round=2,
        epsilon=None,
        epsilon_rdp=None,
        grid=grid,
    )


@pytest.fixture
def run(tmp_path) -> RunDirectory:
    return RunDirectory.create(tmp_path, "tiny")


def test_what_all_agree_on_is_read_back(run, tiny_study) -> None:
    both = grid((1.0, 2.0), "PL")
    image, told = joined_image(tiny_study(), [stated(described("a", both)), stated(described("b", both))])
    assert (image, told) == (both, [])
    update_summary(run, RunSummary(image=image))
    assert recorded_image(run) == both


@pytest.mark.parametrize(
    ("formats", "grids", "told"),
    [
        (("png",), (grid(), grid()), 0),
        (("png",), (None, None), 0),
        (("png", "nifti"), (grid(), grid()), 2),
        (("png",), (grid((1.0, 1.0), "PL"), grid()), 2),
        (("png",), (grid((1.0, 1.0)), grid((2.0, 2.0))), 1),
        (("png",), (grid((1.0, 1.0), "PL"), grid((1.0, 1.0), "PR")), 1),
    ],
)
def test_a_person_is_told_of_what_is_missed(tiny_study, formats, grids, told) -> None:
    study = tiny_study(synthesis={"images": 8, "formats": formats})
    sites = [stated(described(name, each)) for name, each in zip("ab", grids, strict=True)]
    assert len(joined_image(study, sites)[1]) == told


def test_a_run_that_has_not_trained_has_no_image_yet(run) -> None:
    update_summary(run, RunSummary(status="running"))
    with pytest.raises(DataError, match="does not say what its images are"):
        recorded_image(run)


def test_the_geometry_of_a_site_that_is_away_is_not_forgotten(run, tiny_study) -> None:
    class Exchange:
        def sites(self) -> list[str]:
            return ["a"]

        def stream(self, tasks: Any, deadline: float) -> Any:
            yield "a", described("a", grid((1.0, 2.0), "PL"))

    asking = Asking(Exchange(), run)
    list(asking.stream({}, 1.0))
    model = torch.zeros(3)
    task = TrainRound(study_sha256="0" * 64, round=1, model_sha256=vector_sha256(model), model=model)
    list(asking.stream({"a": task}, 1.0))
    sites, _ = spent(Recipe.of(tiny_study(privacy={"mode": "none"})), RunDirectory(run.path), [], 1)
    assert [site.grid for site in sites] == [grid((1.0, 2.0), "PL")]


def test_a_simulation_writes_what_its_sites_say(simulation, watcher, tiny_site, monkeypatch) -> None:
    sites = [
        replace(tiny_site(n, 9, held_out=4), spacing=(2.0, 1.5), orientation="IR") for n in ("north", "south")
    ]

    def prepare(study: Any, source: Any, run_data: Any, cache: Any, progress: Any, more: Any) -> Prepared:
        write_index(run_data / "index.json", PatientIndex("bids", ()))
        return Prepared(sites, [], 0)

    monkeypatch.setattr("fedgen.pipeline.simulation.prepare_sites", prepare)
    here = simulation(synthesis={"images": 8, "formats": ("nifti",)})
    watcher.at, watcher.error = "assess", KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        run_stages(here, watcher.watcher)
    assert recorded_image(here.work.run) == grid((2.0, 1.5), "IR")
    volume = nib.load(next(here.work.run.samples.glob("*.nii.gz")))
    assert (volume.shape, volume.header.get_zooms()) == ((16, 1, 16), (1.5, 1.0, 2.0))
    assert nib.aff2axcodes(volume.affine) == ("R", "A", "S")
