"""The statements that change PostgreSQL tables while others use them: short locks, and long work under weak ones.

Sources: PostgreSQL's documentation of ALTER TABLE, CREATE INDEX (CONCURRENTLY), DROP INDEX, and of explicit locking.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from dataclasses import replace as evolve
from functools import cached_property
from itertools import groupby
from operator import attrgetter

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.utils import names_digest

from automigrate_ext.backends.naming import noun_columns
from automigrate_ext.backends.postgresql.casts import never_loses
from automigrate_ext.backends.postgresql.cost import Prober, draws, moves, remakes_stored, rewrites, writes_down
from automigrate_ext.backends.postgresql.introspection import bare_name
from automigrate_ext.backends.postgresql.names import identifier
from automigrate_ext.backends.postgresql.schema import (
    ALTER_TABLE,
    NOT_VALID,
    VALIDATE,
    Compiler,
    TableCompiler,
    again,
    bare_definition,
)
from automigrate_ext.backends.postgresql.sequences import LONGEST_NAME, cut, object_name
from automigrate_ext.backends.work import RowFill, Step
from automigrate_ext.exceptions import AutomigrateError
from automigrate_ext.plan.online import Effect, Manner
from automigrate_ext.schema.changes import (
    AddColumn,
    AddConstraint,
    AddIndex,
    AlterColumn,
    AlterPrimaryKey,
    Change,
    DropColumn,
    DropConstraint,
    DropTable,
    FillColumn,
    RenameConstraint,
    RenameIndex,
    ValidateConstraint,
)
from automigrate_ext.schema.nouns import Check, Column, Constraint, Exclusion, ForeignKey, Index, PrimaryKey, Unique

# NOT NULL constraints that are not valid came with PostgreSQL 18, foreign keys of partitioned tables that are not, too.
FACTS = """
SELECT wanted.name, c.relkind = 'p',
       coalesce((SELECT json_object_agg(a.attname, n.conname)
                 FROM pg_constraint n JOIN pg_attribute a ON a.attrelid = n.conrelid AND a.attnum = n.conkey[1]
                 WHERE n.conrelid = c.oid AND n.contype = 'n' AND NOT n.convalidated), '{}'::json)
FROM unnest(%s::text[], %s::text[]) AS wanted (name, quoted)
JOIN pg_class c ON c.oid = to_regclass(wanted.quoted)
"""
NOT_NULL_VALID_SINCE = FOREIGN_KEY_OF_PARTITIONED_VALID_SINCE = 18_00_00
# The partitions that hold the rows of a table, and the state of each index of theirs by its name. An index or unique
# constraint of the whole takes over those of partitions that equal it, and builds the others; source: PostgreSQL's
# documentation of table partitioning, and DefineIndex() in indexcmds.c.
LEAVES = """
SELECT wanted.name, n.nspname, c.relname,
       coalesce((SELECT json_object_agg(x.relname, CASE WHEN NOT i.indisvalid THEN 'invalid'
                                                        WHEN k.oid IS NULL THEN 'index' ELSE 'constraint' END)
                 FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid
                 LEFT JOIN pg_constraint k ON k.conindid = x.oid AND k.conrelid = c.oid AND k.contype = 'u'
                 WHERE i.indrelid = c.oid), '{}'::json)
FROM unnest(%s::text[], %s::text[]) AS wanted (name, quoted)
CROSS JOIN LATERAL pg_partition_tree(to_regclass(wanted.quoted)) AS part
JOIN pg_class c ON c.oid = part.relid AND c.relkind = 'r'
JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE part.level > 0
ORDER BY part.relid
"""
# Setting session_replication_role takes a superuser, or since PostgreSQL 15 the privilege to SET it.
IS_SUPERUSER = "SELECT rolsuper FROM pg_roles WHERE rolname = current_user"
MAY_SET_ROLE = """
SELECT rolsuper OR has_parameter_privilege('session_replication_role', 'SET') FROM pg_roles
WHERE rolname = current_user
"""
QUIETLY = "set_config('session_replication_role', 'replica', true)"

ADD_INDEX, ADD_INDEX_BESIDE = "INDEX ", "INDEX CONCURRENTLY "
DROP_INDEX_BESIDE = "DROP INDEX CONCURRENTLY IF EXISTS {name}"
UNIQUE_INDEX = "CREATE UNIQUE INDEX CONCURRENTLY {name} ON {table} ({columns}){include}{nulls}{tablespace}"
USING_INDEX = "ADD CONSTRAINT {name} {kind} USING INDEX {index}{when}"
ADD_NOT_NULL = "ADD CONSTRAINT {name} NOT NULL {column} NOT VALID"
ADD_NOT_NULL_CHECK = "ADD CONSTRAINT {name} CHECK ({column} IS NOT NULL) NOT VALID"
ADD_NULL_CHECK = "ADD CONSTRAINT {name} CHECK ({column} IS NULL) NOT VALID"
SET_DEFAULT = "ALTER COLUMN {column} SET DEFAULT {value}"
DEFERRABLE = {None: "", "deferred": " DEFERRABLE INITIALLY DEFERRED", "immediate": " DEFERRABLE"}

#: How many rows a batch of a script has; a run has its own number, so that a saved plan is the same for all.
BATCH_OF_SCRIPT = 1000
# The batches of a fill as one statement, for scripts: a run sends them one by one.
FILL = """DO {tag}
DECLARE
    automigrate_low record;
    automigrate_high record;
