"""Whether images of another tool are on the intensity scale of the real ones: otherwise no audit sees a copy."""

from __future__ import annotations

from torch import Tensor

from fedgen.run.row import Finding, Row, Value, Verdict

SAME_SCALE = "same-scale"
#: Most of the real images' means lie between these quantiles.
SHARES = (0.01, 0.99)
CALM = "The synthetic images are as bright as real ones."


def same_scale(real: Tensor, made: Tensor) -> Row:
    """INSUFFICIENT where synthetic images are so bright or dark that they may have been saved on another scale.

    A copy on another scale is far from its original in every space, and planted copies, which are on the real scale,
    are found all the same: nothing else would tell.

    Args:
        real, made: (n, C, *size) in [-1, 1].
    """
    theirs, ours = (each.float().flatten(1).mean(dim=1) / 2 + 0.5 for each in (real, made))
    low, high = (float(theirs.quantile(share)) for share in SHARES)
    middle = float(ours.median())
    finding = Finding(verdict=Verdict.PASS, sentence=CALM)
    if not low <= middle <= high:
        sentence = (
            f"The synthetic images are {'darker' if middle < low else 'brighter'} than nearly all real ones (mean "
            f"{middle:.2f} of the window, real {low:.2f} to {high:.2f}). If they were saved on another scale, no audit "
            "here could find a copy: look at the pictures, and give --window and --synthetic-window."
        )
        finding = Finding(verdict=Verdict.INSUFFICIENT, sentence=sentence)
    return Row(
        id=SAME_SCALE,
        title="Intensity scale",
        group="audit",
        about="Mean intensity of an image, as a share of the window: of half the synthetic images more, beside the "
        "range in which nearly all real ones are.",
        values=(
            Value(name="synthetic images, median", value=middle),
            Value(name="real images, 1 % below", value=low),
            Value(name="real images, 1 % above", value=high),
        ),
        n={"real_images": len(real), "synthetic_images": len(made)},
        findings=(finding,),
    )
