"""What the synthetic set is worth, in one sentence that is made of rows and no kinder than they are."""

from __future__ import annotations

from collections.abc import Sequence

from fedgen.report.numbers import interval, number
from fedgen.run.row import Row, Verdict

#: A score of a control beside TSTR, and what it is.
CONTROLS = (("TRTR", "trained on real ones"), ("site-alone", "knowing an image's site alone"))
SIMPLE = "AUROC, simple judge"
TEXTURE, CHANCE = "AUROC, texture judge", 0.5
#: A difference in AUROC that three digits do not show.
SAME = 0.0005


def worth(rows: Sequence[Row]) -> str | None:
    """The sentences of a translation, of pairs, or of images with a class; None where nothing was compared."""
    found = {row.id: row for row in rows}
    said = [_translation(found), _pairs(found), of_classes(rows)]
    return " ".join(each for each in said if each is not None) or None


def _translation(found: dict[str, Row]) -> str | None:
    """What a model makes of its sources, beside their best linear map."""
    model, linear = found.get("translation-model"), found.get("translation-linear")
    if model is None:
        return None
    error = model.get("MAE")
    if error is None or error.value is None or model.verdict is None:
        return f"What the model is worth cannot be said. {model.reason or model.note or ''}".rstrip()
    beside = linear.get("MAE") if linear else None
    control = (
        f" (the best linear map of its sources: {number(beside.value)})"
        if beside and beside.value is not None
        else ""
    )
    return (
        f"On test patients the model's mean error in the body is {number(error.value)} of the window "
        f"[{interval(error.low, error.high)}]{control}: {model.reason}"
    )


def _pairs(found: dict[str, Row]) -> str | None:
    """What a segmentation network learns from synthetic pairs alone, beside real ones and the usual mask."""
    tstr, trtr = found.get("segmentation-TSTR"), found.get("segmentation-TRTR")
    if tstr is None or trtr is None:
        return None
    score = tstr.get("Dice")
    if trtr.verdict is Verdict.INSUFFICIENT or score is None or score.value is None:
        return f"What the synthetic pairs are worth cannot be said. {trtr.reason or tstr.note or ''}".rstrip()
    said = {"segmentation-TRTR": "trained on real ones", "segmentation-site-alone": "the site's usual mask"}
    beside = [
        f"{what} {number(value.value)}"
        for id, what in said.items()
        if id in found and (value := found[id].get("Dice")) is not None and value.value is not None
    ]
    return (
        f"Trained on the synthetic pairs alone, a network has Dice {number(score.value)} "
        f"[{interval(score.low, score.high)}] on real patients ({', '.join(beside)}). {tstr.reason}"
    )


def of_classes(rows: Sequence[Row]) -> str | None:
    """The sentence of images with a class; None where there is no downstream comparison.

    What it concludes are the findings of the rows TRTR and TSTR: INSUFFICIENT where the judge does not learn the real
    task, and of TSTR whether it beats chance and the site. Where it does, it is called as good as real only if the
    interval of its difference from TRTR holds zero, and even then with the width of that interval. A sentence on
    texture follows where the texture judge learns from real images and not from synthetic ones.
    """
    found = {row.id: row for row in rows}
    tstr, trtr = found.get("TSTR"), found.get("TRTR")
    if tstr is None or trtr is None:
        return None
    if trtr.verdict is Verdict.INSUFFICIENT:
        return f"What the synthetic set is worth cannot be said. {trtr.reason}"
    score = tstr.get("AUROC")
    if score is None or score.value is None or tstr.verdict is None:
        return f"What the synthetic set is worth cannot be said. {tstr.reason or tstr.note or ''}".rstrip()
    beside = [
        f"{said} {number(value.value)}"
        for id, said in CONTROLS
        if id in found and (value := found[id].get("AUROC")) is not None and value.value is not None
    ]
    told = f" ({', '.join(beside)})" if beside else ""
    return (
        f"Trained on the synthetic images alone, a classifier has AUROC {number(score.value)} "
        f"[{interval(score.low, score.high)}] on real patients{told}: {_conclusion(tstr, found)}"
    )


def _conclusion(tstr: Row, found: dict[str, Row]) -> str:
    if tstr.verdict is not Verdict.PASS:
        return f"the set is not shown to be worth anything. {tstr.reason}"
    return _beside_real(found) + _simple(tstr, found) + _texture(tstr, found["TRTR"])


def _simple(tstr: Row, found: dict[str, Row]) -> str:
    """Another sentence where the simple judge surely learns less, which a network that makes no error cannot show."""
    row = found.get("TSTR-against-TRTR")
    less, made, real = (None if each is None else each.get(SIMPLE) for each in (row, tstr, found.get("TRTR")))
    if less is None or less.high is None or less.high >= 0 or made is None or real is None:
        return ""
    return f" The simple judge learns less from it: {number(made.value)}, and {number(real.value)} from real images."


def _texture(tstr: Row, trtr: Row) -> str:
    """Another sentence where real texture teaches its judge and synthetic texture does not."""
    made, real = tstr.get(TEXTURE), trtr.get(TEXTURE)
    if made is None or real is None or made.low is None or real.low is None:
        return ""
    if made.low > CHANCE or real.low <= CHANCE:
        return ""
    return f" Texture is not in it: its judge has {number(made.value)}, and {number(real.value)} from real images."


def _beside_real(found: dict[str, Row]) -> str:
    row = found.get("TSTR-against-TRTR")
    less = None if row is None else row.get("AUROC")
    if less is None or less.low is None or less.high is None:
        return "it teaches something of the picture; how much less than real images is not known."
    if less.high < 0:
        return "it teaches something of the picture, and less than real images do."
    most = max(0.0, -less.low)
    if most < SAME:
        return "it teaches what real images teach of this task."
    return f"it teaches something of the picture; less than real images by {number(most)} at most."