BEGIN
    SELECT {key} INTO automigrate_low FROM {table} WHERE {column} IS NULL ORDER BY {key} LIMIT 1;
    WHILE FOUND LOOP
        SELECT {key} INTO automigrate_high FROM (
            SELECT {key} FROM {table} WHERE {column} IS NULL AND ({key}) >= ({low}) ORDER BY {key} LIMIT {size}
        ) AS batch ORDER BY {backwards} LIMIT 1;
        {quiet}UPDATE {table} SET {column} = {value}
        WHERE {column} IS NULL AND ({key}) >= ({low}) AND ({key}) <= ({high});
        COMMIT;
        SELECT {key} INTO automigrate_low FROM {table} WHERE {column} IS NULL AND ({key}) > ({high})
        ORDER BY {key} LIMIT 1;
    END LOOP;
END
{tag}"""
LATE_ROWS = "-- UPDATE {table}: a value of its own in {column} for each row that was put in meanwhile"
EACH_ROW = "-- UPDATE {table}: a value of its own in {column} for each row, a batch a transaction"

#: The modes of locks. SHARE UPDATE EXCLUSIVE lets others read and write, SHARE ROW EXCLUSIVE lets them read.
BESIDE, WRITES_WAIT = "SHARE UPDATE EXCLUSIVE", "SHARE ROW EXCLUSIVE"
WRITES_ROWS = "ROW EXCLUSIVE"

VALIDATES = Manner(lock=BESIDE, effect=Effect.SCAN)
NOT_IN_USE = Manner(lock="")

Stage = tuple[Step, ...]
#: The changes that may give rows values.
Fills = AddColumn | AlterColumn | FillColumn
#: The beginning of a rule's SQL, as opposed to a trigger's.
RULE = "RULE "


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaf:
    """A partition that holds rows, and the states of its indexes by their names: index, constraint or invalid."""

    schema: str
    name: str
    indexes: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What the server answered about the tables: its version, and what it holds of each.

    `partitioned` are tables with partitions, `leaves` the partitions that hold their rows, `unproven` the names of NOT
    NULL constraints that are not valid, by table and column. `holds_back` is set where the role may keep triggers
    from firing in a transaction of its own.
    """

    version: int
    prober: Prober
    partitioned: frozenset[str] = frozenset()
    leaves: Mapping[str, Sequence[Leaf]] = field(default_factory=dict)
    unproven: Mapping[tuple[str, str], str] = field(default_factory=dict)
    holds_back: bool = False


def read_facts(connection: BaseDatabaseWrapper, tables: Collection[str]) -> Facts:
    """Ask the server about the tables."""
    version: int = connection.pg_version  # type: ignore[attr-defined]
    names = list(tables)
    with connection.cursor() as cursor:
        cursor.execute(MAY_SET_ROLE if version >= 15_00_00 else IS_SUPERUSER)
        holds_back = bool(cursor.fetchone()[0])
        cursor.execute(FACTS, [names, [identifier(connection, name) for name in names]])
        rows = cursor.fetchall()
        partitioned = [name for name, is_partitioned, _ in rows if is_partitioned]
        leaves: defaultdict[str, list[Leaf]] = defaultdict(list)
        if partitioned:
            cursor.execute(LEAVES, [partitioned, [identifier(connection, name) for name in partitioned]])
            for whole, schema, name, indexes in cursor.fetchall():
                leaves[whole].append(Leaf(schema=schema, name=name, indexes=indexes))
    return Facts(
        version=version,
        prober=Prober(connection),
        partitioned=frozenset(partitioned),
        leaves=leaves,
        unproven={(name, column): found for name, _, names in rows for column, found in names.items()},
        holds_back=holds_back,
    )


