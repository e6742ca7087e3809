"""Scratch tables of the models, made by the schema editor and dropped again, for what the database makes of them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from dataclasses import replace as evolve
from typing import Any

from django.db import models
from django.db.models import Model, OrderBy
from django.db.models.expressions import Col
from django.db.models.fields import AutoFieldMixin
from django.db.models.sql import Query

from automigrate_ext.backends.generic.introspection import Spelling, folded
from automigrate_ext.backends.generic.models import copied, model_named
from automigrate_ext.declared.blueprint import Blueprint, kept_name
from automigrate_ext.declared.editor import SchemaEditor
from automigrate_ext.declared.unwritten import has_automatic_key
from automigrate_ext.schema.nouns import Check, Column, Constraint, Generated, Index, IndexKey, Table, Unique

#: The endings of the names of indexes and constraints that Django generates.
SUFFIXES = ("", "_like", "_uniq", "_check")


def nouns(table: Table) -> tuple[Constraint | Index, ...]:
    """Return the constraints and indexes of a table."""
    return (*table.constraints, *table.indexes)


def has_expressions(index: Index) -> bool:
    """Return whether one of the keys of an index is no column."""
    return any(key.column is None for key in index.keys)


@dataclass(frozen=True, slots=True, kw_only=True)
class Expressions:
    """The expressions of an index or constraint as SQL, and all columns in them."""

    texts: tuple[str, ...]
    columns: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Declaration:
    """The properties of one model's table that introspection does not show, by the names of columns and objects."""

    blueprint: Blueprint
    generated: Mapping[str, Generated]
    checks: Mapping[str, str]
    named_checks: Mapping[str, str]
    conditions: Mapping[str, str]
    expressions: Mapping[str, Expressions]
    nulls_not_distinct: frozenset[str]

    @property
    def names(self) -> Mapping[str, str]:
        """The names that the model gives, by the names in introspection."""
        opts: Any = self.blueprint.model._meta
        given = [thing.name for thing in indexes_and_constraints(opts)]
        kept = {name: kept_name(self.blueprint.connection, name) for name in given}
        same = [*kept.values(), *(column.name for column in self.blueprint.columns)]
        return kept | {name: name for name in same}

    def overlay(self, table: Table, habits: Habits) -> Table:
        """Return a table with the texts of the declaration where both have the same object, so that they are equal."""
        columns = map(self.column, table.columns)
        return evolve(
            table,
            columns=tuple(map(self.numbered, columns) if habits.numbers_all_keys else columns),
            constraints=tuple(map(self.constraint, table.constraints)),
            indexes=tuple(map(self.index, table.indexes)),
        )

    def column(self, column: Column) -> Column:
        if column.name not in self.generated:
            return column
        return evolve(column, generated=self.generated[column.name], default=None)

    def numbered(self, column: Column) -> Column:
        """Return a column, numbered by the database if the model wants that."""
        is_numbered = any(c.name == column.name and isinstance(c.field, AutoFieldMixin) for c in self.blueprint.columns)
        return evolve(column, identity="automatic" if is_numbered else None)

    def constraint(self, constraint: Constraint) -> Constraint:
        if isinstance(constraint, Unique):
            return evolve(constraint, nulls_distinct=constraint.name not in self.nulls_not_distinct)
        if not isinstance(constraint, Check):
            return constraint
        if constraint.name in self.named_checks:
            return evolve(constraint, expression=self.named_checks[constraint.name])
        if len(constraint.columns) == 1 and constraint.columns[0] in self.checks:
            return evolve(constraint, expression=self.checks[constraint.columns[0]])
        return constraint

    def index(self, index: Index) -> Index:
        nulls_distinct = index.name not in self.nulls_not_distinct
        index = evolve(index, condition=self.conditions.get(index.name), nulls_distinct=nulls_distinct)
        expressions = self.expressions.get(index.name)
        if expressions is None or not has_expressions(index):
            return index
        shown = index.keys if len(index.keys) == len(expressions.texts) else (IndexKey(),) * len(expressions.texts)
        keys = (
            key if key.column else IndexKey(expression=text, order=key.order)
            for text, key in zip(expressions.texts, shown, strict=True)
        )
        return evolve(index, keys=tuple(keys), columns=expressions.columns)

    def hidden(self, table: Table) -> Iterator[str]:
        """Yield descriptions of the parts of the declaration that introspection does not show."""
        names = {noun.name for noun in nouns(table)}
        shown_checks = [noun for noun in table.constraints if isinstance(noun, Check)]
        for name in self.generated:
            yield f"whether column {table.name}.{name} is generated, and how"
        for column, _ in self.checks.items():
            there = any(check.columns == (column,) for check in shown_checks)
            yield f"the {'text of the' if there else ''} check of column {table.name}.{column}".replace("the  ", "the ")
        for name in self.named_checks:
            yield f"{'the text of ' if name in names else ''}check {name} of {table.name}"
        for name in self.conditions:
            yield f"the condition of {name} of {table.name}"
        for index in table.indexes:
            if index.name in self.expressions and has_expressions(index):
                yield f"the expressions of {index.name} of {table.name}"
        for name in sorted(self.nulls_not_distinct):
            yield f"whether NULLs are distinct in {name} of {table.name}"
        for name in sorted(self.blueprint.given_names - names - self.named_checks.keys()):
            yield f"whether {name} of {table.name} is there"


