"""django-pgschemas' own command and what runs when a tenant is saved make tables from the models."""

import pytest

from tests.packages.playing import ROOT, play
from tests.packages.tenancy import make_project

LIMIT = "PGSCHEMAS_LIMIT_SET_CALLS = True\n"
APP = 'INSTALLED_APPS = ["automigrate_ext.tenants.pgschemas", *INSTALLED_APPS]\n'
SCHEMAS = """
TENANTS["www"] = {"APPS": ["django.contrib.contenttypes", "shop"], "URLCONF": "urls", "DOMAINS": ["www"]}
TENANTS["default"]["CLONE_REFERENCE"] = "sample"
"""
THING = """\
from django.db import models

class Thing(models.Model):
    name = models.CharField(max_length=20, db_index=True)
"""


def test_setting_is_that_of_the_page():
    assert APP in (ROOT / "docs" / "how-to.md").read_text()


@pytest.mark.parametrize("limit", ["", LIMIT])
def test_schemas(postgresql, tmp_path, limit):
    directory = tmp_path / "project"
    make_project("django-pgschemas", directory, postgresql.settings_dict, more=APP + SCHEMAS + limit, create=True)
    # Clones are made of the reference by functions of its own in the place of a run, but not in tests.
    with (directory / "project.py").open("a") as settings:
        settings.write("from django.core import mail\nmail.outbox = []\n")
    play(directory, THING, "play_migrateschema", "everything")
    play(directory, f"{THING}    size = models.IntegerField()\n", "play_migrateschema", "changed")
