"""Questions to the rows of a table: how many stand in the way of a change, and which these are."""

from __future__ import annotations

from abc import abstractmethod
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from dataclasses import replace as evolve
from itertools import compress, islice
from typing import Any, TypeVar

from django.db.utils import DatabaseError

from automigrate_ext import conf
from automigrate_ext.backends.session import RenamingSession, RunSession
from automigrate_ext.backends.work import Bytes, Reference, Samples
from automigrate_ext.exceptions import AutomigrateError
from automigrate_ext.schema.nouns import Column, Exclusion, ForeignKey, Index, IndexKey, Table
from automigrate_ext.words import plural

# The alias by which all conditions refer to the rows that they are about.
ROW = "asked"
OTHER = "other"
FILLED = "SELECT {terms}"
ANY_ROW = "EXISTS (SELECT 1 FROM {table} AS asked)"
ANY_VALUE = "EXISTS (SELECT 1 FROM {table} AS asked WHERE {column} IS NOT NULL)"
COUNT = "SELECT {terms} FROM {source} AS asked"
COUNT_NUMBERED = "SELECT {number}, {terms} FROM {source} AS asked"
COUNTED = "count(CASE WHEN {condition} THEN 1 END)"
COUNT_ALONE = "SELECT count(*) FROM {source} AS asked WHERE {condition}"
NO_ROWS = "(SELECT * FROM {source} AS asked WHERE 1 = 0)"
COUNT_GROUPS = (
    "SELECT count(*) FROM (SELECT 1 AS one FROM {source} AS asked WHERE {condition} "
    "GROUP BY {keys} HAVING count(*) > 1) AS g"
)
SAMPLE = "SELECT {shown} FROM {source} AS asked WHERE {condition} ORDER BY {key} {limit}"
SAMPLE_GROUPS = (
    "SELECT {shown} FROM (SELECT {inner}, count(*) OVER (PARTITION BY {keys}) AS rows_alike "
    "FROM {source} AS asked WHERE {condition}) AS g WHERE rows_alike > 1 ORDER BY {key} {limit}"
)
COUNT_ROWS = "SELECT count(*) FROM {table} AS asked"
COUNT_REFERENCES = "SELECT count(*) FROM {table} AS asked WHERE {filled}"
ALTERED_TABLE = "(SELECT {columns} FROM {table} AS asked)"
COMPUTED_TABLE = "(SELECT plain.*, {columns} FROM {source} AS plain)"
ORPHAN = "{filled} AND NOT EXISTS (SELECT 1 FROM {to_source} AS parent WHERE {joined})"
ELEMENTS = "(SELECT {columns} FROM {source} AS asked WHERE {condition})"
CONFLICT = "EXISTS (SELECT 1 FROM {source} AS other WHERE {differs} AND {overlaps})"

#: How many rows are named as examples, with how many values each, and up to how many characters a value is shown.
SAMPLE_SIZE = 5
SHOWN_COLUMNS = 4
LONGEST_VALUE = 40
#: How many tables are asked in one query. SQLite takes 500 parts of a UNION at most (SQLITE_MAX_COMPOUND_SELECT), and
#: PostgreSQL 1,664 columns of a result.
TABLES_A_QUERY = 400


T = TypeVar("T")