def indexes_and_constraints(opts: Any) -> tuple[Any, ...]:
    """Yield the indexes and constraints of Meta."""
    return (*opts.indexes, *opts.constraints)


def declaration(editor: SchemaEditor, blueprint: Blueprint) -> Declaration:
    """Return the texts of a model's table, as the schema editor writes them."""
    model: Any = blueprint.model
    given = {kept_name(blueprint.connection, thing.name): thing for thing in indexes_and_constraints(model._meta)}
    statements = {name: thing.create_sql(model, editor) for name, thing in given.items()}
    parts = {name: getattr(statement, "parts", {}) for name, statement in statements.items() if statement}
    conditions = {name: str(found.get("condition") or "").removeprefix(" WHERE ") for name, found in parts.items()}
    return Declaration(
        blueprint=blueprint,
        generated=dict(generated_columns(blueprint)),
        checks={column.name: column.check for column in blueprint.columns if column.check},
        named_checks={name: str(found["check"]) for name, found in parts.items() if "check" in found},
        conditions={name: text for name, text in conditions.items() if text},
        expressions={
            name: expressions_of(editor, model, given[name].expressions)
            for name in parts
            if getattr(given[name], "expressions", ())
        },
        nulls_not_distinct=frozenset(name for name in parts if getattr(given[name], "nulls_distinct", None) is False),
    )


def expressions_of(editor: SchemaEditor, model: type[Model], expressions: Sequence[Any]) -> Expressions:
    """Return the expressions of an object of Meta without their order, as the connection's compiler writes them."""
    query: Any = Query(model, alias_cols=False)
    compiler = query.get_compiler(connection=editor.connection)
    texts, columns = [], []
    for expression in expressions:
        bare = expression.expression if isinstance(expression, OrderBy) else expression
        resolved = bare.resolve_expression(query)
        sql, params = compiler.compile(resolved)
        texts.append(sql % tuple(map(editor.quote_value, params)) if params else sql)
        parts = resolved.flatten()
        columns += [part.target.column for part in parts if isinstance(part, Col)]
    return Expressions(texts=tuple(texts), columns=tuple(dict.fromkeys(filter(None, columns))))


def generated_columns(blueprint: Blueprint) -> Iterator[tuple[str, Generated]]:
    for column in blueprint.columns:
        if column.generated:
            field: Any = column.field
            sql, params = field.generated_sql(blueprint.connection)
            text = sql % tuple(map(repr, params)) if params else sql
            yield column.name, Generated(expression=text, stored=bool(field.db_persist))


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """One scratch table: the blueprint that it is made of, its name, and the real names of its named objects."""

    blueprint: Blueprint
    name: str
    names: Mapping[str, str]
    model: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Habits:
    """Habits of introspection, as seen on a table that the package made.

    With `numbers_all_keys` every primary key is shown as one that the database numbers. `nameless` are the names of
    objects that were given none, with "#" for numbers.
    """

    numbers_all_keys: bool = False
    nameless: frozenset[str] = frozenset()

    def is_nameless(self, name: str) -> bool:
        """Return whether a name is one that the server gives to objects without a name."""
        return masked(name) in self.nameless


