"""The statements that change tables of MariaDB and MySQL while others use them, each with the order how to alter them.

Every statement is committed by itself. An ALTER TABLE names its ALGORITHM and LOCK, as tried out beforehand on an empty
copy, so that the server refuses rather than copies the table. Sources: https://mariadb.com/kb/en/innodb-online-ddl/ and
the chapter "InnoDB and Online DDL" of MySQL's manual.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import replace as evolve
from functools import cached_property

from django.db.backends.utils import names_digest

from automigrate_ext.backends.mysql import hazards
from automigrate_ext.backends.mysql.algorithms import INSTANT, Way
from automigrate_ext.backends.mysql.schema import (
    ALTER_TABLE,
    CHECKED,
    FILL_NULLS,
    LONGEST_NAME,
    UNCHECKED,
    Compiler,
    TableCompiler,
    default_clause,
    define,
    is_columns_own,
)
from automigrate_ext.backends.mysql.trial import Trial
from automigrate_ext.backends.naming import noun_columns
from automigrate_ext.backends.work import Fill, RowFill, Step, row_fill
from automigrate_ext.plan.online import Effect, Manner
from automigrate_ext.schema.changes import (
    AddColumn,
    AddConstraint,
    AlterColumn,
    AlterPrimaryKey,
    Change,
    DropColumn,
    DropConstraint,
    FillColumn,
    RenameColumn,
    RenameTable,
)
from automigrate_ext.schema.nouns import Check, Column, ForeignKey

EACH_ROW = "-- UPDATE {table}: a value of its own in {column} for each row, a batch a transaction"
LATE_ROWS = "-- UPDATE {table}: a value of its own in {column} for each row that was put in meanwhile"

#: The lock that a statement takes for a moment, and waits for: nobody else has begun to use the table.
MOMENT = "EXCLUSIVE"
BRIEF = Manner(lock=MOMENT)
NOT_IN_USE = Manner(lock="")
SESSION = Manner(lock="")
SHARED = Manner(lock="READ")
READS = Manner(lock="", effect=Effect.SCAN)
FILLS = Manner(lock="ROW", effect=Effect.ROWS)
COMPUTES = Manner(lock="ROW", effect=Effect.REWRITE)

#: The name under which a column that goes is proved to be empty, as nobody writes to it by that.
ASIDE = "{column}__automigrate_ext_gone"
SUFFIX = ASIDE.format(column="")
RENAME_COLUMN = "RENAME COLUMN {old} TO {new}"
# The subquery of one column gives two rows, which is the server's error 1242, where a row has a value.
PROVE_EMPTY = """SET @automigrate_ext_proof = (
    SELECT two.n FROM (SELECT 1 AS n UNION ALL SELECT 2) AS two WHERE EXISTS (
        SELECT 1 FROM {table} WHERE {column} IS NOT NULL
    )
)"""

COUNTS_VALUES = "counts values while others wait"
COMPUTES_ROWS = "gives rows values in one statement"
NO_KEY = "fills the rows in one statement, as the table has no primary key"


class OnlineCompiler(Compiler):
    """Turns the changes of one plan into statements that run while others use the tables which hold rows.

    `used` are those tables, `trial` is where statements are tried out. `blocked` collects the changes during which
    others wait, each with the reason. `unproven`, `defaulted`, `unfilled` and `set_aside` are as in `Owed`.
    """

    used: frozenset[str] = frozenset()
    trial: Trial

    def beside(self, used: Collection[str], trial: Trial) -> OnlineCompiler:
        """Return the compiler itself, once it has been given the tables in use."""
        self.used = frozenset(used)
        self.trial = trial
        self.blocked: list[tuple[Change, str]] = []
        self.unproven: dict[tuple[str, str], None] = {}
        self.defaulted: dict[tuple[str, str], None] = {}
        self.unfilled: dict[tuple[str, str], None] = {}
        self.set_aside: dict[tuple[str, str], None] = {}
        return self

    # The whole

    def steps(self) -> Iterator[Step]:
        for number, step in enumerate(map(self.mannered, super().steps()), 1):
            assert step.manner is not None
            yield evolve(step, manner=evolve(step.manner, transaction=number))

    def mannered(self, step: Step) -> Step:
        """Return a step with its manner, once it has been tried out."""
        if step.manner is not None:
            return step
        if self.is_in_use(step.table) and step.sql.startswith("ALTER TABLE"):
            renames = [*self.of(RenameColumn), *self.of(RenameTable)]
            return self.ordered(step, (self.by_table[step.table] or renames)[:1])
        self.trial.play(step)
        if step.updates_rows:
            return evolve(step, manner=FILLS)
        return evolve(step, manner=NOT_IN_USE if step.makes_table else BRIEF)

    def is_in_use(self, table: str) -> bool:
        """Return whether a table may have rows: none is asked for those of tables that have no change of their own."""
        return table in self.used or (table not in self.by_table and self.work.current.get(table) is not None)

    def ordered(self, step: Step, changes: Iterable[Change]) -> Step:
        """Return a step that alters a table in use with its order; where others wait, `changes` are to blame."""
        way = self.trial.take(step)
        if not way.is_beside:
            self.block(changes, way.words)
        return as_ordered(step, way)

    def block(self, changes: Iterable[Change], why: str) -> None:
        """Note that others wait during these changes."""
        self.blocked += [(change, why) for change in changes if (change, why) not in self.blocked]

    def alter_table(self, name: str) -> Iterator[Step]:
        if name in self.used:
            yield from OnlineTableCompiler(self, name).steps()
        else:
            yield from super().alter_table(name)

    # Foreign keys

    @cached_property
    def converted(self) -> frozenset[tuple[str, str]]:
        """The columns, by table, whose definition cannot change while they are part of a foreign key.

        One that comes to forbid or allow NULL in place may stay part of it.
        """
        return frozenset(set(super().converted) - set(self.altered_in_place()))

    def altered_in_place(self) -> Iterator[tuple[str, str]]:
        """Yield the columns of tables in use, by table, of which only that changes whether they allow NULL."""
        for change in self.of(AlterColumn):
            more = change.retypes or change.regenerates or change.old.identity != change.new.identity
            if not more and change.table in self.used and self.trial.is_open:
                yield change.table, change.new.name

    def add_keys(self, keys: Iterable[tuple[str, ForeignKey, str]]) -> Iterator[Step]:
        """Yield the steps that add foreign keys: to tables in use without a look at the rows, which are asked later.

        From then on the server holds new rows to the key. So the rows satisfy it if none violates it once all
        transactions are over that have used the tables before.
        """
        keys = list(keys)
        beside = [entry for entry in keys if self.is_in_use(entry[0]) and self.trial.is_open]
        yield from super().add_keys(entry for entry in keys if entry not in beside)
        by_table: defaultdict[str, list[tuple[ForeignKey, str]]] = defaultdict(list)
        for table, key, clause in beside:
            by_table[table].append((key, clause))
        for table, added in by_table.items():
            yield from self.add_unchecked(table, [clause for _, clause in added])
            for key, _ in added:
                self.unproven[table, key.name] = None
                yield from self.prove_key(table, key)

    def add_unchecked(self, table: str, clauses: Sequence[str]) -> Iterator[Step]:
        """Yield the steps that add foreign keys which no row is asked."""
        step = self.alter(table, (f"ADD {clause}" for clause in clauses))
        with self.trial.unchecked():
            added = self.ordered(step, [c for c in self.by_table[table] if isinstance(c, AddConstraint)][:1])
        yield Step(sql=UNCHECKED, table="", manner=SESSION)
        yield added
        yield Step(sql=CHECKED, table="", manner=SESSION)

    def prove_key(self, table: str, key: ForeignKey) -> Iterator[Step]:
        for step, manner in zip(super().prove_key(table, key), (SHARED, SESSION, READS), strict=True):
            yield evolve(step, manner=manner)


class OnlineTableCompiler(TableCompiler):
    """Turns the changes of one table in use into the statements that make them.

    They come in this order: what adds room for new values, defaults for new rows, the batches, all else, and last what
    forbids NULL.
    """

    compiler: OnlineCompiler

    def __init__(self, compiler: OnlineCompiler, name: str) -> None:
        super().__init__(compiler, name)
        self.trial = compiler.trial
        #: The change that is being compiled, and the one from which each clause comes.
        self.under: Change | None = None
        self.origins: dict[str, Change] = {}
        #: The clauses that drop what stands on columns which go, and the columns with the names that they get for that.
        self.unhooked: list[str] = []
        self.aside: dict[str, str] = {}
        self.room: list[str] = []
        self.room_at_stake: list[Change] = []
        self.defaults: list[str] = []
        self.fills: list[RowFill] = []
        #: The columns that come to forbid NULL.
        self.required: set[str] = set()
        #: Whether the clauses need each other, so that they stay in one statement.
        self.is_whole = any(isinstance(change, AlterPrimaryKey) for change in self.changes)

    def steps(self) -> Iterator[Step]:
        self.collect()
        for step in self.before:
            yield self.before_all(step)
        yield from self.alter(self.room, self.room_at_stake)
        yield from self.alter(self.defaults)
        yield from map(self.fill_step, self.fills)
        yield from self.prove_empty()
        order = ("drop", "drop column", "modify", "add column", "add", "whole")
        clauses = [clause for part in order for clause in self.clauses[part]]
        if not self.is_whole:
            yield from self.alter(clauses, self.at_stake)
        late = [evolve(fill, late=True) for fill in self.fills if fill.column in self.required]
        last = [*clauses, *self.clauses["require"]] if self.is_whole else self.clauses["require"]
        yield from map(self.fill_step, late)
        at_stake = self.at_stake if self.is_whole else ()
        yield from (evolve(step, refills=tuple(late)) for step in self.alter(last, at_stake))
        yield from self.after

    def handle(self, change: Change, handler: Callable[..., None]) -> None:
        self.under = change
        super().handle(change, handler)
        self.under = None

    def put(self, part: str, clause: str) -> None:
        super().put(part, clause)
        self.note_origin(clause)

    def note_origin(self, clause: str) -> None:
        """Note from which change a clause comes."""
        if self.under is not None:
            self.origins.setdefault(clause, self.under)

    # Altering

    def before_all(self, step: Step) -> Step:
        """Return a step that comes before all others, for what has no way beside others."""
        if step.updates_rows:
            self.compiler.block(self.changes[:1], COMPUTES_ROWS)
            return evolve(step, manner=COMPUTES)
        return self.compiler.ordered(step, self.changes[:1])

    def alter(self, clauses: Sequence[str], at_stake: Iterable[Change] = ()) -> Iterator[Step]:
        """Yield one ALTER TABLE, or several where others would wait for the one only."""
        if not clauses:
            return
        whole = self.compiler.alter(self.name, clauses, at_stake)
        self.compiler.block(hazards.at_stake(whole), COUNTS_VALUES)
        way = self.trial.take_beside(whole)
        if way is not None:
            yield as_ordered(whole, way)
            return
        ways = self.trial.probe(self.name, [[clause] for clause in clauses])
        blocking = [pair for pair in zip(clauses, ways or (), strict=bool(ways)) if not pair[1].is_beside]
        if ways and not blocking and not self.is_whole:
            yield from self.split(clauses, ways, at_stake)
            return
        way = self.trial.take(whole)
        for clause, found in blocking or [(clauses[0], way)]:
            self.compiler.block([self.origin(clause)], found.words)
        yield as_ordered(whole, way)

    def origin(self, clause: str) -> Change:
        """Return the change from which a clause comes."""
        return self.origins.get(clause, self.changes[0])

    def split(self, clauses: Sequence[str], ways: Sequence[Way], at_stake: Iterable[Change]) -> Iterator[Step]:
        """Yield the statements of clauses that others need not wait for, unless they come together."""
        groups = [[c for c, found in zip(clauses, ways, strict=True) if found is way] for way in dict.fromkeys(ways)]
        merged = self.trial.probe(self.name, groups)
        if merged is None or not all(way.is_beside for way in merged):
            groups = [[clause] for clause in clauses]
        for group in groups:
            stake = [change for change in at_stake if any(self.origins.get(clause) is change for clause in group)]
            step = self.compiler.alter(self.name, group, stake)
            yield self.compiler.ordered(step, [self.origin(group[0])])

    def modify(self, column: str, clause: str) -> None:
        altered = (change for change in self.changes if isinstance(change, (AddColumn, AlterColumn)))
        self.under = next((change for change in altered if change.new.name == column), None)
        self.put("require" if column in self.required else "modify", clause)
        self.under = None

    def support_foreign_keys(self) -> None:
        before = len(self.clauses["add"])
        super().support_foreign_keys()
        # The server drops no index that a foreign key needs, unless it gets the other one.
        self.is_whole |= len(self.clauses["add"]) > before

    def replace_over_remade(self) -> None:
        # A column that is gone for a moment is one that the next run could not make again.
        self.is_whole |= bool(self.remade)
        super().replace_over_remade()

    # Columns

    def add_column(self, change: AddColumn) -> None:
        new, fill = change.new, self.fill(change.new)
        if fill and fill.draw:
            self.add_in_batches(new, draw=fill.draw)
        elif value := (fill.sql if fill else new.default):
            default = default_clause(self.compiler.server, new, value)
            clause = f"ADD COLUMN {self.quote(new.name)} {define(new, default=default)}"
            ways = self.trial.probe(self.name, [[clause]])
            if ways and not ways[0].is_beside and self.can_fill(new):
                self.add_in_batches(new, value=value)
            else:
                super().add_column(change)
        else:
            super().add_column(change)

    def can_fill(self, new: Column) -> bool:
        """Return whether rows can get a value of a new column by their keys, also those that only a history has."""
        has_history = self.name in self.compiler.neighbours.versioned
        return self.current.primary_key is not None and (new.null or not has_history)

    def add_in_batches(self, new: Column, *, value: str = "", draw: Callable[[], str] | None = None) -> None:
        """Add a column without values, give new rows its default, and then all others."""
        self.forbid_nulls_in_history(new)
        empty = evolve(new, null=True, default=None, identity=None)
        self.make_room(f"ADD COLUMN {self.quote(new.name)} {define(empty)}")
        has_default = bool(value) and self.give_default(new, value)
        self.fills.append(self.shared_fill(new, Fill(sql=value, draw=draw), everywhere=True))
        if not new.null:
            self.required.add(new.name)
        else:
            self.compiler.unfilled[self.name, new.name] = None
        if not new.null or has_default != (new.default is not None):
            self.modified[new.name] = new

    def make_room(self, clause: str) -> None:
        self.room.append(clause)
        self.note_origin(clause)

    def give_default(self, new: Column, value: str) -> bool:
        """Give new rows the value, or the column's own default, while others are filled; return whether they get it.

        They do where the server takes such a default at once.
        """
        own = value if new.default is None else new.default
        nullable, default = evolve(new, null=True), default_clause(self.compiler.server, new, own)
        clause = f"MODIFY {self.quote(new.name)} {define(nullable, self.own_checks(new.name), default=default)}"
        ways = self.trial.probe(self.name, [*([added] for added in self.room), [clause]])
        if not ways or not ways[-1].is_beside:
            return False
        self.defaults.append(clause)
        self.note_origin(clause)
        if new.default is None:
            self.compiler.defaulted[self.name, new.name] = None
        return True

    def fill_column(self, change: FillColumn) -> None:
        fill = self.fill(change.new) or Fill(sql=change.new.default or "")
        if fill.sql or fill.draw:
            self.fills.append(self.shared_fill(change.new, fill))
        self.compiler.unfilled[self.name, change.new.name] = None

    def touch_up(self, change: AlterColumn) -> None:
        old, new = change.old, change.new
        if self.rewritten(new) or old.generated or new.generated:
            super().touch_up(change)
            return
        fill = self.missing(change)
        if old.null and not new.null:
            self.required.add(new.name)
        if fill is None:
            super().touch_up(change)
            return
        if old.type != new.type:
            # The value is one of the new type, so it is filled in once the column has that type.
            self.make_room(f"MODIFY {self.quote(new.name)} {define(evolve(new, null=True), self.own_checks(new.name))}")
            self.room_at_stake.append(change)
        if not self.current.primary_key:
            self.compiler.block([change], NO_KEY)
            self.before.append(self.fill_in(fill, new, new.name))
            return
        if fill.sql:
            self.give_default(new, fill.sql)
        self.fills.append(self.shared_fill(new, fill))

    def drop_checks_before_updates(self) -> None:
        checks = [c.old for c in self.changes if isinstance(c, DropConstraint) and isinstance(c.old, Check)]
        clauses = [self.drop_clause(check) for check in checks if check.name]
        if clauses and self.fills:
            self.clauses["drop"] = [clause for clause in self.clauses["drop"] if clause not in clauses]
            self.room[:0] = clauses
        else:
            super().drop_checks_before_updates()

    def drop_column(self, change: DropColumn) -> None:
        old = change.old
        if old.generated or self.work.may_lose or not self.can_be_set_aside(old.name):
            super().drop_column(change)
            return
        name = old.name if old.name.endswith(SUFFIX) else self.name_aside(old.name)
        self.aside[old.name] = name
        self.put("drop column", f"DROP COLUMN {self.quote(name)}")

    def can_be_set_aside(self, column: str) -> bool:
        """Return whether others cannot write to a column any more once it has another name, and nothing reads it."""
        if self.name in self.compiler.neighbours.versioned or self.serves_others(column):
            return False
        clauses = [[clause] for clause in self.hooks([column])]
        ways = self.trial.probe(self.name, [*clauses, [self.rename_aside(column)]])
        return ways is not None and all(way.is_beside for way in ways)

    def serves_others(self, column: str) -> bool:
        """Return whether an index over a column is one that a foreign key over others may need."""
        keys = [key.columns for key in self.current.foreign_keys if column not in key.columns]
        over = [noun_columns(noun) for noun in self.nouns(self.current) if column in noun_columns(noun)]
        return any(tuple(names[: len(key)]) == tuple(key) for names in over for key in keys)

    def name_aside(self, column: str) -> str:
        longest = LONGEST_NAME - len(SUFFIX)
        if len(column) > longest:
            digest = names_digest(column, length=8)
            column = f"{column[: longest - len(digest) - 1]}_{digest}"
        return ASIDE.format(column=column)

    def rename_aside(self, column: str) -> str:
        return RENAME_COLUMN.format(old=self.quote(column), new=self.quote(self.name_aside(column)))

    def hooks(self, columns: Iterable[str]) -> list[str]:
        """Return the clauses that drop the checks and indexes over columns."""
        names = set(columns)
        nouns = (noun for noun in self.nouns(self.current) if names & set(noun_columns(noun)))
        found = (noun for noun in nouns if not isinstance(noun, ForeignKey) and not is_columns_own(noun))
        return [self.drop_clause(noun) for noun in found]

    def shrink_no_index(self) -> None:
        super().shrink_no_index()
        hooks = self.hooks(self.aside)
        self.unhooked += [clause for clause in self.clauses["drop"] if clause in hooks]
        self.clauses["drop"] = [clause for clause in self.clauses["drop"] if clause not in hooks]

    def prove_empty(self) -> Iterator[Step]:
        """Yield the statements that set aside the columns which go, and fail where these have values by then."""
        yield from self.alter(self.unhooked)
        table = self.quote(self.name)
        for column, name in self.aside.items():
            undo = ""
            if name != column:
                self.compiler.set_aside[self.name, name] = None
                yield from self.alter([self.rename_aside(column)])
                back = RENAME_COLUMN.format(old=self.quote(name), new=self.quote(column))
                undo = ALTER_TABLE.format(table=table, clauses=f"{back}, {INSTANT.order}")
            manner = Manner(lock="", effect=Effect.SCAN, alone=True, undo=undo)
            yield Step(sql=PROVE_EMPTY.format(table=table, column=self.quote(name)), table=self.name, manner=manner)

    # Rows

    def shared_fill(self, new: Column, fill: Fill, *, everywhere: bool = False) -> RowFill:
        """Return the fill of a column's rows that have no value."""
        made = row_fill(self.current, new, fill.draw or str, everywhere=everywhere).fill
        assert made is not None
        return evolve(made, value="" if fill.draw else fill.sql, shared=True)

    def fill_step(self, fill: RowFill) -> Step:
        table, column = self.quote(self.name), self.quote(fill.column)
        if fill.value:
            sql = FILL_NULLS.format(table=table, column=column, value=fill.value, kept=self.kept(fill.column))
        else:
            sql = (LATE_ROWS if fill.late else EACH_ROW).format(table=self.name, column=fill.column)
        return Step(sql=sql, table=self.name, fill=fill, manner=FILLS)


def as_ordered(step: Step, way: Way) -> Step:
    """Return a step that alters a table with the order for a way."""
    sql = f"{step.sql}, {way.order}" if way.order else step.sql
    effect = Effect.REWRITE if hazards.at_stake(step) else effect_of(step, way)
    return evolve(step, sql=sql, manner=Manner(lock=way.lock, effect=effect))


def effect_of(step: Step, way: Way) -> Effect:
    """Return what a statement does with the rows: one that needs no copy and adds nothing drops an index."""
    return Effect.CATALOG if way.effect is Effect.BUILD and " ADD " not in step.sql else way.effect
