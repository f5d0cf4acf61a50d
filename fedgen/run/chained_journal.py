"""A journal that shows what was done to it: each line is bound to the one before by its hash.

A line ends with `"chain"`, the SHA-256 of the line before's chain and of the line's own text. So a line that was
changed, moved, inserted, or removed from the middle is seen. Lines cut off at the end are missed by the HEAD, a small
file beside it with the number of lines and the last chain, replaced AFTER the lines are on disk: a crash in between
leaves it behind them, never ahead. It is the way of the privacy ledger (`fedgen_privacy.chain`), with one difference: a
ledger that is damaged refuses the next row, and a log goes on, since what happens now must leave its trace too. What is
wrong with it stays to be seen: the head of a damaged log is not moved any more.

It does not show who wrote a line, nor that file and head were put back together to an earlier state.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fedgen.run.atomic import unreadable, write_json
from fedgen.run.journal import Journal

GENESIS = "0" * 64
_LINE = re.compile(rb'(\{.*), "chain": "([0-9a-f]{64})"\}', re.DOTALL)
_BLOCK = 2**16


@dataclass(frozen=True)
class ChainVerified:
    """What the lines of a journal say of themselves.

    Attributes:
        lines: how many there are.
        chain: of the last one.
        broken: completes "The log ...": what is wrong; None where every line is as it was written.
    """

    lines: int
    chain: str
    broken: str | None


@dataclass(frozen=True)
class ChainedJournal(Journal):
    """The journal at `path`, with `<name>.head` beside it."""

    @property
    def head(self) -> Path:
        """The file with the number of lines and the last chain."""
        return self.path.with_name(f"{self.path.name}.head")

    def verify(self) -> ChainVerified:
        """Read the whole journal and its head.

        Raises:
            DataError: one of them cannot be read.
        """
        # The head first: it is never ahead of the lines, whoever writes meanwhile.
        head = self._head()
        lines = self._finished(0)
        chains, broken = [GENESIS], None
        for number, line in enumerate(lines, start=1):
            found = _LINE.fullmatch(line.rstrip(b"\n"))
            if found is None or _bound(chains[-1], found[1]) != found[2].decode():
                broken = broken or f"is not what was written from line {number} on"
            chains.append(_chain_of(line))
        if broken is None and head is None and lines:
            broken = f"has lost {self.head.name}, without which missing lines go unnoticed"
        if broken is None and head is not None:
            number, chain = head
            if number > len(lines):
                broken = f"has {len(lines)} lines where {number} were written"
            elif chains[number] != chain:
                broken = "holds other lines than were written to it"
        return ChainVerified(len(lines), chains[-1], broken)

    def _append(self, lines: Sequence[str]) -> None:
        before = chain = self._last()
        sealed = []
        for line in lines:
            text = line.removesuffix("}").encode()
            chain = _bound(chain, text)
            sealed.append(f'{text.decode()}, "chain": "{chain}"}}')
        super()._append(sealed)
        head = self._head() or (0, GENESIS) if before == GENESIS else self._head()
        if head is not None and head[1] == before:
            self._move(head[0] + len(lines), chain)
            return
        # A crash left it behind, or somebody was here.
        found = self.verify()
        if found.broken is None:
            self._move(found.lines, found.chain)

    def _move(self, lines: int, chain: str) -> None:
        write_json(self.head, {"lines": lines, "chain": chain})

    def _head(self) -> tuple[int, str] | None:
        """Number of lines and the last chain; one that is damaged fits no line."""
        try:
            found = json.loads(self.head.read_bytes())
            return max(0, int(found["lines"])), str(found["chain"])
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError):
            return 0, "damaged"
        except OSError as error:
            raise unreadable(self.head, error) from error

    def _last(self) -> str:
        """The chain of the last finished line, read from the end."""
        try:
            size = self.path.stat().st_size
        except FileNotFoundError:
            return GENESIS
        start = size
        while start > 0:
            start = max(0, start - _BLOCK)
            lines = self._finished(start)
            # The first may be the end of a longer line, unless the file begins with it.
            if len(lines) > 1 or (lines and start == 0):
                return _chain_of(lines[-1])
        return GENESIS


def _bound(chain: str, text: bytes) -> str:
    return hashlib.sha256(chain.encode() + b"\n" + text).hexdigest()


def _chain_of(line: bytes) -> str:
    """What the next line is bound to; of a line that was spoilt, its bytes as they are."""
    found = _LINE.fullmatch(line.rstrip(b"\n"))
    return hashlib.sha256(line).hexdigest() if found is None else found[2].decode()