class OnlineCompiler(Compiler):
    """Turns the changes of one plan into statements that run while others use the tables which hold rows.

    `used` are those tables. `unproven` collects the constraints that the statements add as NOT VALID, and the indexes
    that become constraints, each after its table: the next run has to find them if this one ends too early. `defaulted`
    collects the columns that have a default while rows are filled, `unfilled` those that allow NULL and are filled.
    """

    used: frozenset[str] = frozenset()
    facts: Facts

    def beside(self, used: Collection[str], facts: Facts) -> OnlineCompiler:
        """Return the compiler itself, once it has been given the tables in use."""
        self.used = frozenset(used)
        self.facts = facts
        self.unproven: dict[tuple[str, str], None] = {}
        self.defaulted: dict[tuple[str, str], None] = {}
        self.unfilled: dict[tuple[str, str], None] = {}
        return self

    # The whole

    def steps(self) -> Iterator[Step]:
        for number, stage in enumerate(self.stages(), 1):
            for step in stage:
                yield evolve(step, manner=evolve(step.manner or Manner(), transaction=number))

    def stages(self) -> Iterator[Stage]:
        """Yield the steps of each transaction, and by itself each step that runs outside of any."""
        detached = self.detach()
        yield from apart(self.renamings())
        yield from apart(self.drop_foreign_keys(detached.off))
        yield from apart(self.drop_indexes())
        yield from apart(self.drop_constraints_in_the_way())
        yield from apart(self.rename_others_in_the_way())
        yield from apart(self.rename_objects())
        yield from apart(self.drop_stale_indexes())
        yield from apart(self.drop_tables())
        yield from apart(self.create_tables())
        for table in self.altered_tables:
            yield from self.alter_beside(table)
        yield from apart(self.add_indexes())
        yield from apart(self.comments())
        yield from apart(self.add_foreign_keys(detached.back))

    def alter_beside(self, name: str) -> Iterator[Stage]:
        """Yield the stages that change the columns and constraints of one table."""
        if name in self.used and not self.obstacles(name):
            yield from OnlineTableCompiler(self, name).stages()
            return
        manner = Manner(effect=Effect.REWRITE if name in self.used else Effect.CATALOG)
        steps = [evolve(step, manner=manner) for step in self.alter_table(name)]
        if steps:
            yield evolve(steps[0], at_stake=self.at_stake(name)), *steps[1:]

    def at_stake(self, name: str) -> tuple[Change, ...]:
        """Return the changes of a table by which values may be lost that others write before it is locked."""
        return () if self.work.may_lose else tuple(filter(may_lose_values, self.by_table[name]))

    def drop_tables(self, *, cascade: bool = False) -> Iterator[Step]:
        stake = () if self.work.may_lose else tuple(self.of(DropTable))
        yield from (evolve(step, at_stake=stake) for step in super().drop_tables(cascade=cascade))

    # What cannot be done beside others

    def blocking(self) -> Iterator[tuple[Change, str]]:
        """Yield the changes during which others have to wait for as long as the table is large, and why."""
        for name in self.altered_tables:
            if name in self.used:
                yield from self.obstacles(name)
                yield from self.partition_obstacles(name)

    def obstacles(self, name: str) -> list[tuple[Change, str]]:
        """Return the changes of a table that make it one to alter as a whole, each with the reason."""
        table = OnlineTableCompiler(self, name)
        found = [(change, why) for change in self.by_table[name] if (why := self.why_blocking(table, change))]
        fills = [change for change in self.by_table[name] if self.fills_batches(table, change)]
        checks = [noun for noun in table.current.constraints if isinstance(noun, Check) and noun.enforced]
        unproven = [check for check in checks if not check.valid and (name, check.name) not in self.settled_checks]
        if fills and not found:
            key = table.current.primary_key
            if key is None:
                found.append((fills[0], "fills the rows in one statement, as the table has no primary key"))
            elif unproven:
                names = ", ".join(check.name for check in unproven)
                found.append((fills[0], f"fills the rows in one transaction, as rows may violate {names} (NOT VALID)"))
            elif rules := self.rules_in_the_way(table, fills):
                found.append((fills[0], f"fills the rows in one transaction, as {rules} would rewrite it"))
        return found

    def rules_in_the_way(self, table: OnlineTableCompiler, fills: Sequence[Change]) -> str:
        """Return the rules that cannot be held back while rows are filled, in words; "" if there are none."""
        loud = any(not table.is_quiet(change.new.name) for change in fills if isinstance(change, Fills))
        rules = [fired.name for fired in self.triggers.get(table.name, ()) if fired.sql.startswith(RULE)]
        return " and ".join(f"the rule {name}" for name in rules) if loud else ""

    @cached_property
    def settled_checks(self) -> frozenset[tuple[str, str]]:
        """The constraints, by table, that are dropped, or that the rows satisfy according to the plan."""
        changes: list[DropConstraint | ValidateConstraint] = [*self.of(DropConstraint), *self.of(ValidateConstraint)]
        return frozenset((change.table, change.old.name) for change in changes)

    def why_blocking(self, table: TableCompiler, change: Change) -> str:
        """Return why a change cannot be made beside others; "" where it can."""
        match change:
            case AddColumn(new=new):
                if new.identity or (new.generated and new.generated.stored):
                    return "rewrites the table"
                fill = table.fill(new)
                if fill and fill.sql and rewrites(table, self.facts.prober, change):
                    return "rewrites the table"
            case AlterColumn():
                return self.why_alteration_blocks(table, change)
            case AddConstraint(new=Exclusion()):
                return "builds an index while writes wait"
        return "moves the table to another tablespace" if moves(change) else ""

    def why_alteration_blocks(self, table: TableCompiler, change: AlterColumn) -> str:
        old, new = change.old, change.new
        if writes_down(change) or remakes_stored(table):
            return "computes every row"
        if may_lose_values(change) or (change.retypes and rewrites(table, self.facts.prober, change)):
            return "rewrites the table"
        if change.retypes and self.rebuilds_index(table, change):
            return "rebuilds its indexes"
        if change.retypes and any(map(table.is_stale, table.current.constraints)):
            return "reads the whole table to check its constraints again"
        if old.null and not new.null and new.identity and not old.identity:
            return "reads the whole table to number it"
        return ""

    def rebuilds_index(self, table: TableCompiler, change: AlterColumn) -> bool:
        """Return whether converting a column rebuilds an index, according to the server."""
        name = change.new.name
        nouns = (table.current.primary_key, *table.current.constraints, *table.current.indexes)
        if not any(isinstance(noun, (PrimaryKey, Unique, Index)) and name in noun_columns(noun) for noun in nouns):
            return False
        collation = f" COLLATE {table.quote(change.old.collation)}" if change.old.collation else ""
        definition = f"{change.old.type}{collation}"
        return self.facts.prober.rebuilds(table.quote(name), definition, table.retype(change))

    def partition_obstacles(self, name: str) -> Iterator[tuple[Change, str]]:
        """Yield the changes for which a table with partitions has no statement that runs beside others."""
        if name not in self.facts.partitioned:
            return
        for change in self.by_table[name]:
            match change:
                case AlterPrimaryKey(new=PrimaryKey()):
                    yield change, "builds an index while writes wait, as the table has partitions"
                case AddConstraint(new=ForeignKey()) if not self.validates_later(name):
                    yield change, "reads the whole table while writes wait, as the table has partitions"

    def fills_batches(self, table: TableCompiler, change: Change) -> bool:
        """Return whether a change gives rows values that are there, a batch at a time."""
        match change:
            case FillColumn():
                return True
            case AddColumn(new=new):
                return draws(table, change) or self.is_volatile(table, change)
            case AlterColumn(old=old, new=new):
                return old.null and not new.null and table.fill(new) is not None
        return False

    def is_volatile(self, table: TableCompiler, change: AddColumn) -> bool:
        """Return whether each row gets another value of the new column's default, according to the server."""
        new = change.new
        has_default = new.default is not None and not new.generated and not new.identity
        return has_default and table.fill(new) is None and rewrites(table, self.facts.prober, change)

    # Indexes

    def drop_index(self, table: str, index: Index) -> Step:
        step = super().drop_index(table, index)
        if not self.is_beside(table) or index.inherited:
            return step
        sql = DROP_INDEX_BESIDE.format(name=self.sibling(table, index.name))
        return evolve(step, sql=sql, manner=Manner(lock=BESIDE, alone=True))

    def is_beside(self, table: str) -> bool:
        """Return whether indexes of the table are made and dropped while others use it."""
        return table in self.used and table not in self.facts.partitioned

    def add_indexes(self) -> Iterator[Step]:
        for change in self.of(AddIndex):
            yield from self.add_index(change.table, change.new)
        for table, index in self.stale_indexes():
            yield from self.add_index(table, again(index, self.work.desired.tables[table].indexes))

    def add_index(self, table: str, index: Index) -> Iterator[Step]:
        """Yield the steps that add an index: one, or where partitions hold the rows, one for each of them before."""
        beside = index.sql.replace(ADD_INDEX, ADD_INDEX_BESIDE, 1)
        if self.is_beside(table):
            yield self.build(table, index.name, beside)
            return
        leaves = self.leaves(table)
        for leaf in leaves:
            name = self.leaf_name(leaf, index.sql)
            whole, part = (
                f"{self.quote(index.name)} ON {self.quote(table)}",
                f"{self.quote(name)} ON {self.place(leaf)}",
            )
            yield from self.build_in(leaf, table, name, beside.replace(whole, part, 1))
        effect = Effect.CATALOG if leaves else Effect.BUILD
        yield Step(sql=index.sql, table=table, manner=Manner(lock="SHARE", effect=effect))

    # Indexes of partitions

    def leaves(self, table: str) -> Sequence[Leaf]:
        """Return the partitions that hold the rows of a table in use."""
        return self.facts.leaves.get(table, ()) if table in self.used else ()

    def place(self, leaf: Leaf, name: str = "") -> str:
        """Return the name of a partition, or of something in its schema, as SQL."""
        return f"{self.quote(leaf.schema)}.{self.quote(name or leaf.name)}"

    def leaf_name(self, leaf: Leaf, sql: str) -> str:
        """Return the name of a partition's index, by which the next run finds it again: it has a hash of the SQL."""
        name: str = self.editor._create_index_name(leaf.name, [names_digest(sql, length=8)], "_part")
        return name

    def build_in(self, leaf: Leaf, table: str, name: str, sql: str) -> Iterator[Step]:
        """Yield the steps that build an index of a partition, unless an earlier run has done so."""
        drop = DROP_INDEX_BESIDE.format(name=self.place(leaf, name))
        state = leaf.indexes.get(name)
        if state == "invalid":
            yield Step(sql=drop, table=table, manner=Manner(lock=BESIDE, alone=True))
        if state in (None, "invalid"):
            manner = Manner(lock=BESIDE, effect=Effect.BUILD, alone=True, undo=drop)
            yield Step(sql=sql, table=table, manner=manner)

    def validates_later(self, table: str) -> bool:
        """Return whether foreign keys of a table in use are added first, and then asked of its rows."""
        partitioned = table in self.facts.partitioned
        return table in self.used and (not partitioned or self.facts.version >= FOREIGN_KEY_OF_PARTITIONED_VALID_SINCE)

    def build(self, table: str, name: str, sql: str) -> Step:
        """Return the step that builds an index beside others."""
        undo = DROP_INDEX_BESIDE.format(name=self.sibling(table, name))
        return Step(sql=sql, table=table, manner=Manner(lock=BESIDE, effect=Effect.BUILD, alone=True, undo=undo))

    # Names and comments

    def rename_object(self, change: RenameConstraint | RenameIndex, old: str, new: str) -> Step:
        step = super().rename_object(change, old, new)
        return evolve(step, manner=Manner(lock=BESIDE)) if isinstance(change, RenameIndex) else step

    def comment_table(self, table: str, comment: str) -> Step:
        return evolve(super().comment_table(table, comment), manner=Manner(lock=BESIDE))

    def comment_column(self, table: str, column: Column) -> Step:
        return evolve(super().comment_column(table, column), manner=Manner(lock=BESIDE))

    # New tables and foreign keys

    def create_tables(self) -> Iterator[Step]:
        yield from (evolve(step, manner=NOT_IN_USE) for step in super().create_tables())

    def add_foreign_keys(self, detached: Iterable[tuple[str, ForeignKey]]) -> Iterator[Step]:
        """Yield the steps that add foreign keys: one each, and where rows are to be checked, another one for that."""
        for table, key in self.foreign_keys_later:
            yield self.add_foreign_key(table, key, f"ADD {key.sql}")
        for change in self.of(AddConstraint):
            if isinstance(change.new, ForeignKey):
                clause = f"ADD {self.new_key_clause(change.table, change.new)}"
                yield from self.add_foreign_key_beside(change.table, change.new, clause)
        for table, key in detached:
            yield from self.add_foreign_key_beside(table, key, f"ADD {key.sql}")

    def add_foreign_key(self, table: str, key: ForeignKey, clause: str) -> Step:
        sql = ALTER_TABLE.format(table=self.quote(table), clauses=clause)
        return Step(sql=sql, table=table, locks=2, manner=Manner(lock=WRITES_WAIT))

    def add_foreign_key_beside(self, table: str, key: ForeignKey, clause: str) -> Iterator[Step]:
        outside = self.work.current.get(table) is None
        if not (self.validates_later(table) or outside) or not key.valid or not key.enforced:
            yield self.add_foreign_key(table, key, clause)
            return
        self.unproven[table, key.name] = None
        yield self.add_foreign_key(table, key, f"{clause}{NOT_VALID}")
        yield self.validate(table, [key.name])

    def validate(self, table: str, names: Iterable[str]) -> Step:
        """Return the step that asks constraints of the rows which are there, all of them in one pass."""
        clauses = ", ".join(VALIDATE.format(name=self.quote(name)) for name in names)
        return Step(sql=ALTER_TABLE.format(table=self.quote(table), clauses=clauses), table=table, manner=VALIDATES)


