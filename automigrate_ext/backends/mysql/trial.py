"""The trial of statements that alter tables: on empty copies, to learn which way the server takes for each."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.utils import DatabaseError

from automigrate_ext.backends.mysql import faults
from automigrate_ext.backends.mysql.algorithms import (
    COPY_LOCKED,
    IN_PLACE_LOCKED,
    UNKNOWN,
    Way,
    ways_beside,
)
from automigrate_ext.backends.mysql.schema import ALTER_TABLE, CHECKED, UNCHECKED
from automigrate_ext.backends.rehearsal import is_played
from automigrate_ext.backends.work import Step

PROBE = "automigrate_ext_probe"
MAKE_PROBE = "CREATE TABLE {probe} LIKE {table}"
DROP_PROBE = "DROP TABLE IF EXISTS {probe}"


class Trial:
    """Plays statements on empty copies of tables; `stage` is the connection to these, None where there are none.

    `played` are the names of the tables of whose statements the server is asked.
    """

    def __init__(self, stage: BaseDatabaseWrapper | None = None, played: Collection[str] = ()) -> None:
        self.stage = stage
        self.played = frozenset(played)

    @property
    def is_open(self) -> bool:
        """Whether there are copies."""
        return self.stage is not None

    def plays(self, step: Step) -> bool:
        """Return whether the step is for a table that was copied, or is made on the way."""
        return self.is_open and step.table in self.played and is_played(step)

    def play(self, step: Step) -> None:
        """Execute a step, so that the copies are what the next one finds."""
        if self.plays(step):
            self.execute(step.sql)

    def take(self, step: Step) -> Way:
        """Alter a copy in the first way that the server takes; `UNKNOWN` where there is no copy."""
        return self.first_way(step.sql) if self.plays(step) else UNKNOWN

    def take_beside(self, step: Step) -> Way | None:
        """Alter a copy in the first way in which others would not wait; None where there is none."""
        return self.first_beside(step.sql) if self.plays(step) else None

    def probe(self, table: str, groups: Iterable[Sequence[str]]) -> list[Way] | None:
        """Return the way of each group of clauses, one after the other on a copy of the copy, which is dropped.

        None where the server objects to one of them, or there is no copy.
        """
        if table not in self.played or self.stage is None:
            return None
        quote = self.stage.ops.quote_name
        self.execute(DROP_PROBE.format(probe=PROBE))
        self.execute(MAKE_PROBE.format(probe=PROBE, table=quote(table)))
        try:
            return [self.first_way(ALTER_TABLE.format(table=PROBE, clauses=", ".join(group))) for group in groups]
        except DatabaseError as error:
            if faults.is_fault(error):
                raise
            return None
        finally:
            self.execute(DROP_PROBE.format(probe=PROBE))

    def first_way(self, sql: str) -> Way:
        """Alter a table in the first way that the server takes, and return it."""
        way = self.first_beside(sql)
        if way is not None:
            return way
        if self.is_taken(sql, IN_PLACE_LOCKED):
            return IN_PLACE_LOCKED
        self.execute(f"{sql}, {COPY_LOCKED.order}")
        return COPY_LOCKED

    def first_beside(self, sql: str) -> Way | None:
        """Alter a table in the first way in which others would not wait, and return it."""
        assert self.stage is not None
        return next((way for way in ways_beside(self.stage) if self.is_taken(sql, way)), None)

    def is_taken(self, sql: str, way: Way) -> bool:
        """Alter a table in this way, and return True, unless the server cannot do that."""
        try:
            self.execute(f"{sql}, {way.order}")
        except DatabaseError as error:
            if faults.code_of(error) not in faults.NOT_SUPPORTED:
                raise
            return False
        return True

    @contextmanager
    def unchecked(self) -> Iterator[None]:
        """Add foreign keys without a look at the rows while the block runs."""
        self.execute(UNCHECKED)
        yield
        self.execute(CHECKED)

    def execute(self, sql: str) -> None:
        """Execute one statement among the copies."""
        assert self.stage is not None
        with self.stage.cursor() as cursor:
            cursor.execute(sql)
