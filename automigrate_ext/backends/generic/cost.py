"""The cost of changes on any database, of which nothing is known."""

from __future__ import annotations

from collections.abc import Collection

from automigrate_ext.backends.cost import Cost
from automigrate_ext.backends.work import Work
from automigrate_ext.plan.cost import Remark


class GenericCost(Cost):
    """Remarks nothing: Django's introspection does not show how the server carries statements out."""

    def remarks(self, work: Work, filled: Collection[str]) -> tuple[Remark, ...]:
        return ()
