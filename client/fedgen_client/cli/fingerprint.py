"""`fedgen-client fingerprint`: one's own key to be read over the telephone, and a roster beside those one has heard."""

from __future__ import annotations

from typing import Annotated, Literal

import typer
from pydantic import Field

from fedgen.cli.as_json import AsJson, print_told, tells
from fedgen.errors import ExitCode
from fedgen.protocol.spoken_key import spoken_key
from fedgen.schema.section import Section
from fedgen_client.cli.options import DEFAULT_FOLDER, Folder, say, site
from fedgen_client.site_file import PolicySection
from fedgen_client.studies import Studies

Comparison = Literal["as compared", "ANOTHER KEY", "NOT KNOWN", "not compared"]


class OtherSite(Section):
    """Another site of a roster."""

    site: str = Field(description="name in the federation")
    fingerprint: str = Field(description="of the key that the roster has for it")
    comparison: Comparison = Field(
        description="with policy.known_sites; `not compared` where the site file has no such list"
    )


class SpokenKeys(Section):
    """This site's own key, and those of a study's roster where one is named."""

    site: str = Field(description="this site's name")
    fingerprint: str = Field(description="of its own key: 40 digits in groups of five")
    study: str | None = Field(None, description="hash of the study that was named")
    others: tuple[OtherSite, ...] = Field((), description="the other sites of its roster")


@tells(SpokenKeys)
def fingerprint(
    study: Annotated[
        str | None,
        typer.Argument(metavar="[STUDY]", help="Compare this study's roster with policy.known_sites."),
    ] = None,
    as_json: AsJson = False,
    folder: Folder = DEFAULT_FOLDER,
) -> None:
    """Print the fingerprint of this site's key for the telephone; exit 3 where a roster is not what was compared."""
    place = site(folder)
    name = place.membership().site
    told = SpokenKeys(site=name, fingerprint=spoken_key(place.identity(name).public_key))
    if study is not None:
        offered = Studies(place).find(study)
        policy = place.load_site_file().policy
        others = tuple(_other(policy, other, key) for other, key in sorted(offered.others.items()))
        told = told.model_copy(update={"study": offered.study_sha256, "others": others})
    if as_json:
        print_told(told)
    else:
        say(f"{told.site}: {told.fingerprint}")
        for other in told.others:
            bad = other.comparison in ("ANOTHER KEY", "NOT KNOWN")
            say(f"{other.site}: {other.fingerprint}  {other.comparison}", "red" if bad else None)
        if study is None:
            say(
                "Read the digits over the telephone to each site's people; they write them into policy.known_sites."
            )
    if any(other.comparison in ("ANOTHER KEY", "NOT KNOWN") for other in told.others):
        raise typer.Exit(int(ExitCode.REFUSED))


def _other(policy: PolicySection, name: str, key: str) -> OtherSite:
    spoken, known = spoken_key(bytes.fromhex(key)), policy.known_sites
    comparison: Comparison = "not compared"
    if known is not None:
        heard = known.get(name)
        comparison = "NOT KNOWN" if heard is None else "as compared" if heard == spoken else "ANOTHER KEY"
    return OtherSite(site=name, fingerprint=spoken, comparison=comparison)
