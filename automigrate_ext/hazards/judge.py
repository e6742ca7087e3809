"""Judge each change by the rows that are there: verdicts rest on counts, not on kinds of change."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Set
from dataclasses import dataclass, field
from dataclasses import replace as evolve

from automigrate_ext.backends.base import Backend, Loss
from automigrate_ext.backends.naming import noun_columns
from automigrate_ext.backends.rows import Answer, Question, Source, key_columns
from automigrate_ext.backends.work import Fill, Samples
from automigrate_ext.hazards.dependents import refuse_dependents
from automigrate_ext.hazards.forecast import Forecast
from automigrate_ext.hazards.links import Retargeting, pointing, remake, retargeted
from automigrate_ext.hazards.values import COUNT_ON, refuse_computed, refuse_values
from automigrate_ext.hazards.withholding import is_withheld, keeping, pointed_at_from_outside
from automigrate_ext.plan.codes import HazardCode
from automigrate_ext.plan.plan import ACCEPT_DATA_LOSS, Hazard, Judgement, Verdict, refused_for
from automigrate_ext.schema.changes import (
    AddColumn,
    AddConstraint,
    AddIndex,
    AlterColumn,
    AlterPrimaryKey,
    Change,
    DropColumn,
    DropConstraint,
    DropIndex,
    DropTable,
    FillColumn,
    ValidateConstraint,
)
from automigrate_ext.schema.nouns import (
    Check,
    Column,
    Constraint,
    Exclusion,
    ForeignKey,
    Index,
    PrimaryKey,
    Schema,
    Table,
    Unique,
)
from automigrate_ext.words import plural

#: What rows have to satisfy by what they hold themselves.
Rule = Constraint | Index | PrimaryKey

GIVE_DEFAULT = "Give the field a default, a db_default or null=True."
#: What messages have in the place of the server's words where these may quote a value of a field that looks secret.
NOT_SHOWN = "the server refuses some of the values, which look secret, so that its message is not shown"
BY_HAND = "Make this change by hand, and run this again."
UNLINK = 'If a model was renamed or moved to another app, pass --rename OLD=NEW (renames={"OLD": "NEW"}).'


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdicts:
    """All judgements of a plan, and what carrying them out takes.

    `changes` are those to carry out, `fills` the values for rows that have none, `casts` how to convert others, both by
    table and column; `filled` are the tables, of those that change, that have rows.
    """

    judgements: tuple[Judgement, ...]
    changes: tuple[Change, ...]
    fills: Mapping[tuple[str, str], Fill]
    casts: Mapping[tuple[str, str], str]
    filled: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Inquiry:
    """A change, the question to the rows that decides about it, and the judgement that follows from the answer.

    With `tolerates_silence` what was not counted in time is not in the way.
    """

    change: Change
    conclude: Callable[[Answer], Judgement]
    question: Question | None = None
    tolerates_silence: bool = False


@dataclass(kw_only=True)
class Judge:
    """Judges the changes of a plan; asks the rows about all of them together.

    `fill` returns what rows without a value in a column of a table get, `owners` are the models of the tables,
    `links` the tables, as they are to be, that Django makes for many-to-many fields. `required` are new columns that
    allow NULL for a while, and whose rows need a value all the same.
    """

    backend: Backend
    current: Schema
    desired: Schema
    changes: tuple[Change, ...]
    fill: Callable[[str, str], Fill | None]
    accept_data_loss: bool = False
    owners: Mapping[str, str] = field(default_factory=dict)
    links: Mapping[str, Table] = field(default_factory=dict)
    required: Set[tuple[str, str]] = frozenset()
    fills: dict[tuple[str, str], Fill] = field(default_factory=dict)
    #: The columns whose values in `fills` come with the column's own default, so that nothing fills them in.
    defaulted: set[tuple[str, str]] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.retargeted = self.retargeted_with_rows()
        if self.accept_data_loss and self.retargeted:
            tables = {name: self.links[name] for name in self.retargeted}
            self.changes = remake(self.changes, tables, self.current)
        self.forecast = Forecast(backend=self.backend, current=self.current, fill=self.fill, changes=self.changes)
        self.pointed_at = dict(pointed_at_from_outside(self.backend, self.current, self.changes))
        for name, other in pointing(self.current, self.retargeted):
            self.pointed_at[name] = self.pointed_at.get(name, frozenset()) | {other}

    def retargeted_with_rows(self) -> dict[str, Retargeting]:
        """Return the many-to-many tables whose rows link to something that the models do not."""
        found = retargeted(self.current, self.links, self.changes)
        filled = self.backend.rows.filled_tables(list(found)) if found else ()
        return {name: retargeting for name, retargeting in found.items() if name in filled}

    def judge(self) -> Verdicts:
        """Return the judgements; withheld changes are replaced by what makes keeping possible."""
        inquiries = [self.inquire(change) for change in self.changes]
        staying = [*self.inquire_kept_rules(), *self.inquire_long_values()]
        answers = self.backend.rows.answers(i.question for i in (*inquiries, *staying) if i.question)
        against: defaultdict[int, list[Hazard]] = defaultdict(list)
        for inquiry in staying:
            against[id(inquiry.change)] += self.conclude(inquiry, answers).hazards
        judgements = tuple(refused_for(self.conclude(i, answers), against[id(i.change)]) for i in inquiries)
        judgements = refuse_dependents(self.backend, self.current, self.desired, judgements)
        judgements = refuse_values(self.backend, judgements, self.fills, self.field_name)
        judgements = refuse_computed(self.backend, self.forecast, judgements)
        applied: list[Change] = []
        for judgement in judgements:
            if judgement.verdict is Verdict.APPLY:
                applied.append(judgement.change)
            elif judgement.verdict is Verdict.WITHHOLD:
                applied.extend(judgement.instead)
        casts = {key: loss.using for key, loss in self.forecast.losses.items() if loss.using}
        return Verdicts(
            judgements=judgements,
            changes=tuple(applied),
            fills={key: fill for key, fill in self.fills.items() if key not in self.defaulted},
            casts=casts,
            filled=self.forecast.filled,
        )

    # Asking

    def inquire(self, change: Change) -> Inquiry:
        """Return what has to be asked before the change can be judged."""
        if isinstance(change, DropTable) and change.table in self.pointed_at:
            return judged(self.withhold_referenced(change))
        if change.table in self.forecast.filled:
            match change:
                case DropTable():
                    return self.inquire_drop(
                        change, HazardCode.DROPS_TABLE, self.backend.rows.every_row(self.now(change)), "row"
                    )
                case DropColumn(old=Column(generated=None)):
                    question = self.backend.rows.values(self.now(change), [change.old.name])
                    return self.inquire_drop(change, HazardCode.DROPS_COLUMN, question, "value")
        if refusal := self.unable(change):
            return judged(self.refuse(change, refusal))
        if change.table not in self.forecast.filled:
            return judged(Judgement(change=change))
        match change:
            case AddColumn() | FillColumn():
                return self.inquire_new_column(change)
            case AlterColumn():
                return self.inquire_altered_column(change)
            case AlterPrimaryKey() | AddConstraint() | AddIndex() | ValidateConstraint():
                return self.inquire_rule(change, change.new) or judged(Judgement(change=change))
        return judged(Judgement(change=change))

    def unable(self, change: Change) -> Hazard | None:
        """Return the hazard of a change that the backend has no way to make, or None."""
        reason = self.backend.unable(change, self.current)
        return (
            Hazard(code=HazardCode.UNABLE, message=f"{change.describe()}: {reason}", advice=BY_HAND) if reason else None
        )

    def now(self, change: Change) -> Source:
        """Return all rows that a change's table stores, as they are."""
        return self.backend.rows.stored(self.current.tables[change.table])

    def conclude(self, inquiry: Inquiry, answers: Mapping[Question, Answer]) -> Judgement:
        """Return the judgement on a change; what was not counted in time counts as in the way."""
        answer = answers[inquiry.question] if inquiry.question else Answer()
        if answer.rows is not None or isinstance(inquiry.change, (DropTable, DropColumn)) or inquiry.tolerates_silence:
            return inquiry.conclude(answer)
        return self.refuse(inquiry.change, self.not_counted(inquiry.change))

    def not_counted(self, change: Change) -> Hazard:
        message = f"{change.describe()}: the rows of {change.table} that do not allow it were not counted in time"
        return Hazard(code=HazardCode.NOT_COUNTED, message=message, advice=COUNT_ON)

    def refuse(self, change: Change, *hazards: Hazard) -> Judgement:
        return Judgement(change=change, verdict=Verdict.REFUSE, hazards=hazards)

    def hazard(
        self, question: Question, code: HazardCode, message: str, rows: int | None, advice: str, option: str = ""
    ) -> Hazard:
        """Return a hazard with some of the rows."""
        hazard = Hazard(code=code, message=message, rows=rows, advice=advice, option=option)
        return self.with_samples(hazard, question.source.table, self.backend.rows.sample(question))

    def with_samples(self, hazard: Hazard, name: str, samples: Samples) -> Hazard:
        """Return a hazard with rows of a table as examples; with none where the key of the table looks secret."""
        key = key_columns(self.current.tables[name])
        if self.hides_any(name, key):
            return hazard
        return evolve(hazard, key=key, samples=samples.keys, columns=samples.columns, values=samples.values)

    def hides_any(self, name: str, columns: Iterable[str]) -> bool:
        """Return whether any of the columns of a table looks secret."""
        return any(self.backend.rows.hides(name, column) for column in self.columns_of(name, columns))

    def columns_of(self, name: str, columns: Iterable[str]) -> Iterator[Column]:
        """Yield columns of a table by their names, as they will be or, if they go, as they are."""
        tables = [table for table in (self.desired.get(name), self.current.get(name)) if table]
        found = (next(filter(None, (table.column(column) for table in tables)), None) for column in columns)
        yield from filter(None, found)

    def showing(self, question: Question, columns: Iterable[str]) -> Question:
        """Return a question that shows the values in columns of a table, as they are or will be."""
        source = question.source
        return evolve(question, shows=self.backend.rows.shown(source, self.columns_of(source.table, columns)))

    def field_name(self, table: str, column: str) -> str:
        owner = self.owners.get(table)
        return f"{owner}.{column}" if owner else f"{table}.{column}"

    # What goes

    def inquire_drop(self, change: DropColumn | DropTable, code: HazardCode, question: Question, noun: str) -> Inquiry:
        """Return the inquiry into a drop: applied if nothing would be lost, else withheld, or applied if accepted."""

        def conclude(answer: Answer) -> Judgement:
            holds = answer.counted != 0
            withheld = is_withheld(change, self.pointed_at, holds=holds, accept_data_loss=self.accept_data_loss)
            instead = tuple(keeping(change)) if withheld else ()
            if refusal := next(filter(None, map(self.unable, instead if withheld else [change])), None):
                return self.refuse(change, refusal)
            if not holds:
                return Judgement(change=change)
            if not withheld:
                message = f"Lose {answer.words(noun)} of {dropped(change)}"
                return Judgement(change=change, hazards=(Hazard(code=code, message=message, rows=answer.counted),))
            message = f"Keep {dropped(change)} ({answer.words(noun)}{', now nullable' if instead else ''})"
            hazard = Hazard(code=code, message=message, rows=answer.counted, option=ACCEPT_DATA_LOSS)
            return Judgement(change=change, verdict=Verdict.WITHHOLD, hazards=(hazard,), instead=instead)

        return Inquiry(change=change, question=question, conclude=conclude)

    def withhold_referenced(self, change: DropTable) -> Judgement:
        pointing = f"at which foreign keys of {', '.join(sorted(self.pointed_at[change.table]))} point"
        # A table that is to be made again cannot be kept besides.
        refused = change.table in self.retargeted
        message = f"{change.describe()}, {pointing}" if refused else f"Keep {dropped(change)}, {pointing}"
        hazard = Hazard(code=HazardCode.REFERENCED, message=message, advice="Drop those foreign keys first.")
        verdict = Verdict.REFUSE if refused else Verdict.WITHHOLD
        return Judgement(change=change, verdict=verdict, hazards=(hazard,))

    # Links

    def keeps_links(self, change: Change, key: ForeignKey) -> bool:
        """Return whether a new foreign key would make the rows of a many-to-many table link to something else."""
        if not isinstance(change, AddConstraint) or change.table not in self.retargeted:
            return False
        return all(map(self.current.tables[change.table].column, key.columns))

    def inquire_retargeted(self, change: Change) -> Inquiry:
        """Return the inquiry into a foreign key of a many-to-many table that is to point at another table."""
        retargeting = self.retargeted[change.table]

        def conclude(answer: Answer) -> Judgement:
            rows = "rows" if answer.rows is None else plural(answer.rows, "row")
            link = "links" if answer.rows == 1 else "link"
            message = f"{change.table} has {rows} that {link} to {retargeting.old}, and is to link to {retargeting.new}"
            return self.refuse(
                change,
                Hazard(
                    code=HazardCode.RETARGETED,
                    message=message,
                    rows=answer.rows,
                    advice=UNLINK,
                    option=ACCEPT_DATA_LOSS,
                ),
            )

        return Inquiry(change=change, question=self.backend.rows.every_row(self.now(change)), conclude=conclude)

    # Columns

    def inquire_new_column(self, change: AddColumn | FillColumn) -> Inquiry:
        new = change.new
        if new.generated or new.identity:
            return judged(Judgement(change=change))
        if new.default is not None:
            self.expect_default(change)
            return judged(Judgement(change=change))
        key = change.table, new.name
        fill = self.forecast.fills.get(key) if isinstance(change, AddColumn) else self.fill(*key)
        if fill is not None:
            self.fills[key] = fill
        if fill is not None or (new.null and key not in self.required):
            return judged(Judgement(change=change))

        def conclude(answer: Answer) -> Judgement:
            rows = "rows" if answer.rows is None else plural(answer.rows, "row")
            message = f"Column {change.table}.{new.name} is required and the table has {rows} without a value for it"
            if retargeting := self.retargeted.get(change.table):
                message += f": it links to {retargeting.old}, and is to link to {retargeting.new}"
            owner = self.owners.get(change.table)
            # No option gives a value to a many-to-many table.
            option = f"--default {owner}.{new.name}=VALUE" if owner else ACCEPT_DATA_LOSS
            advice = GIVE_DEFAULT if owner else UNLINK
            hazard = Hazard(
                code=HazardCode.REQUIRED_COLUMN, message=message, rows=answer.rows, advice=advice, option=option
            )
            return self.refuse(change, hazard)

        return Inquiry(change=change, question=self.backend.rows.every_row(self.now(change)), conclude=conclude)

    def expect_default(self, change: AddColumn | FillColumn) -> None:
        """Note the default of the database that all rows get as the column is added."""
        key = change.table, change.new.name
        fill = self.fill(*key)
        if fill is not None and not fill.draw:
            self.fills[key] = fill
            self.defaulted.add(key)

    def inquire_altered_column(self, change: AlterColumn) -> Inquiry:
        old, new = change.old, change.new
        if change.regenerates and new.generated:
            return judged(Judgement(change=change)) if old.generated else self.inquire_generated(change)
        lost = self.loss_hazards(change)
        if new.null or not old.null:
            return judged(self.judge_losses(change, lost))
        question = self.backend.rows.nulls(self.now(change), old.name)

        def conclude(answer: Answer) -> Judgement:
            in_the_way = self.null_hazard(change, question, answer)
            return self.refuse(change, in_the_way, *lost) if in_the_way else self.judge_losses(change, lost)

        return Inquiry(change=change, question=question, conclude=conclude)

    def inquire_generated(self, change: AlterColumn) -> Inquiry:
        question = self.backend.rows.values(self.now(change), [change.old.name])
        question = evolve(question, shows=self.backend.rows.shown(question.source, [change.old]))

        def conclude(answer: Answer) -> Judgement:
            if answer.counted == 0:
                return Judgement(change=change)
            name = f"{change.table}.{change.old.name}"
            message = f"Column {name} becomes a generated one and holds {answer.words('value')}"
            if self.accept_data_loss:
                hazard = Hazard(code=HazardCode.OVERWRITES_COLUMN, message=message, rows=answer.counted)
                return Judgement(change=change, hazards=(hazard,))
            return self.refuse(
                change,
                self.hazard(question, HazardCode.OVERWRITES_COLUMN, message, answer.counted, "", ACCEPT_DATA_LOSS),
            )

        return Inquiry(change=change, question=question, conclude=conclude)

    def null_hazard(self, change: AlterColumn, question: Question, answer: Answer) -> Hazard | None:
        """Return the hazard of NOT NULL over rows without a value, or None; where there is a fill, it is planned."""
        nulls = answer.rows or 0
        key = change.table, change.new.name
        fill = self.forecast.fills.get(key)
        if not nulls:
            return None
        if fill is not None:
            self.fills[key] = fill
            return None
        name = self.field_name(change.table, change.new.name)
        return self.hazard(
            question,
            HazardCode.NULL_VALUES,
            f"Column {change.table}.{change.new.name} is to forbid NULL, and it is NULL in {plural(nulls, 'row')}",
            nulls,
            "Give the field a default or db_default, or fill these rows.",
            f"--default {name}=VALUE",
        )

    def loss_hazards(self, change: AlterColumn) -> tuple[Hazard, ...]:
        """Return the hazards to the values of a column whose type changes."""
        loss = self.forecast.losses.get((change.table, change.new.name), Loss())
        words = f"{change.table}.{change.new.name} from {change.old.type} to {change.new.type}"
        if loss.error:
            is_hidden = self.backend.rows.hides(change.table, change.old)
            message = f"Cannot change {words}: {NOT_SHOWN if is_hidden else loss.error}"
            advice = "Change the values first."
            hazard = Hazard(code=HazardCode.CAST_FAILS, message=message, rows=loss.rows, advice=advice)
            return (self.with_samples(hazard, change.table, loss.samples),)
        if loss.rows == 0:
            return ()
        if loss.rows is None:
            message = f"Changing {words} would alter values that were not counted in time"
            return (Hazard(code=HazardCode.NOT_COUNTED, message=message, advice=COUNT_ON, option=ACCEPT_DATA_LOSS),)
        message = f"Changing {words} would alter {plural(loss.rows, 'value')}"
        hazard = Hazard(
            code=HazardCode.ALTERS_VALUES,
            message=message,
            rows=loss.rows,
            advice="Change the values first.",
            option=ACCEPT_DATA_LOSS,
        )
        return (self.with_samples(hazard, change.table, loss.samples),)

    def judge_losses(self, change: AlterColumn, hazards: tuple[Hazard, ...]) -> Judgement:
        """Refuse a change that alters values, unless that is accepted and possible."""
        if hazards and not (self.accept_data_loss and all(hazard.code != HazardCode.CAST_FAILS for hazard in hazards)):
            return self.refuse(change, *hazards)
        accepted = tuple(
            evolve(hazard, advice="", option="", key=(), samples=(), columns=(), values=()) for hazard in hazards
        )
        return Judgement(change=change, hazards=accepted)

    # Keys, constraints, indexes

    def inquire_rule(self, change: Change, noun: object) -> Inquiry | None:
        """Return the inquiry into a key, constraint or index that rows have to satisfy once the changes are made."""
        match noun:
            case Index(unique=True) if self.is_known(change, noun.columns):
                question = self.backend.rows.index_duplicates(self.then(change, noun.columns), noun)
                return self.duplicates(change, self.showing(question, noun.columns), noun)
            case Index(unique=False) if noun.computes and self.is_known(change, noun.columns):
                return self.failures(change, noun)
            case Unique() if self.is_known(change, noun.columns):
                source = self.then(change, noun.columns)
                question = self.backend.rows.duplicates(source, noun.columns, nulls_distinct=noun.nulls_distinct)
                return self.duplicates(change, self.showing(question, noun.columns), noun)
            case PrimaryKey() if self.is_known(change, noun.columns):
                question = self.backend.rows.duplicates(self.then(change, noun.columns), noun.columns)
                return self.duplicates(change, self.showing(question, noun.columns), noun)
            case ForeignKey() if self.is_known(change, noun.columns):
                return self.orphans(change, noun)
            case Check() if self.is_known(change, noun.columns):
                question = self.backend.rows.violators(self.then(change, noun.columns), noun.expression)
                question = self.showing(question, noun.columns)
                return self.violators(change, question, noun, "that do not satisfy")
            case Exclusion() if noun.elements and self.is_known(change, noun.columns):
                question = self.backend.rows.conflicts(self.then(change, noun.columns), noun)
                if self.hides_any(change.table, noun.columns):
                    question = evolve(question, shows=())
                return self.violators(change, question, noun, "that conflict with others under")
        return None

    def inquire_kept_rules(self) -> Iterator[Inquiry]:
        """Yield the inquiries into keys, constraints and indexes that stay while values under them are converted."""
        going = {id(c.old) for c in self.changes if isinstance(c, (DropConstraint, DropIndex, AlterPrimaryKey))}
        for change in self.changes:
            if not isinstance(change, AlterColumn) or not self.forecast.converted(change.table, change.new.name):
                continue
            table = self.current.tables[change.table]
            moved = self.forecast.moved(change.table, change.new.name)
            for noun in (table.primary_key, *table.constraints, *table.indexes):
                if noun is None or id(noun) in going or moved.isdisjoint(noun_columns(noun)):
                    continue
                if isinstance(noun, Constraint) and not noun.valid:
                    continue  # put back as it is, which asks no row
                inquiry = None if self.still_holds(noun, change) else self.inquire_rule(change, noun)
                if inquiry:
                    going.add(id(noun))
                    yield inquiry

        yield from self.inquire_checks_of_written_rows(going)

    def inquire_checks_of_written_rows(self, asked: Set[int]) -> Iterator[Inquiry]:
        """Yield the inquiries into checks that stay, where the server asks them of all rows as it writes these.

        Rows may have been put in while checks were switched off. `asked` are the rules that go, or are inquired into.
        """
        tables = {change.table: change for change in self.changes if self.backend.asks_checks_again(change)}
        dropped = {(change.table, change.old.name) for change in self.changes if isinstance(change, DropColumn)}
        for name, change in tables.items():
            for noun in self.current.tables[name].constraints if name in self.forecast.filled else ():
                goes = id(noun) in asked or any((name, column) in dropped for column in noun_columns(noun))
                inquiry = self.inquire_rule(change, noun) if isinstance(noun, Check) and not goes else None
                if inquiry:
                    yield evolve(inquiry, tolerates_silence=True)

    def inquire_long_values(self) -> Iterator[Inquiry]:
        """Yield the inquiries into values that stay as they are and are too long for a new index."""
        for change in self.changes:
            if not isinstance(change, (AddIndex, AddConstraint, AlterPrimaryKey)) or change.new is None:
                continue
            if change.table not in self.forecast.filled:
                continue
            table, columns = self.current.tables[change.table], noun_columns(change.new)
            stays = all(table.column(name) and not self.forecast.converted(change.table, name) for name in columns)
            fits = self.backend.fits_index(table, change.new) if stays else ""
            if fits:
                question = self.showing(self.backend.rows.violators(self.then(change, columns), fits), columns)
                inquiry = self.violators(change, question, change.new, "too long for")
                yield evolve(inquiry, tolerates_silence=True)

    def still_holds(self, noun: object, change: AlterColumn) -> bool:
        """Return whether a foreign key over converted values still holds: equal ones stay equal, filled need not."""
        if not isinstance(noun, ForeignKey) or change.new.name not in noun.columns:
            return False
        return (change.table, change.new.name) not in self.forecast.fills

    def is_known(self, change: Change, columns: Iterable[str]) -> bool:
        return self.forecast.is_known(change.table, columns)

    def then(self, change: Change, columns: Iterable[str]) -> Source:
        """Return the rows of a change's table as they will be, as far as these columns are concerned."""
        return self.forecast.source(change.table, columns)

    def duplicates(self, change: Change, question: Question, noun: Rule) -> Inquiry:
        def conclude(answer: Answer) -> Judgement:
            if not answer.rows:
                return self.judge_failure(change, noun, answer)
            groups = plural(answer.rows, "group")
            message = f"{change.table} has {groups} of rows with the same values for its {noun.describe()}"
            advice = "Make the values distinct first."
            return self.refuse(change, self.hazard(question, HazardCode.DUPLICATES, message, answer.rows, advice))

        return Inquiry(change=change, question=question, conclude=conclude)

    def violators(self, change: Change, question: Question, noun: Rule, words: str) -> Inquiry:
        def conclude(answer: Answer) -> Judgement:
            if not answer.rows:
                return self.judge_failure(change, noun, answer)
            message = f"{change.table} has {plural(answer.rows, 'row')} {words} {noun.describe()}"
            return self.refuse(
                change, self.hazard(question, HazardCode.VIOLATORS, message, answer.rows, "Correct them first.")
            )

        return Inquiry(change=change, question=question, conclude=conclude)

    def failures(self, change: Change, index: Index) -> Inquiry:
        """Return the inquiry into an index that any rows may have for which its expressions can be computed."""
        question = self.backend.rows.index_failures(self.then(change, index.columns), index)
        return Inquiry(
            change=change,
            question=question,
            conclude=lambda answer: self.judge_failure(change, index, answer),
            tolerates_silence=True,
        )

    def judge_failure(self, change: Change, noun: Rule, answer: Answer) -> Judgement:
        """Refuse a change whose expressions fail for a row; values that cannot be converted are refused elsewhere."""
        columns = noun_columns(noun)
        losses = (self.forecast.losses.get((change.table, name), Loss()) for name in columns)
        if not answer.blames_rows or any(loss.error for loss in losses):
            return Judgement(change=change)
        message = f"{change.table} has rows for which its {noun.describe()} cannot be computed"
        if not self.hides_any(change.table, columns):
            message += f": {answer.error}"
        return self.refuse(change, Hazard(code=HazardCode.VIOLATORS, message=message, advice="Correct them first."))

    def orphans(self, change: Change, foreign_key: ForeignKey) -> Inquiry | None:
        if self.keeps_links(change, foreign_key):
            return self.inquire_retargeted(change)
        source = self.then(change, foreign_key.columns)
        target = self.forecast.target(foreign_key)
        if target is None:
            return None
        question = (
            self.backend.rows.values(source, foreign_key.columns)
            if foreign_key.to_table in self.forecast.created
            else self.backend.rows.orphans(source, target, foreign_key)
        )

        question = self.showing(question, foreign_key.columns)

        def conclude(answer: Answer) -> Judgement:
            if not answer.rows:
                return Judgement(change=change)
            rows = f"{plural(answer.rows, 'row')} that point{'s' if answer.rows == 1 else ''}"
            message = f"{change.table} has {rows} at nothing through its {foreign_key.describe()}"
            advice = "Delete or repair them first, or give the field db_constraint=False."
            return self.refuse(change, self.hazard(question, HazardCode.ORPHANS, message, answer.rows, advice))

        return Inquiry(change=change, question=question, conclude=conclude)


def dropped(change: DropColumn | DropTable) -> str:
    """Return what a change would drop: "column todo_todo.legacy" or "table todo_old"."""
    return f"column {change.table}.{change.old.name}" if isinstance(change, DropColumn) else f"table {change.table}"


def judged(judgement: Judgement) -> Inquiry:
    """Return the inquiry into a change that is judged already."""
    return Inquiry(change=judgement.change, conclude=lambda answer: judgement)
