"""Lists of single patients are files of the site's own, and no row can hold one."""

import json

import pytest
from pydantic import ValidationError

from fedgen.run.row import Row
from fedgen.run.site_only import SiteOnly, write_site_only


def test_a_list_is_written_for_its_owner_alone(tmp_path):
    found = SiteOnly(name="copies", about="Images that are copies.", entries=({"image": 3, "patient": 7},))
    path = write_site_only(tmp_path, found)
    assert path == tmp_path / "site-only" / "copies.json"
    assert json.loads(path.read_text())["entries"] == [{"image": 3, "patient": 7}]
    assert path.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("name", ["../copies", "a/b", ""])
def test_its_name_is_no_path(name):
    with pytest.raises(ValidationError):
        SiteOnly(name=name, about="")


def test_a_row_has_no_place_for_it():
    with pytest.raises(ValidationError):
        Row(id="a", title="a", group="audit", entries=({"patient": 7},))
