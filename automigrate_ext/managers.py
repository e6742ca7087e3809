"""Managers and querysets that bring their model's table up to date before the first query of the process."""

from __future__ import annotations

from typing import Any

from django.db import models

from automigrate_ext.process import up_to_date

#: For how many seconds the first query waits for another run or thread, and for sessions that use the tables. Without
#: limits two threads that each hold what the other needs would wait for ever.
LOCK_WAIT = 60.0
LOCK_TIMEOUT = 10.0


def forget() -> None:
    """Compare every table again at its next query, as if the process had just started.

    For tests that recreate databases.
    """
    up_to_date.clear()


class AutoUpdateQuerySetMixin:
    """A mixin of querysets: the first query of the process on each database brings the model's table up to date.

    That query raises what `autoupdate` raises, with a note on the query; the next one tries again.
    """

    model: Any

    @property
    def db(self) -> str:
        """The database that the query would use now; whatever a queryset executes reads this property first."""
        alias: str = super().db  # type: ignore[misc]
        if (self.model, alias) not in up_to_date:
            # Every command loads the models, and most query none with such a manager.
            from automigrate_ext.starts.first_query import bring_up_to_date

            bring_up_to_date(self.model, alias, lock_wait=LOCK_WAIT, lock_timeout=LOCK_TIMEOUT)
        return alias


class AutoUpdateQuerySet(AutoUpdateQuerySetMixin, models.QuerySet[Any]):
    """A queryset that brings its model's table up to date."""


class AutoUpdateManagerMixin:
    """A mixin of managers: their querysets have the mixin too. Raises `TypeError` for a class whose own does not."""

    _queryset_class: Any

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        queryset = getattr(cls, "_queryset_class", models.QuerySet)
        if queryset is models.QuerySet:
            cls._queryset_class = AutoUpdateQuerySet
        elif not issubclass(queryset, AutoUpdateQuerySetMixin):
            raise TypeError(
                f"{cls.__name__} cannot bring tables up to date through {queryset.__name__}: let that begin with the "
                f"mixin, as in class {queryset.__name__}(AutoUpdateQuerySetMixin, QuerySet)."
            )


class AutoUpdateManager(AutoUpdateManagerMixin, models.Manager[Any]):
    """A manager that brings its model's table up to date before the first query of the process."""
