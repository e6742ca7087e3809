"""The errors of any database."""

from __future__ import annotations

from django.db.utils import Error

from automigrate_ext.backends.faults import Faults
from automigrate_ext.backends.generic.introspection import SCRATCH


class GenericFaults(Faults):
    """The errors of a database of which no codes are known."""

    def is_disturbed(self, error: Error) -> bool:
        """Return whether another run may have dropped scratch tables, taking them for those of a killed one."""
        return SCRATCH in str(error).lower()