class TookTooLong(AutomigrateError):
    """A question that was not answered within the time it was given."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """The rows of a table, with its columns as they are or as the changes will leave them.

    `sql` is what stands behind FROM, `key` the SQL of the columns that tell the rows apart.
    """

    table: str
    sql: str
    key: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """A value that messages show: its name, and the SQL of the value, of the length of a binary one, or of both.

    Of a text the SQL gives one character more than is shown at most. Of the two, the one that is NULL does not count.
    """

    name: str
    value: str = ""
    size: str = ""

    @property
    def terms(self) -> tuple[str, ...]:
        return tuple(filter(None, (self.value, self.size)))

    def read(self, answers: Iterator[Any]) -> Any:
        """Return the value as messages have it, from the answers to the terms."""
        value = next(answers) if self.value else None
        size = next(answers) if self.size else None
        if size is not None:
            return Bytes(int(size))
        if isinstance(value, (bytes, bytearray, memoryview)):
            return Bytes(len(value))
        if not isinstance(value, str) or len(value) <= LONGEST_VALUE:
            return value
        return f"{value[:LONGEST_VALUE]}..."


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A count of the rows of a source for which the condition holds, or of the groups of them with the same `keys`.

    With `looks_elsewhere` the condition depends on other rows too, which is best done in a query of its own. `shows`
    are the values that are shown of a row.
    """

    source: Source
    condition: str
    keys: tuple[str, ...] = ()
    looks_elsewhere: bool = False
    shows: tuple[Shown, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The number of rows or groups; None if they were not counted within the time.

    `error` is the server's message where they cannot be counted before the change is made. With `blames_rows` it is
    about what the rows hold, as the same question about no rows is answered.
    """

    rows: int | None = 0
    error: str = ""
    blames_rows: bool = False

    @property
    def counted(self) -> int | None:
        """The number, where it is known: a question that failed has counted nothing."""
        return None if self.error else self.rows

    def words(self, noun: str) -> str:
        """Return the number as a phrase with a noun, as far as it is known."""
        if self.error:
            return f"{noun}s that could not be counted ({' '.join(self.error.split())})"
        return f"{noun}s that were not counted in time" if self.rows is None else plural(self.rows, noun)


@dataclass(frozen=True, slots=True, kw_only=True)
class Future:
    """The columns of a table after the changes: values made from other columns and rows, as SQL.

    `values` are the columns that are converted, filled or new, `generated` those that are computed again,
    `unknown` those whose values are not known before the change is made.
    """

    values: Mapping[str, str] = field(default_factory=dict)
    generated: Mapping[str, str] = field(default_factory=dict)
    unknown: frozenset[str] = frozenset()

    def concerns(self, columns: Iterable[str]) -> bool:
        """Return whether any of the columns will have other values than now."""
        return any(column in self.values or column in self.generated for column in columns)


class Rows:
    """Asks the rows of a database."""

    def __init__(self, session: RunSession) -> None:
        self.connection = session.connection
        self.session = session
        self.faults = session.faults
        #: Seconds that one question may take; None for no limit.
        self.limit: float | None = None
        #: Returns the columns, each after its table, whose values are not shown whatever the column's name.
        self.secret: Callable[[], Collection[tuple[str, str]]] = frozenset

    def quote(self, name: str) -> str:
        """Return the identifier as it is written in SQL."""
        return self.connection.ops.quote_name(name)

    def relation(self, table: str) -> str:
        """Return what stands behind FROM, before an alias, for the rows of a table."""
        return self.quote(table)

    def stored_relation(self, table: str) -> str:
        """Return the same for all rows that a table stores, those that only its history has included."""
        return self.relation(table)

    # Sources

    def now(self, table: Table) -> Source:
        """Return the rows as they are."""
        return Source(table=table.name, sql=self.relation(table.name), key=tuple(map(self.quote, key_columns(table))))

    def stored(self, table: Table) -> Source:
        """Return all rows that the table stores, as they are: what a drop, a cast or NOT NULL is about."""
        return evolve(self.now(table), sql=self.stored_relation(table.name))

    def then(self, table: Table, future: Future) -> Source:
        """Return the rows as they will be, each still with the key that it has now."""
        kept = [column.name for column in table.columns if column.name not in future.generated]
        values = {name: future.values.get(name, self.quote(name)) for name in (*kept, *future.values)}
        columns = [f"{value} AS {self.quote(name)}" for name, value in values.items()]
        aliases = [f"key_now_{number}" for number, _ in enumerate(key_columns(table))]
        columns += [f"{self.quote(name)} AS {alias}" for alias, name in zip(aliases, key_columns(table), strict=True)]
        sql = ALTERED_TABLE.format(columns=", ".join(columns), table=self.relation(table.name))
        if future.generated:
            computed = [f"({expression}) AS {self.quote(name)}" for name, expression in future.generated.items()]
            sql = COMPUTED_TABLE.format(columns=", ".join(computed), source=sql)
        return Source(table=table.name, sql=sql, key=tuple(aliases))

    # Values in messages

    def hides(self, table: str, column: Column) -> bool:
        """Return whether a column's values must not be shown: it looks secret, or is computed from one that does."""
        names, secret = (column.name, *column.reads), self.secret()
        return any((table, name) in secret or conf.hides(name) for name in names)

    def shown(self, source: Source, columns: Iterable[Column]) -> tuple[Shown, ...]:
        """Return what messages show of a row of the source: some of the columns, but for its key, shown anyway."""
        plain = (column for column in columns if self.quote(column.name) not in source.key)
        shown = (self.shown_value(column) for column in plain if not self.hides(source.table, column))
        return tuple(islice(shown, SHOWN_COLUMNS))

    def shown_value(self, column: Column) -> Shown:
        """Return the value of a column as messages show it."""
        return Shown(name=column.name, value=self.quote(column.name))

    # Questions

    def every_row(self, source: Source) -> Question:
        """Ask how many rows there are."""
        return Question(source=source, condition="1 = 1")

    def nulls(self, source: Source, column: str) -> Question:
        """Ask in how many rows the column is NULL."""
        return Question(source=source, condition=f"{self.quote(column)} IS NULL")

    def values(self, source: Source, columns: Sequence[str]) -> Question:
        """Ask in how many rows each of the columns holds a value."""
        return Question(source=source, condition=self.filled(columns))

    def violators(self, source: Source, condition: str) -> Question:
        """Ask how many rows do not satisfy a condition; NULL satisfies it, as it does in a check."""
        return Question(source=source, condition=f"NOT ({condition})")

    def orphans(self, source: Source, target: Source, foreign_key: ForeignKey) -> Question:
        """Ask how many rows point at a row that does not exist."""
        pairs = zip(foreign_key.columns, foreign_key.to_columns, strict=True)
        joined = " AND ".join(f"parent.{self.quote(to)} = {ROW}.{self.quote(own)}" for own, to in pairs)
        condition = ORPHAN.format(filled=self.filled(foreign_key.columns), to_source=target.sql, joined=joined)
        return Question(source=source, condition=condition, looks_elsewhere=True)

    def duplicates(self, source: Source, columns: Sequence[str], *, nulls_distinct: bool = True) -> Question:
        """Ask how many groups of rows have the same values in the columns."""
        condition = self.filled(columns) if nulls_distinct else "1 = 1"
        return Question(source=source, condition=condition, keys=tuple(map(self.quote, columns)))

    def index_duplicates(self, source: Source, index: Index) -> Question:
        """Ask how many groups of rows a unique index would reject."""
        keys = tuple(self.index_key_sql(key, index.condition) for key in index.keys)
        terms = [f"{key} IS NOT NULL" for key in keys] if index.nulls_distinct else []
        terms += [f"({index.condition})"] if index.condition else []
        return Question(source=source, condition=" AND ".join(terms) or "1 = 1", keys=keys)

    def index_failures(self, source: Source, index: Index) -> Question:
        """Compute the expressions of an index for each row, and ask for nothing: the question fails as they do."""
        keys = [self.index_key_sql(key, index.condition) for key in index.keys if key.expression]
        # A sum, because the server need not look at all parts of a condition.
        terms = [f"(CASE WHEN {term} IS NULL THEN 0 ELSE 1 END)" for term in keys]
        terms += [f"(CASE WHEN ({index.condition}) THEN 0 ELSE 1 END)"] if index.condition else []
        return Question(source=source, condition=f"{' + '.join(terms)} < 0")

    def conflicts(self, source: Source, exclusion: Exclusion) -> Question:
        """Ask how many rows conflict with another one under an exclusion constraint."""
        columns = [f"{key} AS k{number}" for number, key in enumerate(source.key)]
        columns += [f"({expression}) AS e{number}" for number, (expression, _) in enumerate(exclusion.elements)]
        elements = ELEMENTS.format(
            columns=", ".join(columns), source=source.sql, condition=exclusion.condition or "1 = 1"
        )
        keys = [f"k{number}" for number, _ in enumerate(source.key)]
        differs = " OR ".join(f"{OTHER}.{key} <> {ROW}.{key}" for key in keys)
        overlaps = [
            f"{ROW}.e{number} {operator} {OTHER}.e{number}" for number, (_, operator) in enumerate(exclusion.elements)
        ]
        condition = CONFLICT.format(source=elements, differs=f"({differs})", overlaps=" AND ".join(overlaps))
        rows = Source(table=source.table, sql=elements, key=tuple(keys))
        shows = tuple(
            evolve(self.shown_value(Column(name=f"e{number}", type="", null=True)), name=expression)
            for number, (expression, _) in enumerate(exclusion.elements[:SHOWN_COLUMNS])
        )
        return Question(source=rows, condition=condition, looks_elsewhere=True, shows=shows)

    def filled(self, columns: Sequence[str]) -> str:
        """Return the condition that none of the columns is NULL."""
        return " AND ".join(f"{ROW}.{self.quote(column)} IS NOT NULL" for column in columns)

    def index_key_sql(self, key: IndexKey, condition: str | None) -> str:
        """Return one key of an index; an expression is computed for no row that the index leaves out."""
        sql = self.key_sql(key.column, key.expression, key.collation)
        return f"(CASE WHEN ({condition}) THEN {sql} END)" if condition and key.expression else sql

    def key_sql(self, column: str | None, expression: str | None, collation: str | None) -> str:
        """Return one key of an index as an expression."""
        key = self.quote(column) if column else f"({expression})"
        return f"{key} COLLATE {self.quote(collation)}" if collation else key

    # Plain numbers

    def ask(self, sql: str, **names: str) -> Any:
        """Return the single value of a query."""
        with self.connection.cursor() as cursor:
            cursor.execute(sql.format(**names))
            row = cursor.fetchone()
        return row[0]

    def count_rows(self, table: str) -> int:
        """Count the rows that the table stores."""
        return int(self.ask(COUNT_ROWS, table=self.stored_relation(table)))

    def count_references(self, reference: Reference) -> int:
        """Count the rows that point through a foreign key."""
        columns = reference.foreign_key.columns
        filled = " AND ".join(f"{self.quote(column)} IS NOT NULL" for column in columns)
        return int(self.ask(COUNT_REFERENCES, table=self.relation(reference.table), filled=filled))

    # Answers

    def filled_tables(self, tables: Sequence[str]) -> frozenset[str]:
        """Return those of the tables that have rows."""
        held = self.held([(table, None) for table in tables])
        return frozenset(table for table, _ in held)

    def held(self, places: Sequence[tuple[str, str | None]]) -> frozenset[tuple[str, str | None]]:
        """Return those of the places that hold something: a table (and None) a row, a table's column a value.

        Sends one query for any number of places, up to `TABLES_A_QUERY`.
        """
        held: list[tuple[str, str | None]] = []
        for some in batched(list(dict.fromkeys(places)), TABLES_A_QUERY):
            terms = ", ".join(self.any_held(*place) for place in some)
            held += compress(some, self.row(FILLED.format(terms=terms)))
        return frozenset(held)

    def any_held(self, table: str, column: str | None) -> str:
        """Return the condition that a table has a row, or that its column has a value."""
        if column is None:
            return ANY_ROW.format(table=self.stored_relation(table))
        return ANY_VALUE.format(table=self.stored_relation(table), column=self.quote(column))

    def answers(self, questions: Iterable[Question]) -> dict[Question, Answer]:
        """Return all answers: one query for all sources, and one for each question about groups or other tables.

        Where the query for all sources fails or takes too long, each source is asked in a query of its own.
        """
        by_source: defaultdict[Source, list[Question]] = defaultdict(list)
        answers: dict[Question, Answer] = {}
        for question in dict.fromkeys(questions):
            if question.keys or question.looks_elsewhere:
                answers[question] = self.answer(question)
            else:
                by_source[question.source].append(question)
        for some in batched(by_source.items(), TABLES_A_QUERY):
            answers |= self.answers_of_all(dict(some))
        return answers

    def answers_of_all(self, by_source: Mapping[Source, Sequence[Question]]) -> dict[Question, Answer]:
        """Return the answers to questions about several sources, from one query where that succeeds in time."""
        counts = self.try_counts(by_source) if len(by_source) > 1 else None
        if counts is not None:
            return counts
        answers: dict[Question, Answer] = {}
        for source, questions in by_source.items():
            answers |= self.answers_of(source, questions)
        return answers

    def try_counts(self, by_source: Mapping[Source, Sequence[Question]]) -> dict[Question, Answer] | None:
        """Return the answers from one query over all sources; None where it fails or takes too long."""
        width = max(map(len, by_source.values()))
        queries = []
        for number, (source, questions) in enumerate(by_source.items()):
            terms = [COUNTED.format(condition=question.condition) for question in questions]
            terms += ["0"] * (width - len(terms))
            queries.append(COUNT_NUMBERED.format(number=number, terms=", ".join(terms), source=source.sql))
        try:
            rows = self.try_rows(" UNION ALL ".join(queries))
        except TookTooLong:
            return None
        except DatabaseError as error:
            if self.faults.is_fault(error):
                raise
            return None
        asked = list(by_source.values())
        return {
            question: Answer(rows=int(count))
            for number, *counts in rows
            for question, count in zip(asked[number], counts, strict=False)
        }

    def answers_of(self, source: Source, questions: Sequence[Question]) -> dict[Question, Answer]:
        """Return the answers to questions about one source; asked one by one where together they fail."""
        terms = ", ".join(COUNTED.format(condition=question.condition) for question in questions)
        try:
            counts = self.try_row(COUNT.format(terms=terms, source=source.sql))
        except TookTooLong:
            return dict.fromkeys(questions, Answer(rows=None))
        except DatabaseError as error:
            if self.faults.is_fault(error):
                raise
            return {question: self.answer(question) for question in questions}
        return {question: Answer(rows=int(count)) for question, count in zip(questions, counts, strict=True)}

    def answer(self, question: Question) -> Answer:
        """Return the answer to one question, in a query of its own."""
        try:
            return Answer(rows=int(self.try_row(self.count_sql(question))[0]))
        except TookTooLong:
            return Answer(rows=None)
        except DatabaseError as error:
            if self.faults.is_fault(error):
                raise
            return Answer(error=self.faults.words(error), blames_rows=self.is_answered_without_rows(question))

    def is_answered_without_rows(self, question: Question) -> bool:
        """Return whether the server answers a question if there are no rows."""
        none = evolve(question.source, sql=NO_ROWS.format(source=question.source.sql))
        try:
            return not self.why_not_answered(self.count_sql(evolve(question, source=none)))
        except TookTooLong:
            return False

    def why_not_computed(self, values: Sequence[str], source: Source) -> str:
        """Return the server's message where it cannot compute one of the values for a row; else "".

        Raises `TookTooLong`.
        """
        terms = ", ".join(f"count({value})" for value in values)
        return self.why_not_answered(COUNT.format(terms=terms, source=source.sql))

    def why_not_answered(self, sql: str) -> str:
        """Return the server's message where it does not answer a query; else "". Raises `TookTooLong`."""
        try:
            self.try_row(sql)
        except DatabaseError as error:
            if self.faults.is_fault(error):
                raise
            return self.faults.words(error)
        return ""

    def count_sql(self, question: Question) -> str:
        """Return the query that counts the rows or groups of a question."""
        return (COUNT_GROUPS if question.keys else COUNT_ALONE).format(
            source=question.source.sql, condition=question.condition, keys=", ".join(question.keys)
        )

    def sample(self, question: Question) -> Samples:
        """Return the first rows that a question counts.

        There are none where the table has no key, or one that looks secret, or the query takes too long.
        """
        if not question.source.key:
            return Samples()
        try:
            with self.session.inconsequential(), self.session.limited(self.limit), self.session.replacing():
                return samples(self.fetch(self.sample_sql(question)), len(question.source.key), question.shows)
        except TookTooLong:
            return Samples()

    def sample_sql(self, question: Question) -> str:
        source = question.source
        sql = SAMPLE_GROUPS if question.keys else SAMPLE
        terms = [*source.key, *(term for shown in question.shows for term in shown.terms)]
        inner = [f"{term} AS found_{number}" for number, term in enumerate(terms)]
        outer = [f"found_{number}" for number, _ in enumerate(terms)]
        key, shown = (outer[: len(source.key)], outer) if question.keys else (source.key, terms)
        return sql.format(
            key=", ".join(key),
            shown=", ".join(shown),
            inner=", ".join(inner),
            keys=", ".join(question.keys),
            source=source.sql,
            condition=question.condition,
            limit=self.connection.ops.limit_offset_sql(0, SAMPLE_SIZE),
        )

    def try_row(self, sql: str) -> tuple[Any, ...]:
        """Return the single row of a query that may fail or take too long, which then has no consequences."""
        (row,) = self.try_rows(sql)
        return row

    def try_rows(self, sql: str) -> list[tuple[Any, ...]]:
        """Return the rows of a query that may fail or take too long, which then has no consequences."""
        with self.session.inconsequential(), self.session.limited(self.limit):
            return list(self.fetch(sql))

    def row(self, sql: str) -> tuple[Any, ...]:
        """Return the single row of a query."""
        return next(self.fetch(sql))

    def fetch(self, sql: str) -> Iterator[tuple[Any, ...]]:
        with self.connection.cursor() as cursor:
            cursor.execute(sql)
            yield from map(tuple, cursor.fetchall())


class RenamedRows(Rows):
    """Asks the rows of tables that are read as if they had their new names already."""

    def __init__(self, session: RenamingSession) -> None:
        super().__init__(session)
        self.renaming_session = session

    def relation(self, table: str) -> str:
        return self.renamed(table)

    def renamed(self, table: str, period: str = "") -> str:
        """Return the relation of a table by its name to come; `period` is what stands behind the name it has now."""
        renaming = self.renaming_session.renaming
        old = renaming.old_table(table)
        columns = renaming.columns(old)
        if not columns:
            return f"{self.quote(old)}{period}"
        named = (f"{self.quote(name)} AS {self.quote(columns.get(name, name))}" for name in self.column_names(old))
        return f"(SELECT {', '.join(named)} FROM {self.quote(old)}{period})"

    @abstractmethod
    def column_names(self, table: str) -> Sequence[str]:
        """Return the names of the columns that a table has now."""


def samples(rows: Iterable[tuple[Any, ...]], width: int, shows: Sequence[Shown]) -> Samples:
    """Return rows as samples: each has the `width` columns of its key, and then the terms of what is shown."""
    read = [(row[:width], iter(row[width:])) for row in rows]
    values = tuple(tuple(shown.read(answers) for shown in shows) for _, answers in read) if shows else ()
    return Samples(keys=tuple(key for key, _ in read), columns=tuple(shown.name for shown in shows), values=values)


def batched(things: Iterable[T], size: int) -> Iterator[tuple[T, ...]]:
    """Yield the things in tuples of a size, the last of which may be shorter (itertools.batched of Python 3.12)."""
    rest = iter(things)
    while some := tuple(islice(rest, size)):
        yield some


def key_columns(table: Table) -> tuple[str, ...]:
    """Return the columns of the table's primary key; none where it has no key."""
    return table.primary_key.columns if table.primary_key else ()
