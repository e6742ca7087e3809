"""Packages that give each tenant a schema of its own: a run for one of them leaves public and the others alone."""

import pytest

from tests.packages.playing import play
from tests.packages.tenancy import PROJECTS, make_project

THING = """\
from customers.models import Client
from django.db import models

class Thing(models.Model):
    name = models.CharField(max_length={length})
    client = models.ForeignKey(Client, models.CASCADE)
"""
CHANGED = f"{THING.format(length=40)}    size = models.IntegerField(default=3, db_index=True)\n"


@pytest.mark.parametrize("name", PROJECTS)
@pytest.mark.parametrize("limit", ["", "TENANT_LIMIT_SET_CALLS = PGSCHEMAS_LIMIT_SET_CALLS = True\n"])
def test_tenants(name, limit, postgresql, tmp_path):
    directory = tmp_path / "project"
    make_project(name, directory, postgresql.settings_dict, more=limit)
    play(directory, THING.format(length=20), "play_tenants", "before")
    play(directory, CHANGED, "play_tenants", "after")
