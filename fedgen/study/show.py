"""Study -> YAML with every default written out, and its hash."""

from __future__ import annotations

import hashlib

import yaml

from fedgen.schema.canonical import canonical
from fedgen.schema.document import Dumper
from fedgen.study.study import Study


def dump_study(study: Study) -> str:
    """The resolved study as YAML; loading it gives an equal study."""
    return yaml.dump(
        study.model_dump(mode="json"), Dumper=Dumper, sort_keys=False, allow_unicode=True, width=110
    )


def study_hash(study: Study) -> str:
    """SHA-256 (hex) of the resolved study as canonical JSON; equal studies have equal hashes.

    Comments, order of keys and defaults left out or written out make no difference.
    """
    return hashlib.sha256(canonical(study.model_dump(mode="json")).encode()).hexdigest()
