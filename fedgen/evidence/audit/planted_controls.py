"""Two controls beside every audit of samples: planted copies must be flagged, real images of other people must not.

An audit that does not see a release of nothing but copies, pixel for pixel, is blind, and one that sees copies where
none can be cries wolf: of either nothing follows, and its row is INSUFFICIENT. The smallest share of copies that was
flagged is printed with the row: the effect that this audit, of these patients, would have seen.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch

from fedgen.data.site_data import LabelledImages
from fedgen.evidence.audit.audited import AuditedGroup, AuditedSite, join
from fedgen.evidence.audit.drawn_samples import Drawn, Samples, drawn
from fedgen.evidence.measure import Real
from fedgen.evidence.verdict import Undecided
from fedgen.run.row import Finding, Value, Verdict

#: p-value against "the release is harmless", of samples whose sites are taken together.
Instrument = Callable[[Samples], float]

#: Shares of the release that are replaced by copies of training images, the smallest first.
PLANTED = (0.1, 0.25, 0.5, 1.0)
#: An audit cries wolf where other people's images are flagged at this level. It is far below that of the audit itself:
#: with many audits at many sites one in twenty would be flagged by chance.
WOLF = 0.001
SMALLEST = "smallest detectable share of planted copies"
CLEAN = "p, real images of other people as the release"


@dataclass(frozen=True)
class Controls:
    """Samples of which the answer is known.

    Attributes:
        planted: share of copies to samples; every second copy is shifted and with noise.
        exact: nothing but copies pixel for pixel.
        clean: real images of people in neither side as the release; None where there are too few of them.
    """

    planted: dict[float, Samples]
    exact: Samples
    clean: Samples | None


def beside_controls(
    found: Undecided, instrument: Instrument, real: Real, made: LabelledImages, alpha: float, seed: int
) -> Undecided:
    """An audit's row with what its instrument said of the two controls.

    Args:
        found: the row of an audit that had patients enough.
        instrument: what the audit hangs on.
        real: the patients.
        made: the release.
        alpha: level at which a control is flagged, uncorrected.
        seed: of what is drawn.
    """
    tried = real.once(("controls", made, seed), lambda: controls(drawn(real, made, seed), seed))
    smallest, p_planted = _smallest(instrument, tried.planted, alpha)
    p_clean = None if tried.clean is None else instrument(tried.clean)
    largest = max(PLANTED)
    # A test of the whole set's distances may well not see copies among samples that are farther: said, and not blind.
    p_exact = None if smallest is not None else instrument(tried.exact)
    values = (
        *found.row.values,
        Value.of(
            SMALLEST,
            smallest,
            note=f"of {', '.join(f'{share:.0%}' for share in PLANTED)}, every second copy shifted and with noise"
            + ("" if p_exact is None else f"; not even {largest:.0%} (p = {p_planted:.2g})")
            + (
                ""
                if p_exact is None or p_exact > alpha
                else f", but nothing but exact copies is (p = {p_exact:.2g})"
            ),
        ),
        Value.of(CLEAN, p_clean, note="too few other people" if p_clean is None else None),
    )
    said, hypotheses = list(found.row.findings), found.hypotheses
    if p_exact is not None and p_exact > alpha:
        said.append(
            _insufficient(
                "This audit is blind here: it does not flag a release of nothing but copies of training images, pixel "
                f"for pixel (p = {p_exact:.2g})."
            )
        )
    if p_clean is not None and p_clean <= WOLF:
        said.append(
            _insufficient(
                f"This audit cries wolf here: it flags real images of other people (p = {p_clean:.2g}), so what it "
                "says of the release means nothing."
            )
        )
        hypotheses = ()
    row = found.row.model_copy(update={"values": values, "findings": tuple(said)})
    return replace(found, row=row, hypotheses=hypotheses)


def _insufficient(sentence: str) -> Finding:
    return Finding(verdict=Verdict.INSUFFICIENT, sentence=sentence)


def _smallest(
    instrument: Instrument, planted: dict[float, Samples], alpha: float
) -> tuple[float | None, float]:
    """The smallest share that is flagged, None where none is, and the last p-value."""
    p = 1.0
    for share, samples in planted.items():
        p = instrument(samples)
        if p <= alpha:
            return share, p
    return None, p


def controls(of: Drawn, seed: int) -> Controls:
    """Both controls of a release."""
    rng = np.random.default_rng(seed)
    sides = of.samples.together
    order = torch.from_numpy(rng.permutation(of.samples.synthetic.n_images))
    queue = torch.from_numpy(rng.permutation(of.copies.n_images))
    return Controls(
        {share: Samples((sides,), _with_copies(of, share, order, queue)) for share in PLANTED},
        Samples((sides,), of.copies.rows(_exact(of, len(order)))),
        _clean(of.strangers, sides, rng),
    )


def _with_copies(of: Drawn, share: float, order: torch.Tensor, queue: torch.Tensor) -> AuditedGroup:
    count = max(1, round(share * len(order)))
    copies = queue[torch.arange(count) % len(queue)]
    return join([of.samples.synthetic.rows(order[count:]), of.copies.rows(copies)])


def _exact(of: Drawn, count: int) -> torch.Tensor:
    """Rows of copies that are pixel for pixel: every second one, from the first."""
    exact = torch.arange(0, of.copies.n_images, 2)
    return exact[torch.arange(count) % len(exact)]


def _clean(strangers: AuditedGroup, sides: AuditedSite, rng: np.random.Generator) -> Samples | None:
    if strangers.n_images:
        return Samples((sides,), strangers)
    # Without other people half of those held out play them.
    owners = torch.unique(sides.held_out.patients)
    half = owners[torch.from_numpy(rng.permutation(len(owners))[: len(owners) // 2])]
    played = torch.isin(sides.held_out.patients, half)
    if not bool(played.any()) or bool(played.all()):
        return None
    rest = replace(sides, held_out=sides.held_out.rows(~played))
    return Samples((rest,), sides.held_out.rows(played))