def typical_model(table: str) -> type[Model]:
    """Return a model with objects that have no names of their own, and a key that is not numbered."""
    fields = {
        "id": models.IntegerField(primary_key=True),
        "only": models.IntegerField(unique=True),
        "counted": models.PositiveIntegerField(),
    }
    return model_named(table, fields)


def habits(typical: Table) -> Habits:
    """Return the habits that the table of a `typical_model` shows; `nameless` are not made of its or columns' names."""
    names = [noun.name for noun in typical.constraints if noun.name and typical.name not in noun.name]
    own = {column.name for column in typical.columns}
    return Habits(
        numbers_all_keys=any(column.identity for column in typical.columns),
        nameless=frozenset(masked(name) for name in names if name not in own),
    )


def masked(name: str) -> str:
    """Return a name with "#" for each number in it."""
    return re.sub(r"\d+", "#", name)


def probes(editor: SchemaEditor, blueprints: Sequence[Blueprint], prefix: str) -> Iterator[Probe]:
    """Yield the scratch tables of blueprints, with names of indexes and constraints unique in the whole database."""
    for number, blueprint in enumerate(blueprints):
        opts: Any = blueprint.model._meta
        table = f"{prefix}{number}"
        names = {thing.name: f"{table}_{n}" for n, thing in enumerate(indexes_and_constraints(opts))}
        # Some servers index foreign keys by themselves, and editors leave these indexes out.
        indexed = [
            f.name for f in opts.local_fields if f.column and editor._field_should_be_indexed(blueprint.model, f)
        ]
        model = copied(blueprint.model, table, given_names=names, indexed_references=indexed)
        yield Probe(blueprint=blueprint, name=table, names={new: old for old, new in names.items()}, model=model)


def decorate(
    probe: Probe,
    answer: Table,
    declaration: Declaration,
    editor: SchemaEditor,
    habits: Habits,
    *,
    shows_on_delete: bool,
) -> Table:
    """Return the table of the database completed from its model."""
    blueprint = probe.blueprint
    defaults = {column.name: column.default_sql for column in blueprint.columns}
    keys = (
        evolve(key, deferrable=None, on_delete=key.on_delete if shows_on_delete else None)
        for key in blueprint.foreign_keys
    )
    real = Spelling(blueprint.connection, probe.names)

    def named(noun: Any) -> Any:
        old = real.given(noun.name)
        name = kept_name(blueprint.connection, old) if old else generated_name(editor, probe, noun)
        return evolve(noun, name=name, named=bool(old), **({"definition": name} if noun.kind == "exclusion" else {}))

    table = evolve(
        answer,
        name=blueprint.name,
        columns=tuple(evolve(column, default_sql=defaults[column.name]) for column in answer.columns),
        constraints=(*map(named, answer.constraints), *keys),
        indexes=tuple(map(named, answer.indexes)),
        owner=blueprint.owner,
        automatic=bool(blueprint.model._meta.auto_created),
        automatic_key=has_automatic_key(blueprint.model),
    )
    return declaration.overlay(table, habits)


def generated_name(editor: SchemaEditor, probe: Probe, noun: Any) -> str:
    """Return the name that an object without a given one gets in the table that the probe stands for.

    It decides only whether another object has the name already, and which of two equal objects is meant.
    """
    names = [column for column in noun.columns if column]
    for suffix in SUFFIXES if names else ():
        generated = editor._create_index_name(probe.name, names, suffix)
        if folded(editor.connection, generated) == folded(editor.connection, noun.name):
            return str(editor._create_index_name(probe.blueprint.name, names, suffix))
    # The server's own names begin with the table's.
    return str(noun.name.replace(probe.name, probe.blueprint.name))
