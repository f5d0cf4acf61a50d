"""Published weights as a file that a study can start from, with where they come from written into it.

Nobody but the one who imports knows what the weights were trained on. So source and licence are said, by the bundle or
by hand, and whoever knows that a site's patients are among them says that too: a private study there is then refused.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import yaml
from pydantic import ValidationError

from fedgen.bundles.about import BundleCard, about, plain
from fedgen.bundles.bundle_files import MOST_WEIGHTS, BundleFiles, open_bundle
from fedgen.bundles.fill import Filled, Wishes, fill
from fedgen.bundles.state_dict import read_state
from fedgen.errors import DataError, StudyError
from fedgen.families.registry import specs
from fedgen.recipe import Recipe
from fedgen.run.atomic import write_atomic
from fedgen.study.model import PretrainedSection
from fedgen.study.study import Study
from fedgen.training.pretrained import SUFFIX, Origin, encode

#: Endings of files that may hold weights, the safest first; TorchScript is known so that it can be refused by name.
ENDINGS = (".safetensors", ".pt", ".pth", ".bin", ".ckpt")
TORCHSCRIPT = ".ts"


@dataclass(frozen=True)
class Attribution:
    """What the one who imports says.

    Attributes:
        source: where the weights come from and what they were trained on; None takes the bundle's own words.
        licence: None takes the bundle's own.
        sites: whose patients are among those they were trained on.
    """

    source: str | None = None
    licence: str | None = None
    sites: Sequence[str] = field(default=())


@dataclass(frozen=True)
class Imported:
    """A file of weights.

    Attributes:
        path: where it is.
        start: what a study writes under `model.pretrained`.
        about: what the bundle says of itself.
        filled: what is from where.
    """

    path: Path
    start: PretrainedSection
    about: BundleCard
    filled: Filled

    @property
    def yaml(self) -> str:
        """Lines to paste into a study."""
        lines = {"model": {"pretrained": self.start.model_dump()}}
        return yaml.safe_dump(lines, sort_keys=False, allow_unicode=True, width=10**6)


def import_weights(
    source: Path, study: Study, out: Path, said: Attribution, wishes: Wishes, weights: Sequence[str] = ()
) -> Imported:
    """Write published weights as a file of the study's networks.

    Args:
        source: a MONAI bundle's folder or zip, or a file of weights.
        study: whose family's networks they are for.
        out: a new file that ends in `.safetensors`.
        said: where they come from.
        wishes: where they belong, and what may be without them.
        weights: names of files in the bundle; empty where it has one alone.

    Raises:
        StudyError: a name or a wish fits nothing, or nobody says source or licence.
        DataError: the bundle is damaged, or its weights are not the study's.
    """
    if out.suffix != SUFFIX or out.exists():
        raise StudyError(f"{out} must be a new file that ends in {SUFFIX}: choose another name.")
    if specs()[study.model.family].stands(study.model.options):
        raise StudyError(
            f"The family {study.model.family} of this study starts from no weights: make it a prior with `fedgen prior "
            "build`."
        )
    files = open_bundle(source)
    own = about(files)
    chosen = _chosen(files, weights)
    contents = {name: files.read(name, MOST_WEIGHTS) for name in chosen}
    states = {name: read_state(content, name) for name, content in contents.items()}
    filled = fill(Recipe.of(study).drawn(), states, wishes)
    start, content = _written(own, said, filled, contents)
    write_atomic(out, content)
    return Imported(out, start, own, filled)


def _chosen(files: BundleFiles, asked: Sequence[str]) -> tuple[str, ...]:
    held = [name for name in files.names if PurePosixPath(name).suffix in ENDINGS]
    if asked:
        for name in asked:
            if name not in files.names:
                raise StudyError(f"{files.title} has no file {name}: it has {_listed(held)}.")
        return tuple(dict.fromkeys(asked))
    if len(files.names) == 1 and not held and not files.names[0].endswith(TORCHSCRIPT):
        return files.names
    if not held:
        scripts = [name for name in files.names if name.endswith(TORCHSCRIPT)]
        why = (
            f"{scripts[0]} is TorchScript, which is a program and not weights, and is not run"
            if scripts
            else "none"
        )
        raise DataError(f"{files.title} has no file of weights ({why}): get one with {' or '.join(ENDINGS)}.")
    # One set of weights in two formats is read in the safer one.
    stems = {name.removesuffix(PurePosixPath(name).suffix) for name in held}
    if len(stems) > 1:
        raise StudyError(
            f"{files.title} has several files of weights ({_listed(held)}): name them with --weights."
        )
    return (min(held, key=lambda name: ENDINGS.index(PurePosixPath(name).suffix)),)


def _written(
    own: BundleCard, said: Attribution, filled: Filled, contents: Mapping[str, bytes]
) -> tuple[PretrainedSection, bytes]:
    made_of, licence = said.source or own.made_of, said.licence or own.licence
    if not made_of or not licence:
        lacking = "what it was trained on (--source)" if not made_of else "its licence (--licence)"
        raise StudyError(
            f"{own.title[:1].upper()}{own.title[1:]} does not say {lacking}, and every site reads that before it "
            "approves: say it."
        )
    words = f"{own.title[:1].upper()}{own.title[1:]}: {plain(made_of, 1500).rstrip('.')} ({plain(licence)})."
    if filled.missing:
        words += f" {len(filled.missing)} of {len(filled.weights)} parameters are not from it, but random."
    digest = hashlib.sha256(b"".join(hashlib.sha256(content).digest() for content in contents.values()))
    origin = Origin(
        study=own.title,
        study_sha256=digest.hexdigest(),
        mode="none",
        # Whoever imports it has said by which licence it is to be had.
        public=True,
        unprotected=tuple(said.sites),
        protected=(),
        source=words,
        statement=f"{own.title}, imported; nothing is promised to those whose data it was trained on",
    )
    content = encode(filled.weights, origin)
    try:
        start = PretrainedSection(sha256=hashlib.sha256(content).hexdigest(), source=words)
    except ValidationError:
        raise StudyError("--source and --licence must be a sentence of fewer than 1500 characters.") from None
    return start, content


def _listed(names: Sequence[str]) -> str:
    return ", ".join(plain(name, 80) for name in names[:8]) + (", ..." if len(names) > 8 else "")
