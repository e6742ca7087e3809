"""A plan as text for readers. Pure: no database, no settings."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from dataclasses import replace as evolve
from itertools import chain
from typing import Any

from automigrate_ext.plan.cost import Remark
from automigrate_ext.plan.online import OnlineStep
from automigrate_ext.plan.plan import ACCEPT_DATA_LOSS, CodedMigration, Hazard, Judgement, Plan, Verdict, way_out
from automigrate_ext.plan.progress import RunProgress
from automigrate_ext.schema.changes import CreateExtension, CreateTable, DropTable
from automigrate_ext.words import plural

NOTHING_TO_DO = "Nothing to do: the database matches the models."
#: Changes whose description names all that they concern, so that they need no heading.
WHOLE = (CreateExtension, CreateTable, DropTable)
#: The number of tables that a terminal shows although nothing of them is withheld, refused or lost. Lists of the rows
#: that tables lose end after as many.
TABLES_SHOWN = 25
#: The last line of a plan that keeps something: its lines do not each name the option.
DROPS_KEPT = f"autoupdate {ACCEPT_DATA_LOSS} drops what is kept."
#: The heading of the steps of an online plan, and the number of characters that are shown of one.
ONE_BY_ONE = "Transactions, one after the other"
LONGEST_STEP = 160
LEFT_ALONE = "Left alone (--prune drops it)"
#: The heading of the changes that an expand leaves for the contract.
FOR_CONTRACT = "For the contract: {number}"
#: The heading of the migrations that do more than change tables, of apps whose tables are made from nothing.
NOT_RUN = "Not run: what these migrations do besides changing tables"


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line of a plan.

    `sign` is "+" for an addition, "-" for a removal, "~" for a change, "=" for an object that is kept, "!" for a
    refusal, "?" for a question, "#" for a cost, ">" for code that is run, "*" for a migration that is not, "%" for a
    statement of an online run, "|" for a change that is left for the contract, and "" for a heading. A remedy follows
    the text, made of `advice`, what to do, and `option`, the option that resolves the same.
    """

    sign: str
    text: str
    advice: str = ""
    option: str = ""

    @property
    def words(self) -> str:
        """The text with the remedy, if there is one."""
        return f"{self.text} {self.remedy}".rstrip()

    @property
    def remedy(self) -> str:
        """The advice with the option, as sentences; "" where there is neither."""
        return way_out(self.advice, self.option)

    def __str__(self) -> str:
        return f"  {self.sign} {self.words}" if self.sign else self.words


@dataclass(frozen=True, slots=True, kw_only=True)
class Branch:
    """The lines of a plan for one table; `heading` is its name, empty where the lines need none."""

    heading: str
    lines: tuple[Line, ...]

    @property
    def needs_a_reader(self) -> bool:
        """Whether something is withheld, refused or lost, or code of the project is run."""
        return any(line.sign in "=!>" for line in self.lines)


def lines(plan: Plan, *, verbosity: int = 1, done: bool = False) -> Iterator[Line]:
    """Yield the lines of a plan, grouped by table; at verbosity 2 with foreign objects and the SQL."""
    for branch in branches(plan):
        if branch.heading:
            yield Line(sign="", text=branch.heading)
        yield from branch.lines
    yield from footer(plan)
    yield from questions(plan, done=done)
    for branch in (*contract_branch(plan), *online_branch(plan, done=done), *migration_branch(plan)):
        yield Line(sign="", text=branch.heading)
        yield from branch.lines
    if verbosity < 2:
        return
    if plan.foreign:
        yield Line(sign="", text=LEFT_ALONE)
        yield from (Line(sign="=", text=text) for text in plan.foreign)
    if plan.statements:
        yield Line(sign="", text="SQL")
        yield from (Line(sign="", text=f"  {statement};") for statement in plan.statements)


def branches(plan: Plan) -> Iterator[Branch]:
    """Yield the lines for each table, and for the entries that are run before and after the tables."""
    yield from hook_branch(plan, "before")
    for table, remark, judgements in tables(plan):
        cost = (Line(sign="#", text=str(remark)),) if remark else ()
        changes = chain.from_iterable(map(judgement_lines, judgements))
        heading = "" if speaks_for_itself(remark, judgements) else table
        yield Branch(heading=heading, lines=(*cost, *changes))
    yield from hook_branch(plan, "after")


def questions(plan: Plan, *, done: bool) -> Iterator[Line]:
    """Yield the questions about changes that look like renames."""
    yield from (Line(sign="?", text=likely.question(done=done)) for likely in plan.likely_renames)


def footer(plan: Plan) -> Iterator[Line]:
    """Yield the line about the option that drops what is kept, if it would drop something."""
    if any(hazard.option == ACCEPT_DATA_LOSS for judgement in plan.withheld for hazard in judgement.hazards):
        yield Line(sign="", text=DROPS_KEPT)


