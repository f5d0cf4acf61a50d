"""A bundle's words are read as text: nothing in a configuration is evaluated, and damage is a sentence."""

from __future__ import annotations

import json

import pytest

from fedgen.bundles.about import about, plain
from fedgen.bundles.bundle_files import open_bundle
from fedgen.errors import DataError


def test_who_made_it_of_what_and_by_which_licence(bundle) -> None:
    found = about(open_bundle(bundle({})))
    assert found.title == "the MONAI bundle Small brains 0.3.1"
    assert found.made_of == "Draws small brains; phantoms of nobody; 2026 Nobody"
    assert found.licence == "Apache-2.0"
    assert found.networks == ("network_def: UNet (spatial_dims 2, strides [2, 2])",)


@pytest.mark.parametrize("ending", ["json", "yaml"])
def test_an_expression_is_not_evaluated(bundle, tmp_path, ending) -> None:
    ran = tmp_path / "ran"
    evil = f"$__import__('os').mkdir('{ran}')"
    config = {
        "imports": [evil],
        "network_def": {"_target_": "monai.networks.nets.UNet", "channels": evil, "in_channels": "@channels"},
        "evaluator": {"_target_": "subprocess.run", "args": ["touch", str(ran)]},
    }
    # JSON is YAML too.
    more = {"configs/inference.json": None, f"configs/inference.{ending}": json.dumps(config)}
    found = about(open_bundle(bundle({}, more)))
    assert not ran.exists()
    assert found.networks == (
        "network_def: UNet (channels (an expression, not evaluated), in_channels (an expression, not evaluated))",
    )


def test_yaml_makes_no_objects_and_has_no_aliases(bundle) -> None:
    for text in ("a: !!python/object/apply:os.system [true]", "a: &a [1]\nb: *a", "- a list", "a: ["):
        files = open_bundle(bundle({}, {"configs/inference.json": None, "configs/inference.yaml": text}))
        with pytest.raises(DataError, match=r"configs/inference\.yaml of .* is damaged"):
            about(files)


@pytest.mark.parametrize("text", ["{", "[]", "\x00", "[" * 100_000])
def test_damaged_metadata_is_refused(bundle, text) -> None:
    with pytest.raises(DataError, match=r"configs/metadata\.json of .* is damaged: it must be"):
        about(open_bundle(bundle({}, {"configs/metadata.json": text})))


def test_others_words_are_one_safe_line(bundle) -> None:
    assert plain("a\x1b[31m\n\n b\u202e c") == "a [31m b c"
    assert len(plain("x" * 1000)) == 300
    metadata = json.dumps({"name": "a\nb\x1b", "description": 3})
    found = about(open_bundle(bundle({}, {"configs/metadata.json": metadata, "LICENSE": None})))
    assert (found.title, found.made_of, found.licence) == ("the MONAI bundle a b", "", "")


@pytest.mark.parametrize(
    ("text", "licence"),
    [
        ("Permission is hereby granted, free of charge, to any person", "MIT"),
        ("Creative Commons Attribution-NonCommercial 4.0 International", "CC-BY-NC-4.0"),
        ("\n\nOur own terms\nmore", "Our own terms"),
    ],
)
def test_licences_are_known_or_told_by_their_first_line(bundle, text, licence) -> None:
    more = {"LICENSE": text, "docs/data_license.txt": "CC0 1.0 Universal"}
    assert about(open_bundle(bundle({}, more))).licence == f"{licence}, data: CC0-1.0"
