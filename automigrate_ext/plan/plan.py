"""A plan: the differences, the verdict on each of them, and the SQL that a run would execute."""

from __future__ import annotations

import enum
import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from automigrate_ext.plan.cost import Remark
from automigrate_ext.plan.online import OnlineStep, framed
from automigrate_ext.schema.changes import Change, subject_of
from automigrate_ext.schema.nouns import Schema, TablesOnDemand, canonical

#: The version of the JSON; every change that could break a reader increases it.
VERSION = 1
#: The line by which psql runs no further statement after one that failed.
STOP_AT_ERRORS = r"\set ON_ERROR_STOP on"


ACCEPT_DATA_LOSS = "--accept-data-loss"
CASCADE = "--cascade"
#: Options with their names in Python, where these are not plain from the option.
IN_PYTHON = {ACCEPT_DATA_LOSS: " (accept_data_loss=True)", CASCADE: " (cascade=True)"}
#: Options that take the pairs of a mapping, with its name in Python.
MAPPINGS = {"--default": "defaults", "--rename": "renames"}


class Verdict(enum.StrEnum):
    """What a run does about a difference: one of three, and an expand one of four."""

    APPLY = "apply"
    WITHHOLD = "withhold"
    REFUSE = "refuse"
    POSTPONE = "postpone"


@dataclass(frozen=True, slots=True, kw_only=True)
class Hazard:
    """The effect of a change on existing rows, with the number of these rows and a remedy.

    `code` is one of `HazardCode`. `samples` are the primary keys of up to five of the rows, `key` the columns
    of the primary key; `values` are those of these rows in `columns` that are in the way, cut to a readable length, and
    nothing of what looks secret. `advice` is what to do about the rows or the models, `option` the option of the
    command that resolves it as well, such as "--default todo.Todo.priority=VALUE"; either may be "".
    """

    code: str
    message: str
    rows: int | None = None
    advice: str = ""
    option: str = ""
    key: tuple[str, ...] = ()
    samples: tuple[tuple[object, ...], ...] = ()
    columns: tuple[str, ...] = ()
    values: tuple[tuple[object, ...], ...] = ()

    def __str__(self) -> str:
        return sentences(self.reason, self.remedy)

    @property
    def without_values(self) -> Hazard:
        """The hazard with the keys of rows and none of their values, as logs and reports of many targets have it."""
        return replace(self, columns=(), values=())

    @property
    def in_python(self) -> str:
        """The hazard for readers who call a function: with the argument beside the option."""
        return sentences(self.reason, way_out(self.advice, with_argument(self.option)))

    @property
    def remedy(self) -> str:
        """The way out: the advice with the option, as sentences; "" where there is neither."""
        return way_out(self.advice, self.option)

    @property
    def reason(self) -> str:
        """The message, with examples of the rows where there are any."""
        return f"{self.message} ({self.examples})" if self.samples else self.message

    @property
    def examples(self) -> str:
        """Some of the rows by their primary key: "id 1, 2, 3", or with values: "id 1, 2: size=7; 3: size=8"."""
        more = ["..."] if self.rows is None or self.rows > len(self.samples) else []
        columns = self.key[0] if len(self.key) == 1 else f"({', '.join(self.key)})"
        keys = [", ".join(map(str, key)) for key in self.samples]
        keys = keys if len(self.key) == 1 else [f"({key})" for key in keys]
        if not self.values:
            return f"{columns} {', '.join([*keys, *more])}"
        alike: defaultdict[str, list[str]] = defaultdict(list)
        for key, values in zip(keys, self.values, strict=True):
            alike[", ".join(map(assigned, self.columns, values))].append(key)
        found = [f"{', '.join(same)}: {words}" for words, same in alike.items()]
        return f"{columns} {'; '.join([*found, *more])}"


def assigned(column: str, value: object) -> str:
    """Return a column with its value: "name='x'", "size=7", "size=NULL"."""
    return f"{column}={'NULL' if value is None else repr(value) if isinstance(value, str) else value}"


def sentences(reason: str, remedy: str) -> str:
    """Return a reason with the way out; that may be ""."""
    return f"{reason.removesuffix('.')}. {remedy}" if remedy else reason


