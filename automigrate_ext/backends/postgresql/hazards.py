"""The effect of a change of type on the values of a PostgreSQL column, found by queries over the values."""

from __future__ import annotations

from dataclasses import dataclass

from django.db import transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.utils import DatabaseError

from automigrate_ext.backends.base import Loss
from automigrate_ext.backends.postgresql import faults
from automigrate_ext.backends.postgresql.casts import Cast, casts, never_loses
from automigrate_ext.backends.rows import Question, Rows, TookTooLong
from automigrate_ext.backends.work import Samples
from automigrate_ext.schema.nouns import Column, Table

CAST_NOTHING = "SELECT {value} FROM (SELECT NULL::{old} AS nothing) AS none"
# A function of the session that vanishes with the savepoint in which it is created. OTHERS is every error but
# that of a statement that took too long: PostgreSQL's documentation, "Trapping Errors".
SURVIVES = """
CREATE FUNCTION pg_temp.automigrate_ext_survives({old}) RETURNS boolean LANGUAGE plpgsql AS $function$
BEGIN
    RETURN NOT ({lost});
EXCEPTION WHEN OTHERS THEN
    RETURN false;
END
$function$
"""
DIES = "{column} IS NOT NULL AND NOT pg_temp.automigrate_ext_survives({column})"
NOTHING = "NULL::{new}"


def count_lost(rows: Rows, table: Table, old: Column, new: Column) -> Loss:
    """Count the values that the best cast from `old` to `new` would alter."""
    if old.type == new.type or never_loses(old.type, new.type):
        return Loss()
    return Attempt(rows=rows, table=table, old=old, new=new).loss()


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """Tries the casts from one type to another on the values of one column."""

    rows: Rows
    table: Table
    old: Column
    new: Column

    @property
    def column(self) -> str:
        return self.rows.quote(self.old.name)

    def loss(self) -> Loss:
        """Return the loss of the first cast that loses nothing, or of the one that loses least."""
        found: list[Loss] = []
        failure = ""
        for cast in casts(self.old.type, self.new.type):
            try:
                found.append(self.loss_by(cast))
            except DatabaseError as error:
                if faults.is_fault(error):
                    raise
                failure = failure or words(error)
                continue
            if not found[-1].rows:
                return found[-1]
        return min(found, key=lambda loss: loss.rows or 0) if found else self.failing(failure)

    def loss_by(self, cast: Cast) -> Loss:
        """Return the loss by one cast, with examples. Raises `DatabaseError` where it fails on a value."""
        using = cast.value(self.column, self.new.type)
        question = self.question(cast.lost(self.column, self.old.type, self.new.type))
        try:
            (count,) = self.rows.try_row(self.rows.count_sql(question))
        except TookTooLong:
            return Loss(rows=None, using=using)
        samples = self.rows.sample(question) if count else Samples()
        return Loss(rows=count, using=using, samples=samples)

    def question(self, condition: str) -> Question:
        source = self.rows.now(self.table)
        return Question(source=source, condition=condition, shows=self.rows.shown(source, [self.old]))

    def failing(self, failure: str) -> Loss:
        """Return the loss where every cast fails: the values that no cast converts."""
        values = self.rows.answer(self.rows.values(self.rows.now(self.table), [self.old.name]))
        if values.rows == 0:
            return Loss(using=using_for_nothing(self.rows.connection, self.old, self.new))
        cast = known_cast(self.rows.connection, self.old.type, self.new.type)
        if cast is None:
            return Loss(rows=values.rows, error=failure)
        rows, samples = self.count_failing(cast)
        return Loss(rows=rows, error=failure, samples=samples)

    def count_failing(self, cast: Cast) -> tuple[int | None, Samples]:
        """Count the values that do not survive, and return some of them."""
        alias = self.rows.connection.alias
        with transaction.atomic(using=alias), self.rows.connection.cursor() as cursor:
            lost = cast.lost("$1", self.old.type, self.new.type)
            cursor.execute(SURVIVES.format(old=self.old.type, lost=lost))
            question = self.question(DIES.format(column=self.column))
            answer = self.rows.answer(question)
            samples = self.rows.sample(question)
            transaction.set_rollback(True, using=alias)
        return answer.rows, samples


def known_cast(connection: BaseDatabaseWrapper, old: str, new: str) -> Cast | None:
    """Return the first cast between two types that the server has, whatever the values are."""
    return next((cast for cast in casts(old, new) if is_known(connection, cast, old, new)), None)


def is_known(connection: BaseDatabaseWrapper, cast: Cast, old: str, new: str) -> bool:
    """Return whether the server has a cast."""
    return faults.accepts(connection, CAST_NOTHING.format(value=cast.value("nothing", new), old=old))


def using_for_nothing(connection: BaseDatabaseWrapper, old: Column, new: Column) -> str:
    """Return the SQL that converts a column without values: by the first cast that the server has, if any."""
    cast = known_cast(connection, old.type, new.type)
    return cast.value(connection.ops.quote_name(old.name), new.type) if cast else NOTHING.format(new=new.type)


def words(error: DatabaseError) -> str:
    """Return the server's message in one line."""
    return " ".join(str(error).split())
