"""The cost of changes on PostgreSQL: which tables are rewritten, read or locked.

Sources, unless another is given: PostgreSQL's documentation of ALTER TABLE, CREATE INDEX and of explicit locking.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from django.db import transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.utils import DatabaseError

from automigrate_ext.backends.cost import Cost
from automigrate_ext.backends.postgresql import faults
from automigrate_ext.backends.postgresql.schema import ALTER_TABLE, Compiler, TableCompiler
from automigrate_ext.backends.work import Work
from automigrate_ext.plan.cost import Size
from automigrate_ext.schema.changes import (
    AddColumn,
    AddConstraint,
    AddIndex,
    AlterColumn,
    AlterPrimaryKey,
    AlterTable,
    Change,
    RenameIndex,
    ValidateConstraint,
)
from automigrate_ext.schema.nouns import Check, Column, Exclusion, ForeignKey, Generated, Unique

if TYPE_CHECKING:
    from automigrate_ext.backends.postgresql.backend import PostgreSQLBackend

PROBE = "pg_temp.automigrate_ext_probe"
CREATE_PROBE = "CREATE TEMPORARY TABLE automigrate_ext_probe ({columns})"
INDEX_PROBE = f"CREATE INDEX automigrate_ext_probe_index ON {PROBE} ({{columns}})"
FILES_OF_PROBE = f"""
SELECT pg_relation_filenode('{PROBE}'), pg_relation_filenode(to_regclass('pg_temp.automigrate_ext_probe_index'))
"""

REWRITES = "rewrites the table"
MOVES = "moves the table to another tablespace"
FILLS = "updates rows that have no value"
COMPUTES = "updates every row"
CHECKS = "reads the whole table to check it"
FOLLOWS = "reads the whole table to check a foreign key"
FOLLOWED = "is read to check a foreign key, while writes wait"
LOCKS = "takes an exclusive lock"


# A partitioned table has no file of its own; for a table that is neither partitioned nor a partition there is no tree.
PAGES = """
SELECT found.name, coalesce((SELECT sum(pg_relation_size(part.relid)) FROM pg_partition_tree(found.oid) AS part),
                            pg_relation_size(found.oid))::bigint / current_setting('block_size')::int
FROM (SELECT name, to_regclass(quoted) AS oid FROM unnest(%s::text[], %s::text[]) AS wanted (name, quoted)) AS found
WHERE found.oid IS NOT NULL
"""
ESTIMATE = "EXPLAIN (FORMAT JSON) SELECT FROM {table}"
#: Tables up to this size, 64 MB, are counted; of larger ones the planner's estimate is reported.
PAGES_TO_COUNT = 8192


class PostgreSQLCost(Cost):
    """Estimates what work costs on PostgreSQL."""

    backend: PostgreSQLBackend

    def sizes(self, tables: Collection[str]) -> Mapping[str, Size]:
        ordered = list(tables)
        with self.connection.cursor() as cursor:
            cursor.execute(PAGES, [ordered, [self.rows.quote(name) for name in ordered]])
            pages = dict(cursor.fetchall())
        small = [name for name in ordered if 0 < pages.get(name, 0) <= PAGES_TO_COUNT]
        large = [name for name in ordered if pages.get(name, 0) > PAGES_TO_COUNT]
        estimates = {name: Size(rows=self.estimate(name), exact=False) for name in large}
        return {**super().sizes(small), **estimates}

    def estimate(self, table: str) -> int:
        """Return the planner's estimate of how many rows a table has."""
        plan = self.rows.ask(ESTIMATE, table=self.rows.quote(table))
        return int(plan[0]["Plan"]["Plan Rows"])

    def effects(self, work: Work, tables: Collection[str]) -> Mapping[str, tuple[str, ...]]:
        return effects(self.connection, self.backend.compiler(work), tables)

    def triggers(self, work: Work, tables: Collection[str]) -> Mapping[str, Sequence[str]]:
        compiler = self.backend.compiler(work)
        updated = {step.table for step in compiler.steps() if step.updates_rows}
        return {
            name: [trigger.name for trigger in compiler.triggers.get(name, ())] for name in tables if name in updated
        }


class Prober:
    """Finds out whether a table is rewritten, by the same change of an empty temporary table."""

    def __init__(self, connection: BaseDatabaseWrapper) -> None:
        self.connection = connection
        self.known: dict[tuple[str, ...], bool] = {}

    def rewrites(self, column: str, definition: str | None, clause: str) -> bool:
        """Return whether a clause about a quoted column, which has a definition or is new, rewrites its table."""
        alike = definition or "", clause.replace(column, "")
        if alike not in self.known:
            self.known[alike] = self.ask(f"{column} {definition}" if definition else "", clause)
        return self.known[alike]

    def rebuilds(self, column: str, definition: str, clause: str) -> bool:
        """Return whether a clause about a quoted column rebuilds an index of it; one that cannot be asked about may."""
        alike = "index", definition, clause.replace(column, "")
        if alike not in self.known:
            self.known[alike] = self.ask(f"{column} {definition}", clause, index=column)
        return self.known[alike]

    def ask(self, columns: str, clause: str, index: str = "") -> bool:
        try:
            with transaction.atomic(using=self.connection.alias), self.connection.cursor() as cursor:
                cursor.execute(CREATE_PROBE.format(columns=columns))
                if index:
                    cursor.execute(INDEX_PROBE.format(columns=index))
                before = self.files(cursor)
                cursor.execute(ALTER_TABLE.format(table=PROBE, clauses=clause))
                changed = self.files(cursor) != before
                transaction.set_rollback(True, using=self.connection.alias)
        except DatabaseError as error:
            if faults.is_fault(error):
                raise
            # The server refuses the same statement in the run too, which reports the reason.
            return True
        return changed

    def files(self, cursor: Any) -> list[Any]:
        cursor.execute(FILES_OF_PROBE)
        return list(cursor.fetchall())