def with_argument(option: str) -> str:
    """Return an option with the argument of the functions that has the same effect, where it takes a pair.

    >>> with_argument("--default todo.Todo.priority=VALUE")
    '--default todo.Todo.priority=VALUE (defaults={"todo.Todo.priority": VALUE})'
    """
    name, _, pair = option.partition(" ")
    if name not in MAPPINGS:
        return option
    old, _, new = pair.partition("=")
    value = new if name == "--default" else f'"{new}"'
    return f'{option} ({MAPPINGS[name]}={{"{old}": {value}}})'


def way_out(advice: str, option: str) -> str:
    """Return an advice with the option that resolves the same, as sentences; either may be ""."""
    if not option:
        return advice
    passed = f"{option}{IN_PYTHON.get(option, '')}"
    return f"{advice.removesuffix('.')}, or pass {passed}." if advice else f"Pass {passed}."


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """A change, the verdict on it and the reasons.

    `instead` are the changes that a run makes in the place of one that it withholds, so that the rest can work.
    """

    change: Change
    verdict: Verdict = Verdict.APPLY
    hazards: tuple[Hazard, ...] = ()
    instead: tuple[Change, ...] = ()


def refused_for(judgement: Judgement, hazards: Iterable[Hazard]) -> Judgement:
    """Return the judgement with further reasons to refuse its change, or itself where there are none."""
    further = tuple(hazards)
    if not further:
        return judgement
    known = judgement.hazards if judgement.verdict is Verdict.REFUSE else ()
    return Judgement(change=judgement.change, verdict=Verdict.REFUSE, hazards=(*known, *further))


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """The request for a plan: the command, the labels (None for all models) and the options."""

    command: str = "autoupdate"
    models: tuple[str, ...] | None = None
    renames: Mapping[str, str] = field(default_factory=dict)
    defaults: Mapping[str, Any] = field(default_factory=dict)
    accept_data_loss: bool = False
    prune: bool = False
    cascade: bool = False
    expand: bool = False
    contract: bool = False
    online: bool = False
    rewrite_limit: int | None = None

    def as_dict(self) -> dict[str, object]:
        """Return the request as plain values; values that JSON does not have become text."""
        return {
            "command": self.command,
            "models": None if self.models is None else list(self.models),
            "renames": dict(self.renames),
            "defaults": json.loads(json.dumps(dict(self.defaults), default=str)),
            "accept_data_loss": self.accept_data_loss,
            "prune": self.prune,
            "cascade": self.cascade,
            "expand": self.expand,
            "contract": self.contract,
            "online": self.online,
            "rewrite_limit": self.rewrite_limit,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class LikelyRename:
    """A removal and an addition that look alike: `old` and `new` as `--rename` and `renames` take them."""

    old: str
    new: str

    @property
    def option(self) -> str:
        """The rename as `--rename` takes it."""
        return f"{self.old}={self.new}"

    def question(self, *, done: bool = False, in_python: bool = False) -> str:
        """Return the question, and the option to pass if the answer is yes; in Python with the argument."""
        option = f"--rename {self.option}"
        passed = with_argument(option) if in_python else option
        return f"Was {self.words}? {'Next time' if done else 'Then'} pass {passed}."

    @property
    def words(self) -> str:
        """What may have happened: "todo.Todo.title renamed to name" or "model books.Author moved to crm.Author"."""
        return f"model {self.old} moved to {self.new}" if self.is_move else f"{self.old} renamed to {self.new}"

    @property
    def is_move(self) -> bool:
        """Whether this is a model that was in another app."""
        return self.old.count(".") == self.new.count(".") == 1


@dataclass(frozen=True, slots=True, kw_only=True)
class MissingValue:
    """A value that rows lack in a column, and that `defaults` or `--default` can give them.

    `field` is the field as these take it, `wants` the kind of value in words, `rows` the number of rows if it is known.
    `fault` is what is wrong with the value that they would get now; "" where they would get none.
    """

    field: str
    wants: str
    rows: int | None = None
    fault: str = ""

    @property
    def option(self) -> str:
        """The option with a placeholder in the place of the value."""
        return f"--default {self.field}=VALUE"


@dataclass(frozen=True, slots=True, kw_only=True)
class HookStep:
    """An entry of AUTOMIGRATE["BEFORE"] or ["AFTER"] that a run executes.

    `when` is "before" or "after" the tables, `name` the entry as it is written; `statement` is the text of a file, or
    a comment in the place of a function.
    """

    when: str
    name: str
    statement: str
    is_sql: bool = True

    def describe(self) -> str:
        """Describe the step in one line, in the imperative."""
        return f"{'Run' if self.is_sql else 'Call'} {self.name} {self.when} the tables"


@dataclass(frozen=True, slots=True, kw_only=True)
class CodedMigration:
    """A migration of an installed app, by its name, that does more than change tables, and is not run.

    `operations` are the kinds of the operations that do so; `error` is why the migration cannot be loaded, or "".
    """

    app: str
    name: str
    operations: tuple[str, ...] = ()
    error: str = ""

    def __str__(self) -> str:
        return f"{self.app}.{self.name}: {self.error or ', '.join(self.operations)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The differences between a database and the models, in the order in which they are dealt with.

    True if a run of the plan would do something. `schema` is the current schema of which the plan was made;
    `foreign` lists objects that came from nobody's model and are left alone; `notes` are remarks on models left out
    of one of several databases, and on renames that have nothing left to do; `likely_renames` are renames that
    nobody asked for, `missing_values` values without which rows are in the way; `tables` counts the tables of the
    models; `opening` and `closing` are the statements with which a script of the plan begins and ends; `remarks`
    describe the cost for tables with rows; `hooks` are the entries of the setting AUTOMIGRATE that are due; `request`
    holds the command and options for which the plan was made; `migrations` are those that do more than change tables,
    of the apps whose tables are made from nothing; `online` are the statements for the tables, each with how it runs,
    where the plan is one of an online run; `expanded` is set where an expand has made all changes but those that the
    contract makes, `left` is the number of these where a run that found nothing else to do has not compared.
    """

    alias: str
    vendor: str
    schema: Schema = field(repr=False)
    judgements: tuple[Judgement, ...] = ()
    statements: tuple[str, ...] = ()
    foreign: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    likely_renames: tuple[LikelyRename, ...] = ()
    missing_values: tuple[MissingValue, ...] = ()
    opening: tuple[str, ...] = ()
    closing: tuple[str, ...] = ()
    tables: int = 0
    remarks: tuple[Remark, ...] = ()
    hooks: tuple[HookStep, ...] = ()
    request: Request = field(default_factory=Request)
    migrations: tuple[CodedMigration, ...] = ()
    online: tuple[OnlineStep, ...] = ()
    expanded: bool = False
    left: int = 0

    def __bool__(self) -> bool:
        return bool(self.statements or self.refused)

    def __str__(self) -> str:
        # The text is made of plans: its module imports this one.
        from automigrate_ext.plan import text

        return "\n".join([*map(str, text.lines(self)), text.summary(self, done=False)])

    @property
    def digest(self) -> str:
        """A short text that identifies the schema of which the plan was made."""
        return digest(self.schema)

    def judged(self, verdict: Verdict) -> tuple[Judgement, ...]:
        """Return the judgements with this verdict."""
        return tuple(judgement for judgement in self.judgements if judgement.verdict is verdict)

    @property
    def changes(self) -> tuple[Change, ...]:
        """The changes that a run makes."""
        return tuple(judgement.change for judgement in self.judged(Verdict.APPLY))

    @property
    def withheld(self) -> tuple[Judgement, ...]:
        """The changes that a run leaves undone so that no value is lost."""
        return self.judged(Verdict.WITHHOLD)

    @property
    def refused(self) -> tuple[Judgement, ...]:
        """The changes that the rows do not allow; with any of these a run does nothing at all."""
        return self.judged(Verdict.REFUSE)

    @property
    def postponed(self) -> tuple[Change, ...]:
        """The changes that an expand leaves for the contract, because the old code could not live with them."""
        return tuple(judgement.change for judgement in self.judged(Verdict.POSTPONE))

    @property
    def remaining(self) -> int:
        """The number of changes that are left for the contract."""
        return len(self.postponed) or self.left

    def sql(self) -> str:
        """Return the statements as a script for the database's own shell, in the same transaction as in a run.

        Comments list what is withheld, what is refused, what is left for the contract, and what the plan costs.
        """
        refused = [f"Refuse: {hazard}" for judgement in self.refused for hazard in judgement.hazards]
        kept = [hazard.reason for judgement in self.withheld for hazard in judgement.hazards]
        later = [f"For the contract: {change.describe()}" for change in self.postponed]
        remarks = (f"{remark.table}: {remark}" for remark in self.remarks)
        comments = map(comment, (*refused, *kept, *later, *remarks))
        lines = (*self.opening, *self.in_transactions(), *self.closing) if self.statements else ()
        statements = (f"{statement.rstrip().rstrip(';')};" for statement in lines)
        stop = (STOP_AT_ERRORS,) if self.online and self.vendor == "postgresql" else ()
        return "".join(f"{line}\n" for line in (*comments, *stop, *statements))

    def in_transactions(self) -> tuple[str, ...]:
        """Return the statements, those of an online plan with what begins and ends their transactions."""
        if not self.online:
            return self.statements
        after = sum(hook.when == "after" for hook in self.hooks)
        first = len(self.statements) - len(self.online) - after
        return (*self.statements[:first], *framed(self.online), *self.statements[len(self.statements) - after :])

    def as_json(self) -> str:
        """Return the plan as JSON, see docs/reference/json.md."""
        return json.dumps(self.as_dict(), indent=2, sort_keys=False)

    def as_dict(self) -> dict[str, Any]:
        """Return the plan as plain values."""
        return {
            "version": VERSION,
            "database": self.alias,
            "vendor": self.vendor,
            "actual": not self and not self.remaining,
            "expanded": self.expanded,
            "questions": [*rename_dicts(self.likely_renames), *map(value_dict, self.missing_values)],
            "digest": self.digest,
            "tables": self.tables,
            "request": self.request.as_dict(),
            "changes": [judgement_dict(judgement) for judgement in self.judgements],
            "remarks": [remark_dict(remark) for remark in self.remarks],
            "hooks": [hook_dict(hook) for hook in self.hooks],
            "statements": list(self.statements),
            "online": [step.as_dict() for step in self.online],
            "foreign": list(self.foreign),
            "notes": list(self.notes),
            "migrations": [migration_dict(migration) for migration in self.migrations],
            "likely_renames": [
                {"old": likely.old, "new": likely.new, "option": likely.option} for likely in self.likely_renames
            ],
        }


class Plans(Mapping[str, Plan]):
    """The plans of several databases by alias, in the order in which they were named.

    True if a run of any of them would do something.
    """

    def __init__(self, plans: Iterable[Plan] = ()) -> None:
        self._by_alias = {plan.alias: plan for plan in plans}

    def __getitem__(self, alias: str) -> Plan:
        return self._by_alias[alias]

    def __iter__(self) -> Iterator[str]:
        return iter(self._by_alias)

    def __len__(self) -> int:
        return len(self._by_alias)

    def __bool__(self) -> bool:
        return any(self.values())

    def __repr__(self) -> str:
        return f"{type(self).__name__}({list(self.values())})"

    def __str__(self) -> str:
        return "\n".join(f"Database {alias!r}\n{plan}" for alias, plan in self.items())

    def as_json(self) -> str:
        """Return the plans as JSON, see docs/reference/json.md."""
        return json.dumps(self.as_dict(), indent=2)

    def as_dict(self) -> dict[str, Any]:
        """Return the plans as plain values."""
        return several_dict([plan.as_dict() for plan in self.values()])


def several_dict(databases: Sequence[Mapping[str, Any]], left_alone: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Return the results of several databases as plain values; `left_alone` maps others to the reasons."""
    skipped = [{"database": alias, "reason": reason} for alias, reason in (left_alone or {}).items()]
    return {"version": VERSION, "databases": list(databases), "left_alone": skipped}


def failure_dict(plan: Plan, error: str, applied: Sequence[str], pending: Sequence[str]) -> dict[str, object]:
    """Return a plan whose run failed before its end, as plain values."""
    return {**plan.as_dict(), "error": error, "applied": list(applied), "pending": list(pending)}


def loss_dict(plan: Plan, rows: Mapping[str, int]) -> dict[str, object]:
    """Return a plan of `automigrate` as plain values, with the number of rows that each table would lose."""
    return {**plan.as_dict(), "rows_lost": [{"table": table, "rows": number} for table, number in rows.items()]}


def judgement_dict(judgement: Judgement) -> dict[str, object]:
    """Return one change of a plan as plain values."""
    subject = subject_of(judgement.change)
    return {
        "table": judgement.change.table,
        "change": type(judgement.change).__name__,
        "name": subject.name,
        "old_name": subject.old_name,
        "columns": list(subject.columns),
        "description": judgement.change.describe(),
        "verdict": judgement.verdict.value,
        "instead": [change.describe() for change in judgement.instead],
        "hazards": [
            {
                "code": str(hazard.code),
                "message": hazard.message,
                "rows": hazard.rows,
                "remedy": hazard.remedy,
                "option": hazard.option,
                "key": list(hazard.key),
                "samples": [list(map(plain, key)) for key in hazard.samples],
                "columns": list(hazard.columns),
                "values": [list(map(plain, values)) for values in hazard.values],
            }
            for hazard in judgement.hazards
        ],
    }


def rename_dicts(renames: Sequence[LikelyRename]) -> Iterator[dict[str, object]]:
    """Yield the questions whether something was renamed as plain values, one for each old name."""
    for old in dict.fromkeys(likely.old for likely in renames):
        new = [likely.new for likely in renames if likely.old == old]
        wants = f"{' or '.join(new)}, if {old} has this name now"
        yield question_dict("rename", old, wants, f"--rename {old}=VALUE", choices=new)


def value_dict(missing: MissingValue) -> dict[str, object]:
    """Return the question for a value as plain values."""
    return question_dict("value", missing.field, missing.wants, missing.option, rows=missing.rows, fault=missing.fault)


def question_dict(
    kind: str,
    subject: str,
    wants: str,
    option: str,
    *,
    choices: Sequence[str] = (),
    rows: int | None = None,
    fault: str = "",
) -> dict[str, object]:
    """Return a question of a plan as plain values; `option` has VALUE in the place of the answer."""
    return {
        "kind": kind,
        "subject": subject,
        "wants": wants,
        "choices": list(choices),
        "rows": rows,
        "fault": fault,
        "option": option,
    }


def hook_dict(hook: HookStep) -> dict[str, object]:
    """Return an entry that is executed, as plain values."""
    return {"when": hook.when, "name": hook.name, "kind": "sql" if hook.is_sql else "function"}


def migration_dict(migration: CodedMigration) -> dict[str, object]:
    """Return a migration that is not run, as plain values."""
    return {
        "app": migration.app,
        "name": migration.name,
        "operations": list(migration.operations),
        "error": migration.error,
    }


def plain(value: object) -> object:
    """Return a value of a row for JSON: numbers, booleans, texts and None unchanged, others as text."""
    return value if value is None or isinstance(value, (bool, int, float, str)) else str(value)


def remark_dict(remark: Remark) -> dict[str, object]:
    """Return the cost of a plan for a table, as plain values."""
    return {
        "table": remark.table,
        "effects": list(remark.effects),
        "rows": remark.size.rows,
        "exact": remark.size.exact,
        "fires": list(remark.fires),
    }


def comment(text: str) -> str:
    """Return a text as a comment in SQL, line by line."""
    return "\n".join(f"-- {line}" for line in text.splitlines())


def digest(schema: Schema) -> str:
    """Return a short text that differs for schemas that differ."""
    if isinstance(schema.tables, TablesOnDemand) and schema.tables.digest:
        return schema.tables.digest
    text = json.dumps(canonical(schema), sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
