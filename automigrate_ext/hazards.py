"""What each change would do to the rows that are there: verdicts rest on counts, not on kinds of change."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from dataclasses import replace as evolve
from functools import cache

from django.db import transaction
from django.db.utils import DatabaseError

from automigrate_ext.backends.base import Backend, Reference
from automigrate_ext.changes import (
    AddColumn,
    AddConstraint,
    AddIndex,
    AlterColumn,
    AlterPrimaryKey,
    Change,
    CreateTable,
    DropColumn,
    DropTable,
    plural,
)
from automigrate_ext.plan import Hazard, Judgement, Verdict
from automigrate_ext.schema import Check, Column, ForeignKey, Index, Schema, Unique

ACCEPT = "Pass --accept-data-loss (accept_data_loss=True) to allow it"
Fill = Callable[[str, str], str | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdicts:
    """All judgements of a plan, the changes to carry out for them, and the values to fill in."""

    judgements: tuple[Judgement, ...]
    changes: tuple[Change, ...]
    fills: Mapping[tuple[str, str], str]


@dataclass(kw_only=True)
class Judge:
    """Asks the rows about each change."""

    backend: Backend
    current: Schema
    fill: Fill
    accept_data_loss: bool = False
    owners: Mapping[str, str] = field(default_factory=dict)
    fills: dict[tuple[str, str], str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.has_rows = cache(self.backend.has_rows)
        self.altered: set[tuple[str, str]] = set()
        self.created: set[str] = set()
        self.pointed_at: Mapping[str, frozenset[str]] = {}

    def judge(self, changes: Iterable[Change]) -> Verdicts:
        """Judge the changes; withheld ones are replaced by what makes keeping possible."""
        changes = tuple(changes)
        self.pointed_at = pointed_at_from_outside(self.backend, self.current, changes)
        self.created = {change.table for change in changes if isinstance(change, CreateTable)}
        self.altered = {
            (change.table, change.new.name)
            for change in changes
            if isinstance(change, AddColumn) or (isinstance(change, AlterColumn) and self.converts(change))
        }
        judgements = tuple(self.judge_one(change) for change in changes)
        applied: list[Change] = []
        for judgement in judgements:
            if judgement.verdict is Verdict.APPLY:
                applied.append(judgement.change)
            elif judgement.verdict is Verdict.WITHHOLD:
                applied.extend(keeping(judgement.change))
        return Verdicts(judgements=judgements, changes=tuple(applied), fills=dict(self.fills))

    def converts(self, change: AlterColumn) -> bool:
        """Whether the values will be others than they are, so that nothing can be asked of them now."""
        old, new = change.old, change.new
        rules = self.backend.type_rules
        alike = rules.same_storage(old.type, new.type) or {old.type, new.type} <= rules.widths.keys()
        return change.regenerates or old.collation != new.collation or not alike

    def judge_one(self, change: Change) -> Judgement:
        if isinstance(change, DropTable) and change.table in self.pointed_at:
            return self.withhold_target(change)
        if isinstance(change, CreateTable) or not self.backend_has_rows(change.table):
            return Judgement(change=change)
        match change:
            case DropTable():
                return self.losing(change, "drops-table", self.backend.count_rows(change.table), "row")
            case DropColumn(old=Column(generated=None)):
                return self.losing(
                    change, "drops-column", self.backend.count_values(change.table, change.old.name), "value"
                )
            case AddColumn():
                return self.add_column(change)
            case AlterColumn():
                return self.alter_column(change)
            case AlterPrimaryKey():
                return self.alter_primary_key(change)
            case AddConstraint():
                return self.add_constraint(change)
            case AddIndex(new=Index(unique=True)):
                return self.add_unique_index(change)
        return Judgement(change=change)

    def backend_has_rows(self, table: str) -> bool:
        return self.current.get(table) is not None and self.has_rows(table)

    def losing(self, change: Change, code: str, count: int, noun: str) -> Judgement:
        """A change that destroys `count` things: fine if there are none, withheld if not allowed."""
        if not count:
            return Judgement(change=change)
        message = f"{change.describe()}, which still holds {plural(count, noun)}"
        if self.accept_data_loss:
            return Judgement(change=change, hazards=(Hazard(code=code, message=message, rows=count),))
        relaxed = bool(keeping(change))
        kept = f"{message}: kept, allowing NULL" if relaxed else f"{message}: kept"
        hazard = Hazard(code=code, message=kept, rows=count, remedy=f"{ACCEPT}.")
        return Judgement(change=change, verdict=Verdict.WITHHOLD, hazards=(hazard,))

    def withhold_target(self, change: DropTable) -> Judgement:
        pointing = ", ".join(sorted(self.pointed_at[change.table]))
        message = f"{change.describe()}, at which foreign keys of {pointing} point: kept"
        hazard = Hazard(code="referenced", message=message, remedy="Drop those foreign keys first.")
        return Judgement(change=change, verdict=Verdict.WITHHOLD, hazards=(hazard,))

    def refuse(self, change: Change, code: str, message: str, rows: int | None, remedy: str) -> Judgement:
        hazard = Hazard(code=code, message=message, rows=rows, remedy=remedy)
        return Judgement(change=change, verdict=Verdict.REFUSE, hazards=(hazard,))

    def field_name(self, table: str, column: str) -> str:
        owner = self.owners.get(table)
        return f"{owner}.{column}" if owner else f"{table}.{column}"

    def add_column(self, change: AddColumn) -> Judgement:
        new = change.new
        if new.generated or new.identity or new.default is not None:
            return Judgement(change=change)
        fill = self.fill(change.table, new.name)
        if fill is not None:
            self.fills[change.table, new.name] = fill
        elif not new.null:
            rows = self.backend.count_rows(change.table)
            name = self.field_name(change.table, new.name)
            return self.refuse(
                change,
                "required-column",
                f"Column {change.table}.{new.name} is required and the table has {plural(rows, 'row')} without a value "
                f"for it",
                rows,
                f"Give the field a default or db_default, allow NULL, or pass --default {name}=VALUE.",
            )
        return Judgement(change=change)

    def alter_column(self, change: AlterColumn) -> Judgement:
        old, new = change.old, change.new
        if change.regenerates and new.generated:
            return self.become_generated(change)
        if not new.null and old.null:
            refused = self.forbid_null(change)
            if refused:
                return refused
        if old.type != new.type and not old.generated:
            return self.retype(change)
        return Judgement(change=change)

    def become_generated(self, change: AlterColumn) -> Judgement:
        if change.old.generated:
            return Judgement(change=change)
        values = self.backend.count_values(change.table, change.old.name)
        message = f"Column {change.table}.{change.old.name} becomes a generated one and holds {plural(values, 'value')}"
        if not values or self.accept_data_loss:
            hazards = (Hazard(code="overwrites-column", message=message, rows=values),) if values else ()
            return Judgement(change=change, hazards=hazards)
        return self.refuse(change, "overwrites-column", message, values, f"{ACCEPT}.")

    def forbid_null(self, change: AlterColumn) -> Judgement | None:
        nulls = self.backend.count_nulls(change.table, change.old.name)
        if not nulls:
            return None
        fill = self.fill(change.table, change.new.name)
        if fill is not None:
            self.fills[change.table, change.new.name] = fill
            return None
        name = self.field_name(change.table, change.new.name)
        return self.refuse(
            change,
            "null-values",
            f"Column {change.table}.{change.new.name} is to forbid NULL, and {plural(nulls, 'row')} hold NULL",
            nulls,
            f"Give the field a default or db_default, fill the rows, or pass --default {name}=VALUE.",
        )

    def retype(self, change: AlterColumn) -> Judgement:
        loss = self.backend.count_lost(change.table, change.old, change.new)
        words = f"{change.table}.{change.new.name} from {change.old.type} to {change.new.type}"
        if loss.error:
            return self.refuse(
                change, "cast-fails", f"Cannot change {words}: {loss.error}", None, "Change the values first."
            )
        if not loss.rows:
            return Judgement(change=change)
        message = f"Changing {words} would alter {plural(loss.rows, 'value')}"
        if self.accept_data_loss:
            return Judgement(change=change, hazards=(Hazard(code="alters-values", message=message, rows=loss.rows),))
        return self.refuse(change, "alters-values", message, loss.rows, f"Change the values first. {ACCEPT}.")

    def alter_primary_key(self, change: AlterPrimaryKey) -> Judgement:
        if change.new is None or not self.can_ask(change.table, change.new.columns):
            return Judgement(change=change)
        return self.no_duplicates(change, change.new.columns, change.new.describe())

    def add_constraint(self, change: AddConstraint) -> Judgement:
        match change.new:
            case Unique() as unique if self.can_ask(change.table, unique.columns):
                return self.no_duplicates(
                    change, unique.columns, unique.describe(), nulls_distinct=unique.nulls_distinct
                )
            case ForeignKey() as foreign_key if self.can_follow(change.table, foreign_key):
                return self.no_orphans(change, foreign_key)
            case Check() as check if self.can_ask(change.table, check.columns):
                return self.no_violators(change, check)
        return Judgement(change=change)

    def can_follow(self, table: str, foreign_key: ForeignKey) -> bool:
        """Whether rows can be asked what they point at: of a new table or one outside the run, they can."""
        target = foreign_key.to_table
        known = self.current.get(target) is None or self.can_ask(target, foreign_key.to_columns)
        return self.can_ask(table, foreign_key.columns) and known

    def can_ask(self, table: str, columns: Iterable[str]) -> bool:
        """Whether the columns are there as they will be, so that the rows can be asked now."""
        found = self.current.get(table)
        return found is not None and all(
            found.column(column) is not None and (table, column) not in self.altered for column in columns
        )

    def no_duplicates(
        self, change: Change, columns: tuple[str, ...], words: str, *, nulls_distinct: bool = True
    ) -> Judgement:
        count = self.backend.count_duplicates(change.table, columns, nulls_distinct=nulls_distinct)
        return self.duplicates(change, count, words)

    def duplicates(self, change: Change, count: int, words: str) -> Judgement:
        if not count:
            return Judgement(change=change)
        return self.refuse(
            change,
            "duplicates",
            f"{change.table} has {plural(count, 'group')} of rows with the same values for its {words}",
            count,
            "Make the values distinct first.",
        )

    def add_unique_index(self, change: AddIndex) -> Judgement:
        if not self.can_ask(change.table, change.new.columns):
            return Judgement(change=change)
        count = self.try_to_count(lambda: self.backend.count_index_duplicates(change.table, change.new))
        return self.duplicates(change, count, change.new.describe())

    def no_orphans(self, change: AddConstraint, foreign_key: ForeignKey) -> Judgement:
        if foreign_key.to_table in self.created:
            count = self.backend.count_references(Reference(table=change.table, foreign_key=foreign_key))
        else:
            count = self.try_to_count(lambda: self.backend.count_orphans(change.table, foreign_key))
        if not count:
            return Judgement(change=change)
        return self.refuse(
            change,
            "orphans",
            f"{change.table} has {plural(count, 'row')} that point at nothing through its {foreign_key.describe()}",
            count,
            "Delete or repair them first, or give the field db_constraint=False.",
        )

    def no_violators(self, change: AddConstraint, check: Check) -> Judgement:
        count = self.try_to_count(lambda: self.backend.count_violators(change.table, check.expression))
        if not count:
            return Judgement(change=change)
        return self.refuse(
            change,
            "violators",
            f"{change.table} has {plural(count, 'row')} that do not satisfy {check.describe()}",
            count,
            "Correct them first.",
        )

    def try_to_count(self, count: Callable[[], int]) -> int:
        """The count, or 0 where the server cannot tell yet, and will tell when the change is made."""
        try:
            with transaction.atomic(using=self.backend.connection.alias):
                return count()
        except DatabaseError:
            return 0


def pointed_at_from_outside(
    backend: Backend, current: Schema, changes: Iterable[Change]
) -> Mapping[str, frozenset[str]]:
    """For each table that is to be dropped: the tables outside the run whose foreign keys point at it."""
    pointing: dict[str, frozenset[str]] = {}
    dropped = {change.table for change in changes if isinstance(change, DropTable)}
    for reference in backend.references(list(current.tables)) if dropped else ():
        target = reference.foreign_key.to_table
        if target in dropped:
            pointing[target] = pointing.get(target, frozenset()) | {reference.table}
    return pointing


def keeping(change: Change) -> list[Change]:
    """What makes it possible to keep a column that the models no longer fill in."""
    if not isinstance(change, DropColumn):
        return []
    # SQLite numbers the primary key only, which a column that no model declares is no more.
    if change.old.needs_value or change.old.identity == "autoincrement":
        return [AlterColumn(table=change.table, old=change.old, new=evolve(change.old, null=True, identity=None))]
    return []