class OnlineTableCompiler(TableCompiler):
    """Turns the changes of one table in use into the stages that make them."""

    compiler: OnlineCompiler

    def __init__(self, compiler: OnlineCompiler, name: str) -> None:
        super().__init__(compiler, name)
        self.facts = compiler.facts
        #: Clauses that add constraints which no row is asked yet, and the names of those that rows are asked later.
        self.promises: list[str] = []
        #: Clauses that let columns which go have no value any more, by the names of the constraints that they add.
        self.emptied: dict[str, str] = {}
        self.proven: list[str] = []
        self.fills: list[RowFill] = []
        #: The clauses by which filled columns forbid NULL in new rows.
        self.required: dict[str, str] = {}
        self.built: list[Step] = []
        self.finish: list[str] = []
        #: Clauses that drop columns of the primary key which another one replaces.
        self.key_drops: list[str] = []

    def stages(self) -> Iterator[Stage]:
        """Yield the stages: empty what goes, alter, fill, promise, fill what came in between, prove, build, finish."""
        first = tuple(self.steps())
        if self.emptied:
            yield (self.alter(", ".join(self.emptied.values())),)
            yield (self.compiler.validate(self.name, self.emptied),)
        if first:
            yield first
        yield from ((self.fill_step(fill),) for fill in self.fills)
        yield from self.require_filled()
        if self.promises:
            yield (self.alter(", ".join(self.promises)),)
        if self.proven:
            yield (self.compiler.validate(self.name, self.proven),)
        yield from ((step,) for step in self.built)
        if finish := [*self.finish, *self.key_drops]:
            yield (self.alter(", ".join(finish)),)

    def require_filled(self) -> Iterator[Stage]:
        """Yield the stages that forbid NULL in filled columns, and fill what others have put in since the first fill.

        One column after the other: the server checks the whole row in an UPDATE, whichever of its columns is filled.
        """
        for fill in self.fills:
            if fill.column in self.required:
                yield (self.alter(self.required[fill.column]),)
                yield (self.fill_step(evolve(fill, late=True)),)

    # Constraints

    def add_constraint(self, change: AddConstraint) -> None:
        new = change.new
        if isinstance(new, Check) and new.enforced and new.valid:
            self.promise_check(new)
        elif isinstance(new, Unique) and self.compiler.is_beside(self.name):
            self.build_unique(new)
        elif isinstance(new, Unique) and self.compiler.leaves(self.name):
            self.build_unique_in_partitions(new)
        else:
            super().add_constraint(change)

    def promise_check(self, check: Check) -> None:
        name = check.name or self.compiler.free_name(self.current, check.columns, "_check")
        named = check.sql if check.sql.startswith("CONSTRAINT ") else f"CONSTRAINT {self.quote(name)} {check.sql}"
        self.promise(name, f"ADD {named}{NOT_VALID}")

    def promise(self, name: str, clause: str) -> None:
        """Add a constraint to which new rows are held at once, and all others later."""
        self.promises.append(clause)
        self.prove(name)

    def prove(self, name: str) -> None:
        """Ask a constraint of the rows later, or let the next run do so."""
        self.compiler.unproven[self.name, name] = None
        self.proven.append(name)

    def validate_constraint(self, change: ValidateConstraint) -> None:
        self.proven.append(self.under_new_name(change.old).name)

    def drop_constraint(self, change: DropConstraint) -> None:
        old = change.old
        if isinstance(old, Unique) and not self.compiler.is_in_the_way(old) and not self.rests_on_dropped(old):
            # Until the new one is there.
            self.finish.append(self.compiler.drop_clause(old.name))
        elif not self.goes_with_column(old):
            super().drop_constraint(change)

    def rests_on_dropped(self, noun: Constraint | PrimaryKey) -> bool:
        """Return whether a constraint has a column that is dropped, with which it goes."""
        columns = {*noun_columns(noun), *getattr(noun, "include", ())}
        return any(isinstance(change, DropColumn) and change.old.name in columns for change in self.changes)

    def build_unique(self, unique: Unique) -> None:
        """Build the index of a unique constraint, and make it one."""
        name = unique.name or self.compiler.free_name(self.current, unique.columns, "_uniq")
        index = self.free_index_name(name, unique.columns)
        sql = self.unique_index(unique, index, self.quote(self.name))
        self.build(index, sql, name, "UNIQUE", DEFERRABLE[unique.deferrable])

    def unique_index(self, unique: Unique, name: str, table: str) -> str:
        """Return the statement that builds the index of a unique constraint beside others."""
        return UNIQUE_INDEX.format(
            name=self.quote(name),
            table=table,
            columns=", ".join(map(self.quote, unique.columns)),
            include=f" INCLUDE ({', '.join(map(self.quote, unique.include))})" if unique.include else "",
            nulls="" if unique.nulls_distinct else " NULLS NOT DISTINCT",
            tablespace=f" TABLESPACE {self.quote(unique.tablespace)}" if unique.tablespace else "",
        )

    def build_unique_in_partitions(self, unique: Unique) -> None:
        """Build the constraint in each partition, and let that of the whole take them over."""
        for leaf in self.compiler.leaves(self.name):
            name = self.compiler.leaf_name(leaf, unique.sql)
            table = self.compiler.place(leaf)
            self.built += self.compiler.build_in(leaf, self.name, name, self.unique_index(unique, name, table))
            if leaf.indexes.get(name) != "constraint":
                quoted, when = self.quote(name), DEFERRABLE[unique.deferrable]
                clause = USING_INDEX.format(name=quoted, kind="UNIQUE", index=quoted, when=when)
                self.built.append(self.step(ALTER_TABLE.format(table=table, clauses=clause)))
        self.finish.append(f"ADD {unique.sql}")

    def build(self, index: str, sql: str, name: str, kind: str, when: str = "") -> None:
        """Build an index beside others, and let it become a constraint."""
        self.compiler.unproven[self.name, index] = None
        self.built.append(self.compiler.build(self.name, index, sql))
        clause = USING_INDEX.format(name=self.quote(name), kind=kind, index=self.quote(index), when=when)
        self.finish.append(clause)

    def free_index_name(self, name: str, columns: Sequence[str]) -> str:
        """Return the name for an index that becomes a constraint: the constraint's own, unless it is still taken."""
        key = self.current.primary_key
        nouns: tuple[Constraint | Index, ...] = (*self.current.constraints, *self.current.indexes)
        taken = {noun.name for noun in nouns} | {key.name if key else ""}
        return self.compiler.free_name(self.current, columns, "_online") if name in taken else name

    def alter_primary_key(self, change: AlterPrimaryKey) -> None:
        new = change.new
        if new is None or not self.compiler.is_beside(self.name):
            super().alter_primary_key(change)
            return
        if change.old:
            self.finish.append(self.compiler.drop_clause(change.old.name))
        index = self.compiler.free_name(self.current, new.columns, "_online")
        sql = UNIQUE_INDEX.format(
            name=self.quote(index),
            table=self.quote(self.name),
            columns=", ".join(map(self.quote, new.columns)),
            include="",
            nulls="",
            tablespace=f" TABLESPACE {self.quote(new.tablespace)}" if new.tablespace else "",
        )
        name = change.old.name if change.old else f"{cut(bare_name(self.name), LONGEST_NAME - 5)}_pkey"
        self.build(index, sql, name, "PRIMARY KEY")

    # Columns

    def drop_column(self, change: DropColumn) -> None:
        if may_lose_values(change) and not self.work.may_lose:
            column = self.quote(change.old.name)
            name = self.emptying_name(change.old.name)
            again = any(constraint.name == name for constraint in self.current.constraints)
            clauses = [
                *([self.compiler.drop_clause(name)] if again else []),
                *([self.editor.sql_alter_column_no_default % {"column": column}] if change.old.default else []),
                ADD_NULL_CHECK.format(name=self.quote(name), column=column),
            ]
            self.emptied[name] = ", ".join(clauses)
            self.compiler.unproven[self.name, name] = None
        key = self.current.primary_key
        if key and self.is_key_replaced and change.old.name in key.columns:
            # Until the new key is there; rows are filled by this one.
            self.key_drops.append(f"DROP COLUMN {self.quote(change.old.name)}")
        else:
            super().drop_column(change)

    @property
    def is_key_replaced(self) -> bool:
        """Whether the table has its primary key until another one is there."""
        replaced = any(isinstance(change, AlterPrimaryKey) and change.new for change in self.changes)
        return replaced and self.compiler.is_beside(self.name)

    def emptying_name(self, column: str) -> str:
        """Return the name of the constraint by which a column that goes has no values."""
        return self.compiler.free_name(self.current, [column], "_gone")

    def goes_with_column(self, constraint: Constraint) -> bool:
        """Return whether a constraint is one by which an earlier run has emptied a column that goes."""
        going = (change.old.name for change in self.changes if isinstance(change, DropColumn))
        return constraint.name in map(self.emptying_name, going)

    def add_column(self, change: AddColumn) -> None:
        if self.compiler.is_volatile(self, change):
            self.add_column_in_batches(change.new)
        else:
            super().add_column(change)

    def add_column_in_batches(self, new: Column) -> None:
        """Add a column without values, give new rows its default, and then all others."""
        default = new.default_sql or new.default or ""
        self.add_bare_column(new)
        self.after.append(self.alter(SET_DEFAULT.format(column=self.quote(new.name), value=default)))
        self.fills.append(self.row_fill(new, value=default))
        self.require_or_note(new)

    def require_or_note(self, new: Column) -> None:
        """Forbid NULL in a new column that is filled; where it is allowed, the next run has to know of the fill."""
        if new.null:
            self.compiler.unfilled[self.name, new.name] = None
        else:
            self.require(new, new)

    def fill_column(self, change: FillColumn) -> None:
        new, fill = change.new, self.fill(change.new)
        if fill and fill.draw:
            self.fills.append(evolve(self.row_fill(new), draw=fill.draw))
        elif value := fill.sql if fill else new.default_sql or new.default:
            self.fills.append(self.row_fill(new, value=value))
        self.compiler.unfilled[self.name, new.name] = None

    def add_column_and_draw(self, new: Column, draw: Callable[[], str]) -> None:
        """Add a column without values, and give each row its own."""
        self.add_bare_column(new)
        self.fills.append(evolve(self.row_fill(new), draw=draw, everywhere=True))
        self.require_or_note(new)

    def add_bare_column(self, new: Column) -> None:
        self.column_adds.append(f"ADD COLUMN {self.quote(new.name)} {bare_definition(new, self.quote)}")

    def converted_value(self, new: Column) -> str:
        """Return the value of a column of another type; rows that have none are filled afterwards."""
        return self.cast_value(new)

    def alter_null(self, change: AlterColumn) -> None:
        old, new = change.old, change.new
        if (old.null, old.forbids_new_nulls) == (new.null, new.forbids_new_nulls):
            return
        if new.null:
            super().alter_null(change)
            return
        fill = self.fill(new)
        if fill is None:
            self.require(old, new)
            return
        if old.forbids_new_nulls:
            # Rows that have none yet can be written meanwhile.
            self.alters.append(self.editor.sql_alter_column_null % {"column": self.quote(new.name)})
        if fill.draw:
            self.fills.append(evolve(self.row_fill(new), draw=fill.draw))
        else:
            self.fills.append(self.row_fill(new, value=fill.sql))
            self.give_default(new, fill.sql)
        self.require(evolve(old, forbids_new_nulls=False), new)

    def give_default(self, new: Column, value: str) -> None:
        """Give new rows the value too while the others are filled, unless the column has a default of its own."""
        if new.default is None:
            column = self.quote(new.name)
            self.compiler.defaulted[self.name, new.name] = None
            self.alters.append(SET_DEFAULT.format(column=column, value=value))
            self.finish.append(self.editor.sql_alter_column_no_default % {"column": column})

    def require(self, old: Column, new: Column) -> None:
        """Forbid NULL: first to new rows, later to all."""
        column = self.quote(new.name)
        if self.facts.version >= NOT_NULL_VALID_SINCE:
            if old.forbids_new_nulls:
                self.proven.append(self.facts.unproven[self.name, new.name])
                return
            name, template = object_name(bare_name(self.name), new.name, "not_null"), ADD_NOT_NULL
        else:
            name, template = self.compiler.free_name(self.current, [new.name], "_check"), ADD_NOT_NULL_CHECK
            self.finish += [self.editor.sql_alter_column_not_null % {"column": column}, self.compiler.drop_clause(name)]
        clause = template.format(name=self.quote(name), column=column)
        if any(fill.column == new.name for fill in self.fills):
            self.required[new.name] = clause
            self.prove(name)
        else:
            self.promise(name, clause)

    # Rows

    def row_fill(self, new: Column, value: str = "") -> RowFill:
        """Return the fill of a column's rows that have no value."""
        key = self.current.primary_key
        if key is None:
            raise AutomigrateError(f"Table {self.name} has no primary key.")
        types = {column.name: column.type for column in self.current.columns}
        return RowFill(
            table=self.name,
            column=new.name,
            type=new.type,
            key=key.columns,
            key_types=tuple(types[name] for name in key.columns),
            draw=str,
            value=value,
            shared=True,
            quiet=self.is_quiet(new.name),
        )

    def is_quiet(self, column: str) -> bool:
        """Return whether the triggers of the table do not fire as the column is filled.

        Where the column refers to another table, the server's own have to fire.
        """
        fired = self.compiler.triggers.get(self.name, ())
        refers = any(column in key.columns for key in self.current.foreign_keys)
        return bool(fired) and self.facts.holds_back and not refers and all(trigger.state == "O" for trigger in fired)

    def fill_step(self, fill: RowFill) -> Step:
        names = {"table": self.quote(fill.table), "column": self.quote(fill.column)}
        if not fill.value:
            template = LATE_ROWS if fill.late else EACH_ROW
            sql = template.format(table=fill.table, column=fill.column)
        else:
            sql = fill_script(fill, [self.quote(name) for name in fill.key], **names)
        return Step(sql=sql, table=self.name, fill=fill, manner=Manner(lock=WRITES_ROWS, effect=Effect.ROWS))