def contract_branch(plan: Plan) -> Iterator[Branch]:
    """Yield a branch with the changes that an expand leaves for the contract, if there are any."""
    if plan.postponed:
        lines = tuple(Line(sign="|", text=change.describe()) for change in plan.postponed)
        yield Branch(heading=FOR_CONTRACT.format(number=plural(len(lines), "change")), lines=lines)


def online_branch(plan: Plan, *, done: bool) -> Iterator[Branch]:
    """Yield a branch with the steps of an online plan that is still to be carried out."""
    if plan.online and not done:
        yield Branch(heading=ONE_BY_ONE, lines=tuple(map(online_line, plan.online)))


def online_line(step: OnlineStep) -> Line:
    """Return the line of one step of an online plan; of a long statement the beginning."""
    sql = " ".join(step.sql.split())
    if len(sql) > LONGEST_STEP:
        # The order how to alter the table, with which MariaDB and MySQL end.
        before, word, order = sql.rpartition(", ALGORITHM=")
        sql = f"{(before or order)[:LONGEST_STEP]}...{f'{word}{order}' if word else ''}"
    return Line(sign="%", text=f"{step.manner.transaction}. {step.describe()}: {sql}")


def migration_branch(plan: Plan) -> Iterator[Branch]:
    """Yield a branch with the migrations that do more than change tables, if there are any."""
    if plan.migrations:
        yield Branch(heading=NOT_RUN, lines=tuple(migration_lines(plan)))


def migration_lines(plan: Plan) -> Iterator[Line]:
    """Yield the migrations that do more than change tables, a line for each app; those that cannot be loaded apart."""
    by_app: defaultdict[str, list[CodedMigration]] = defaultdict(list)
    for migration in plan.migrations:
        by_app[migration.app].append(migration)
    for app, migrations in by_app.items():
        readable = [migration for migration in migrations if not migration.error]
        kinds = dict.fromkeys(chain.from_iterable(migration.operations for migration in readable))
        if readable:
            names = ", ".join(migration.name for migration in readable)
            yield Line(sign="*", text=f"{app}: {names} ({', '.join(kinds)})")
        yield from (Line(sign="*", text=str(migration)) for migration in migrations if migration.error)


def abridged(plan_branches: Sequence[Branch]) -> tuple[Sequence[Branch], str]:
    """Return the branches to show on a terminal, with all that need a reader, and a line about the others."""
    calm = [branch for branch in plan_branches if not branch.needs_a_reader]
    left_out = calm[TABLES_SHOWN:]
    if len(left_out) < TABLES_SHOWN:
        return plan_branches, ""
    changes = plural(sum(line.sign != "#" for branch in left_out for line in branch.lines), "change")
    more = f"... and {changes} of {plural(len(left_out), 'more table')}; --verbosity 2 or a pipe shows all."
    hidden = set(map(id, left_out))
    return [branch for branch in plan_branches if id(branch) not in hidden], more


def tables(plan: Plan) -> Iterator[tuple[str, Remark | None, list[Judgement]]]:
    """Yield each table with its cost and its judgements."""
    by_table: defaultdict[str, list[Judgement]] = defaultdict(list)
    for judgement in plan.judgements:
        if judgement.verdict is not Verdict.POSTPONE:
            by_table[judgement.change.table].append(judgement)
    remarks = {remark.table: remark for remark in plan.remarks}
    for table in dict.fromkeys((*by_table, *remarks)):
        yield table, remarks.get(table), by_table[table]


def speaks_for_itself(remark: Remark | None, judgements: list[Judgement]) -> bool:
    """Return whether the changes of a table need no heading, since each of them names the whole table."""
    return remark is None and all(isinstance(judgement.change, WHOLE) for judgement in judgements)


def hook_branch(plan: Plan, when: str) -> Iterator[Branch]:
    """Yield a branch with the entries of AUTOMIGRATE that run before or after the tables, if there are any."""
    lines = tuple(Line(sign=">", text=hook.describe()) for hook in plan.hooks if hook.when == when)
    if lines:
        yield Branch(heading="", lines=lines)


def judgement_lines(judgement: Judgement) -> Iterator[Line]:
    """Yield the lines of one change: the change itself if it is applied, and its hazards.

    What is kept names no option: see `footer`.
    """
    if judgement.verdict is Verdict.APPLY:
        yield Line(sign=judgement.change.sign, text=judgement.change.describe())
    if judgement.verdict is Verdict.WITHHOLD:
        yield from (hazard_line("=", evolve(hazard, option="")) for hazard in judgement.hazards)
    else:
        yield from (hazard_line("!", hazard) for hazard in judgement.hazards)


def hazard_line(sign: str, hazard: Hazard) -> Line:
    """Return the line of one reason for a verdict, with the remedy if there is one."""
    reason = f"{hazard.reason}." if hazard.remedy else hazard.reason
    return Line(sign=sign, text=reason, advice=hazard.advice, option=hazard.option)


