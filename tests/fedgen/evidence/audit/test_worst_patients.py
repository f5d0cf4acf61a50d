"""Who is most exposed is listed at the site, by its own numbers, and nowhere else."""

from __future__ import annotations

import json
from dataclasses import replace

import torch

from fedgen.data.site_data import Part
from fedgen.evidence.assess import assess_audit
from fedgen.evidence.leave import leaving_audit
from fedgen.evidence.measure import AuditedModel
from fedgen.study.study import Study


def test_the_patient_who_is_given_away_stands_first_and_in_no_row(make_world, labelled) -> None:
    world = make_world(11, 30, 20, 60, sites=2)
    # Numbers of a site have gaps where patients are in other parts: held-out ones come first here.
    sites = [
        replace(site, patients=(site.patients + 20) % 50 + 123456000 * (1 + index))
        for index, site in enumerate(world.sites)
    ]
    train = sites[1].patients[sites[1].parts == int(Part.TRAIN)]
    exposed = int(train.unique()[7])
    secret = sites[1].images[sites[1].patients == exposed][0].numpy().tobytes()
    rng = torch.Generator().manual_seed(0)

    def score(data):
        known = torch.tensor([image.numpy().tobytes() == secret for image in data.images])
        return torch.randn(data.n_images, generator=rng) + 100.0 * known

    study = Study.model_validate(
        {"study": {"name": "t"}, "data": {"labels": ["a"]}, "audit": {"bootstrap": 100}}
    )
    kept = []
    found = assess_audit(
        study, sites, labelled(world.strangers), AuditedModel({"loss": score}, None, 1e-5), keep=kept.append
    )
    (worst,) = [each for each in kept if each.name == "worst-patients"]
    assert len(worst.entries) == 20 and {entry["site"] for entry in worst.entries} == {"site0", "site1"}
    first = max(worst.entries, key=lambda entry: entry["score"])
    assert (first["site"], first["patient"], first["attack"], first["beyond"]) == (
        "site1",
        exposed,
        "loss",
        1.0,
    )
    members = {f"site{k}": set(s.patients[s.parts == int(Part.TRAIN)].tolist()) for k, s in enumerate(sites)}
    assert all(entry["patient"] in members[entry["site"]] for entry in worst.entries)
    alone = assess_audit(
        study, [sites[1]], labelled(world.strangers), AuditedModel({"loss": score}, None, 1e-5)
    )
    sent = json.dumps(leaving_audit(alone, 10).model_dump(mode="json"))
    for text in (found.model_dump_json(), sent):
        assert "worst-patients" not in text and str(exposed) not in text