def fill_script(fill: RowFill, key: Sequence[str], *, table: str, column: str) -> str:
    """Return the one statement that fills all rows, a batch a transaction."""
    tag = "$fill$"
    while tag in fill.value:
        tag = f"{tag[:-1]}_$"
    return FILL.format(
        tag=tag,
        table=table,
        column=column,
        value=fill.value,
        size=BATCH_OF_SCRIPT,
        key=", ".join(key),
        backwards=", ".join(f"{name} DESC" for name in key),
        low=", ".join(f"automigrate_low.{name}" for name in key),
        high=", ".join(f"automigrate_high.{name}" for name in key),
        quiet=f"PERFORM {QUIETLY};\n        " if fill.quiet else "",
    )


def may_lose_values(change: Change) -> bool:
    """Return whether a change may lose values that nobody has counted."""
    match change:
        case DropTable():
            return True
        case DropColumn(old=old):
            return old.generated is None
        case AlterColumn(old=old, new=new) if old.generated is None:
            return new.generated is not None or not (old.type == new.type or never_loses(old.type, new.type))
    return False


def apart(steps: Iterable[Step]) -> Iterator[Stage]:
    """Yield the steps of each table that follow each other as one stage, and those that have to be alone by themselves.

    Steps that read rows are by themselves too, so that the lock of the one before is not held for so long, and so are
    foreign keys, which lock two tables.
    """
    for _, group in groupby(steps, key=attrgetter("table")):
        stage: list[Step] = []
        for step in group:
            manner = step.manner or Manner()
            if manner.alone or manner.effect is not Effect.CATALOG or manner.lock == WRITES_WAIT:
                yield from [tuple(stage)] if stage else []
                stage = []
                yield (step,)
            else:
                stage.append(step)
        if stage:
            yield tuple(stage)