def effects(connection: BaseDatabaseWrapper, compiler: Compiler, tables: Collection[str]) -> dict[str, tuple[str, ...]]:
    """Return the effects of a plan's changes on those of the tables on which they have any."""
    prober = Prober(connection)
    found = {name: table_effects(compiler, prober, name) for name in compiler.altered_tables if name in tables}
    for table, foreign_key in added_foreign_keys(compiler):
        if table in tables and REWRITES not in found.get(table, ()):
            found.setdefault(table, []).append(FOLLOWS)
        found.setdefault(foreign_key.to_table, []).append(FOLLOWED)
    return {
        name: (*dict.fromkeys(words), *([LOCKS] if any(map(takes_lock, compiler.by_table[name])) else []))
        for name, words in found.items()
        if name in tables and (words or any(map(takes_lock, compiler.by_table[name])))
    }


def table_effects(compiler: Compiler, prober: Prober, name: str) -> list[str]:
    """Return the effects of the changes of one table's columns, constraints and indexes, except for locks."""
    table, changes = TableCompiler(compiler, name), compiler.by_table[name]
    words = []
    if any(rewrites(table, prober, change) for change in changes) or remakes_stored(table):
        # The rows are checked on the way.
        words.append(REWRITES)
    elif any(checks_rows(change) or draws(table, change) for change in changes) or puts_back_check(table):
        words.append(CHECKS)
    words += [MOVES for change in changes if moves(change)]
    words += [COMPUTES for change in changes if writes_down(change) or draws(table, change)]
    words += [FILLS for change in changes if isinstance(change, AlterColumn) and fills(table, change)]
    built = sum(map(builds_index, changes)) + sum(stale == name for stale, _ in compiler.stale_indexes())
    if built:
        words.append("builds an index" if built == 1 else f"builds {built} indexes")
    return words


def rewrites(table: TableCompiler, prober: Prober, change: Change) -> bool:
    """Return whether adding or converting a column rewrites the table, according to the server."""
    match change:
        case AddColumn(new=Column(generated=Generated() as generated)):
            # A stored column is computed for every row, a virtual one for none.
            return generated.stored
        case AddColumn(new=new):
            fill = table.fill(new)
            default = f" DEFAULT {fill.sql}" if fill and fill.sql else ""
            return prober.rewrites(
                table.quote(new.name), None, f"ADD COLUMN {table.quote(new.name)} {new.sql}{default}"
            )
        case AlterColumn(old=old, new=new) if change.retypes and new.name not in table.remade:
            collation = f" COLLATE {table.quote(old.collation)}" if old.collation else ""
            return prober.rewrites(table.quote(new.name), f"{old.type}{collation}", table.retype(change))
    return False


def remakes_stored(table: TableCompiler) -> bool:
    """Return whether a stored generated column is dropped and added again."""
    columns = (table.desired.column(name) for name in table.remade)
    return any(column is not None and column.generated is not None and column.generated.stored for column in columns)


def checks_rows(change: Change) -> bool:
    """Return whether rows are read to verify NOT NULL or a check."""
    match change:
        case AlterColumn(old=Column(null=True), new=Column(null=False)) | AddConstraint(new=Check()):
            return True
        case ValidateConstraint():
            return True
    return False


def puts_back_check(table: TableCompiler) -> bool:
    """Return whether a check is dropped and added again around a conversion."""
    return any(isinstance(constraint, Check) and table.is_stale(constraint) for constraint in table.current.constraints)


def moves(change: Change) -> bool:
    return isinstance(change, AlterTable) and change.old.tablespace != change.new.tablespace


def writes_down(change: Change) -> bool:
    """Return whether values that were computed on reading are stored."""
    if not isinstance(change, AlterColumn) or change.new.generated:
        return False
    return change.old.generated is not None and not change.old.generated.stored


def draws(table: TableCompiler, change: Change) -> bool:
    """Return whether each row gets a value of its own in a new column."""
    fill = table.fill(change.new) if isinstance(change, AddColumn) else None
    return fill is not None and fill.draw is not None


def fills(table: TableCompiler, change: AlterColumn) -> bool:
    """Return whether an UPDATE fills in values before the column forbids NULL."""
    old, new = change.old, change.new
    fill = table.fill(new) if old.null and not new.null else None
    return fill is not None and (old.type == new.type or fill.draw is not None)


def builds_index(change: Change) -> bool:
    match change:
        case AddIndex() | AddConstraint(new=Unique() | Exclusion()):
            return True
        case AlterPrimaryKey(new=new):
            return new is not None
    return False


def takes_lock(change: Change) -> bool:
    """Return whether reads and writes wait until the run ends, as for all but comments and new names of indexes."""
    if isinstance(change, AlterTable):
        return moves(change)
    return not isinstance(change, RenameIndex)


def added_foreign_keys(compiler: Compiler) -> Iterator[tuple[str, ForeignKey]]:
    """Yield the foreign keys that are added, for the first time or again, each with its table."""
    for change in compiler.of(AddConstraint):
        if isinstance(change.new, ForeignKey):
            yield change.table, change.new
    yield from compiler.detach().back
