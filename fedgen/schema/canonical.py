"""The one JSON text of a value, for hashes and signatures."""

from __future__ import annotations

import json
from typing import Any


def canonical(values: Any) -> str:
    """JSON with sorted keys, no spaces and nothing but ASCII: equal values have equal text."""
    return json.dumps(values, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
