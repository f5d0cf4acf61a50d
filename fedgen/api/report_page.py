"""A run's report as a value: text, a file, or a frame in a notebook."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from pathlib import Path

#: Height of the frame in a notebook, as CSS says it.
HEIGHT = "80vh"


@dataclass(frozen=True, repr=False)
class ReportPage:
    """One HTML page that needs nothing from outside.

    Attributes:
        path: where the run has it.
        html: the page.
    """

    path: Path
    html: str

    def __repr__(self) -> str:
        """Where it is."""
        return f"<report of {self.path.parent.name}: {self.path}>"

    def _repr_html_(self) -> str:
        """The page in a frame of its own, so that neither its style nor the notebook's reaches the other."""
        return (
            f'<iframe title="Report of {escape(self.path.parent.name)}" srcdoc="{escape(self.html)}" '
            f'sandbox="allow-popups" style="width: 100%; height: {HEIGHT}; border: 1px solid #8884"></iframe>'
        )
