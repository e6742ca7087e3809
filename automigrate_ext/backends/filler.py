"""Rows that have no value in a column, and the statements that give each of them a value of its own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace as evolve
from typing import Any

from automigrate_ext.backends.rows import Rows
from automigrate_ext.backends.session import RunSession
from automigrate_ext.backends.work import RowFill, Step
from automigrate_ext.declared.editor import collecting_editor
from automigrate_ext.plan.progress import Meter, RunProgress

#: How many rows one statement gives a value of its own.
ROWS_A_STATEMENT = 500
#: Up to how many rows a plan that is only shown holds the values that rows would get, one each.
ROWS_WRITTEN_OUT = 10_000
COUNT_TO_FILL = "SELECT count(*) FROM {table} AS asked WHERE {condition}"
KEYS_TO_FILL = "SELECT {key} FROM {table} AS asked WHERE {condition} ORDER BY {key} {limit}"
KEPT = ", {column} = {column}"
UPDATE_ROW = "UPDATE {table} SET {column} = {value}{kept} WHERE {key}"


class Filler:
    """Gives rows of one database values of their own."""

    def __init__(self, session: RunSession, rows: Rows) -> None:
        self.connection = session.connection
        self.session = session
        self.rows = rows

    def fill_rows(self, fill: RowFill, begun: RunProgress, meter: Meter) -> None:
        """Give each row a value of its own, and report after each batch how many have one."""
        rows = self.count_to_fill(fill) if meter.watch else 0
        done = 0
        for batch in self.batches_to_fill(fill):
            meter.report(evolve(begun, rows=max(rows, done), rows_done=done))
            for sql in self.update_rows(fill, batch):
                self.session.execute(sql)
            done += len(batch)

    def count_to_fill(self, fill: RowFill) -> int:
        """Count the rows that have no value in a column that is to be filled."""
        condition = self.unfilled(fill) or "1 = 1"
        return int(self.rows.ask(COUNT_TO_FILL, table=self.rows.relation(fill.table), condition=condition))

    def written_out(self, steps: Sequence[Step]) -> Iterator[str]:
        """Yield the statements of the steps, with the values of rows that get one each, if they are not too many."""
        for step in steps:
            if (
                step.fill is None
                or step.fill.value
                or step.fill.late
                or self.rows.count_rows(step.fill.table) > ROWS_WRITTEN_OUT
            ):
                yield step.sql
            else:
                yield from self.fill_statements(step.fill)

    def fill_statements(self, fill: RowFill) -> Iterator[str]:
        """Yield the statements that give each row a value of its own, each for a batch of rows, as they are read."""
        for batch in self.batches_to_fill(fill):
            yield from self.update_rows(fill, batch)

    def batches_to_fill(self, fill: RowFill) -> Iterator[list[tuple[tuple[str, ...], str]]]:
        """Yield the keys of rows with the values that they get, a batch at a time, as they are read."""
        editor = collecting_editor(self.connection)
        keys = self.keys_to_fill(fill, None)
        while keys:
            literals = [tuple(map(editor.quote_value, key)) for key in keys]
            yield [(literal, fill.draw()) for literal in literals]
            keys = self.keys_to_fill(fill, literals[-1])

    def unfilled(self, fill: RowFill) -> str:
        """Return the condition that a row has no value, or "" where none has."""
        return "" if fill.everywhere else f"{self.rows.quote(fill.column)} IS NULL"

    def keys_to_fill(
        self, fill: RowFill, last: tuple[str, ...] | None, limit: int = ROWS_A_STATEMENT
    ) -> list[tuple[Any, ...]]:
        """Return the keys of the next rows without a value, after the last ones, so many at most."""
        names = list(map(self.rows.quote, fill.key))
        key = ", ".join(names)
        terms = [self.unfilled(fill), self.beyond(names, last) if last else ""]
        sql = KEYS_TO_FILL.format(
            key=key,
            table=self.rows.relation(fill.table),
            condition=" AND ".join(filter(None, terms)) or "1 = 1",
            limit=self.connection.ops.limit_offset_sql(0, limit),
        )
        with self.connection.cursor() as cursor:
            cursor.execute(sql)
            return list(map(tuple, cursor.fetchall()))

    def beyond(self, key: Sequence[str], last: Sequence[str]) -> str:
        """Return the condition that a key comes after another one."""
        return f"({', '.join(key)}) > ({', '.join(last)})"

    def update_rows(self, fill: RowFill, values: Sequence[tuple[tuple[str, ...], str]]) -> Iterator[str]:
        """Yield the statements that give the rows of these keys these values."""
        quote = self.rows.quote
        for key, value in values:
            pairs = zip(fill.key, key, strict=True)
            yield UPDATE_ROW.format(
                table=quote(fill.table),
                column=quote(fill.column),
                value=value,
                kept=self.kept(fill),
                key=" AND ".join(f"{quote(name)} = {text}" for name, text in pairs),
            )

    def row_statement(self, fill: RowFill, anything: str) -> str:
        """Return the form of the statements that give rows values, with `anything` in place of keys and values."""
        quote = self.rows.quote
        table, column = quote(fill.table), quote(fill.column)
        return UPDATE_ROW.format(table=table, column=column, value=anything, kept=self.kept(fill), key=anything)

    def kept(self, fill: RowFill) -> str:
        """Return the assignments by which columns keep the values that the server would replace."""
        return "".join(KEPT.format(column=self.rows.quote(name)) for name in fill.kept)
