"""`fedgen release`, `verify` and `load`: a run becomes a signed release, which whoever gets it checks and reads."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fedgen.cli.hints import EXPORT
from fedgen.cli.runs import RunFolder
from fedgen.errors import DataError, StudyError
from fedgen.run.hints import speak_as

if TYPE_CHECKING:
    from fedgen.pipeline.sign_release import Acceptance, SignedRelease
    from fedgen.release.checked import Verified

Release = Annotated[
    Path, typer.Argument(metavar="RELEASE", help="A signed release: its folder or its zip archive.")
]
Key = Annotated[
    str | None,
    typer.Option(
        "--key",
        metavar="PUBLIC",
        help="Public key of whoever should have signed it: 64 hex digits, or a file that holds them.",
    ),
]
AcceptReview = Annotated[
    str | None,
    typer.Option(
        "--accept-review", metavar="WHY", help="Accept the verdict REVIEW, for this reason; with --by."
    ),
]
By = Annotated[str | None, typer.Option("--by", metavar="NAME", help="Who accepts it; the release says so.")]


def release(run: RunFolder, accept_review: AcceptReview = None, by: By = None) -> None:
    """Pack a simulation's release into one signed folder and archive, where its verdict and its study allow it."""
    acceptance = acceptance_of(accept_review, by)
    from fedgen.pipeline.own_signature import SIGNER, own_signature
    from fedgen.pipeline.sign_release import sign_release
    from fedgen.pipeline.simulation import Simulation

    speak_as(EXPORT)
    here = Simulation.open(run)
    tell(sign_release(here.work, own_signature(), SIGNER, here.kept_keys, acceptance))


def acceptance_of(why: str | None, by: str | None) -> Acceptance | None:
    """What the two options say together.

    Raises:
        StudyError: one is given without the other.
    """
    from fedgen.pipeline.sign_release import Acceptance

    if why is None and by is None:
        return None
    if why is None or by is None:
        raise StudyError(
            "A REVIEW is accepted by a person with a reason: give both --accept-review and --by."
        )
    return Acceptance(by=by, why=why)


def tell(made: SignedRelease) -> None:
    """What was written, and how others check it."""
    gate = made.manifest.gate
    said = "" if gate.accepted is None else f", accepted by {gate.accepted.name}: {gate.accepted.why}"
    typer.echo(f"gate: {gate.verdict}{said}")
    typer.echo(f"release: {made.archive} (and as a folder, {made.folder})")
    typer.echo(f"key: {made.manifest.signer.key}")
    typer.echo(
        "Tell whoever gets it the key on another way than the release; they check it with: "
        f"fedgen verify {made.archive.name} --key {made.manifest.signer.key}"
    )


def verify_release(
    release: Release,
    key: Key = None,
    site: Annotated[
        list[str] | None,
        typer.Option("--site", metavar="NAME=PUBLIC", help="Public key of a site; several times."),
    ] = None,
) -> None:
    """Check every file, the signature, the gate and the sites' receipts of a release, without a network."""
    from fedgen.api.looks import verify

    keys = {}
    for each in site or ():
        name, _, told = each.rpartition("=")
        if not name or not told:
            raise StudyError(f"--site {each!r} must be NAME=PUBLIC: a site's name and its key.")
        keys[name] = told
    speak_as(EXPORT)
    verified = verify(release, key=key, sites=keys)
    _print(verified)
    if verified.wrong:
        raise DataError(
            f"{release} is NOT what was signed ({len(verified.wrong)} checks failed): use nothing of it, and get it "
            "again from whoever released it."
        )
    left = sum(line.outcome == "not checked" for line in verified.lines)
    typer.echo(f"{release} is what was signed; {left} thing{'s' * (left != 1)} could not be checked.")


def load(
    release: Release,
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="A new file, ending in .npz.")],
    key: Key = None,
    form: Annotated[
        str | None,
        typer.Option("--format", help="png, nifti or dicom; the one that says most where not given."),
    ] = None,
) -> None:
    """Verify a release and write its images, labels, classes and spacing as arrays, for numpy."""
    if out.suffix != ".npz":
        raise StudyError(f"{out} must end in .npz.")
    if out.exists():
        raise StudyError(f"{out} exists: name another file, or remove it.")
    from fedgen.release.open_release import load_release
    from fedgen.release.release_arrays import write_arrays

    speak_as(EXPORT)
    images = load_release(release, form, key=key)
    shape = write_arrays(images, out)
    typer.echo(
        f"{out}: {' x '.join(map(str, shape))} of {', '.join(images.classes)}. Synthetic: for research only."
    )


def _print(verified: Verified) -> None:
    for line in verified.lines:
        typer.echo(f"{line.outcome:<12} {line.about}: {line.sentence}")