def summary(plan: Plan, *, done: bool, seconds: float | None = None) -> str:
    """Return a line that counts the changes that were made, or would be."""
    if plan.refused:
        number = len(plan.judgements) - len(plan.postponed)
        return f"Refused: {len(plan.refused)} of {plural(number, 'change')}; nothing was done."
    if not plan and plan.remaining:
        return f"Database {plan.alias!r}: nothing to expand; {left(plan)}."
    if plan.expanded and not done:
        return f"Database {plan.alias!r}: expanded; {counts_of(plan, done=done)}."
    if not plan:
        return f"Database {plan.alias!r} matches the models; {kept(plan)}." if plan.withheld else NOTHING_TO_DO
    return f"Database {plan.alias!r}: {counts_of(plan, done=done, seconds=seconds)}."


def counts_of(plan: Plan, *, done: bool, seconds: float | None = None) -> str:
    """Return how many changes, hooks and kept things a plan has, in words, with the time that it took."""
    planned = "to contract" if plan.expanded else "to apply"
    applied = f"{plural(len(plan.changes), 'change')} {'applied' if done else planned}" if plan.changes else ""
    optional = sum(bool(judgement.instead) for judgement in plan.withheld)
    nullable = f"{plural(optional, 'column')} {'made' if done else 'to make'} nullable" if optional else ""
    hooks = f"{plural(len(plan.hooks), 'hook')} {'run' if done else 'to run'}" if plan.hooks else ""
    took = f" in {seconds:.2f} s" if seconds is not None else ""
    return ", ".join(filter(None, (applied, nullable, hooks, kept(plan), left(plan)))) + took


def kept(plan: Plan) -> str:
    """Return how many columns and tables a plan keeps: "2 columns and 1 table kept"; "" where it keeps none."""
    tables = sum(isinstance(judgement.change, DropTable) for judgement in plan.withheld)
    columns = len(plan.withheld) - tables
    numbers = [plural(number, noun) for number, noun in ((columns, "column"), (tables, "table")) if number]
    return f"{' and '.join(numbers)} kept" if numbers else ""


def left(plan: Plan) -> str:
    """Return how many changes an expand leaves: "3 changes for the contract"; "" where it leaves none."""
    return f"{plural(plan.remaining, 'change')} for the contract" if plan.remaining else ""


def report(plan: Plan) -> str:
    """Return the changes that were made as one text for a log, after the summary."""
    return "\n".join([summary(plan, done=True), *map(str, lines(plan, done=True))])


def why_refused(plan: Plan, *, in_python: bool = False, with_values: bool = True) -> str:
    """Return every reason for which nothing was done, one a line; for readers in Python with arguments of functions."""
    hazards = [hazard for judgement in plan.refused for hazard in judgement.hazards]
    hazards = hazards if with_values else [hazard.without_values for hazard in hazards]
    reasons = ["Nothing was done, because the database does not allow all of it:"]
    reasons += [f"- {hazard.in_python if in_python else hazard}" for hazard in hazards]
    reasons += [f"? {likely.question(in_python=in_python)}" for likely in plan.likely_renames]
    return "\n".join(reasons)


def as_options(renames: Mapping[str, str], defaults: Mapping[str, Any]) -> list[str]:
    """Return answers as the words of a command line: `--rename` and `--default`, each followed by OLD=NEW."""
    pairs = [("--rename", renames), ("--default", defaults)]
    return [word for option, values in pairs for old, new in values.items() for word in (option, f"{old}={new}")]


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """A table of counts: the headings of its columns, of which the last one is the number, and its rows."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    total: str = ""


def losses(rows: Mapping[str, int]) -> Counts:
    """Return the number of rows that each table would lose; of many tables, those that would lose most."""
    most = sorted(rows, key=lambda table: -rows[table])[:TABLES_SHOWN] if len(rows) > 2 * TABLES_SHOWN else list(rows)
    shown = [(table, f"{rows[table]:,}") for table in most]
    if rest := rows.keys() - set(most):
        shown.append((f"... and {plural(len(rest), 'more table')}", f"{sum(rows[table] for table in rest):,}"))
    return Counts(columns=("Table", "Rows lost"), rows=tuple(shown), total=f"{sum(rows.values()):,}")


def refusals(plan: Plan) -> Counts:
    """Return the hazards for which the plan is refused, with the number of rows of each."""
    reasons = ((judgement.change.table, hazard) for judgement in plan.refused for hazard in judgement.hazards)
    rows = ((table, hazard.code, "" if hazard.rows is None else f"{hazard.rows:,}") for table, hazard in reasons)
    return Counts(columns=("Table", "Refused", "Rows"), rows=tuple(rows))


def how_far(progress: RunProgress, seconds: float) -> str:
    """Return the progress of a statement that has been running for so many seconds, in words."""
    if progress.rows is not None and progress.rows_done is not None:
        left = seconds * (progress.rows - progress.rows_done) / progress.rows_done if progress.rows_done else None
        words = f", {duration(left)} left" if left is not None else ""
        return f"{progress.rows_done:,} of {progress.rows:,} rows{words}"
    size = f"{progress.size}, " if progress.size else ""
    return f"{size}running for {duration(seconds)}"


def duration(seconds: float) -> str:
    """Return a number of seconds as hours, minutes and seconds."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}"
