"""The model of the record: its table is the package's own.

The model lives in a registry of its own, as Django's record of migrations does, so that neither
`dumpdata`, `loaddata` and `flush` nor the package itself takes it for one of the project's tables.
"""

from __future__ import annotations

from functools import cache

from django.apps.registry import Apps
from django.db import models

TABLE = "automigrate_ext_owned"


@cache
def owned_row() -> type[models.Model]:
    """The model of the record; made on first use, because models cannot be made before Django is set up."""

    class OwnedRow(models.Model):
        name = models.CharField(max_length=255, primary_key=True)
        owner = models.CharField(max_length=255)
        objects_owned = models.TextField()

        class Meta:
            apps = Apps()
            app_label = "automigrate_ext"
            db_table = TABLE

        def __str__(self) -> str:
            return self.name

    return OwnedRow
