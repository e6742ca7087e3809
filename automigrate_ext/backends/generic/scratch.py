"""Ask the database what it makes of the models: scratch tables, made by the schema editor and dropped again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from dataclasses import replace as evolve
from typing import Any

from automigrate_ext.backends.generic.models import copied
from automigrate_ext.blueprint import Blueprint, has_automatic_key, kept_name
from automigrate_ext.editor import SchemaEditor
from automigrate_ext.schema import Check, Column, Constraint, Generated, Index, Table, Unique


def nouns(table: Table) -> tuple[Constraint | Index, ...]:
    """The constraints and indexes of a table."""
    return (*table.constraints, *table.indexes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Declaration:
    """What the models say of one table that introspection does not show, by the names of the things."""

    blueprint: Blueprint
    generated: Mapping[str, Generated]
    checks: Mapping[str, str]
    named_checks: Mapping[str, str]
    conditions: Mapping[str, str]
    expressions: frozenset[str]

    def overlay(self, table: Table) -> Table:
        """A table with the texts of the declaration where it has the same thing, so that they are no difference."""
        return evolve(
            table,
            columns=tuple(map(self.column, table.columns)),
            constraints=tuple(map(self.constraint, table.constraints)),
            indexes=tuple(map(self.index, table.indexes)),
        )

    def column(self, column: Column) -> Column:
        if column.name not in self.generated:
            return column
        return evolve(column, generated=self.generated[column.name], default=None)

    def constraint(self, constraint: Constraint) -> Constraint:
        if not isinstance(constraint, Check):
            return constraint
        if constraint.name in self.named_checks:
            return evolve(constraint, expression=self.named_checks[constraint.name])
        if len(constraint.columns) == 1 and constraint.columns[0] in self.checks:
            return evolve(constraint, expression=self.checks[constraint.columns[0]])
        return constraint

    def index(self, index: Index) -> Index:
        return evolve(index, condition=self.conditions.get(index.name)) if index.name in self.conditions else index

    def hidden(self, table: Table) -> Iterator[str]:
        """What of the declaration introspection does not show, in words."""
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
        for name in sorted(self.expressions):
            yield f"the expressions of {name} of {table.name}"
        for name in sorted(self.blueprint.given_names - names - self.named_checks.keys()):
            yield f"whether {name} of {table.name} is there"


def declaration(editor: SchemaEditor, blueprint: Blueprint) -> Declaration:
    """The texts of a model's table, as the schema editor writes them."""
    model: Any = blueprint.model
    given = [*model._meta.indexes, *model._meta.constraints]
    statements = [(kept_name(blueprint.connection, thing.name), thing.create_sql(model, editor)) for thing in given]
    parts = {name: getattr(statement, "parts", {}) for name, statement in statements if statement}
    conditions = {name: str(found.get("condition") or "").removeprefix(" WHERE ") for name, found in parts.items()}
    return Declaration(
        blueprint=blueprint,
        generated=dict(generated_columns(blueprint)),
        checks={column.name: column.check for column in blueprint.columns if column.check},
        named_checks={name: str(found["check"]) for name, found in parts.items() if "check" in found},
        conditions={name: text for name, text in conditions.items() if text},
        expressions=frozenset(
            kept_name(blueprint.connection, thing.name) for thing in given if getattr(thing, "expressions", ())
        ),
    )


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


def probes(editor: SchemaEditor, blueprints: Sequence[Blueprint], prefix: str) -> Iterator[Probe]:
    """The scratch tables of blueprints. Names of indexes and constraints may have to differ in a whole database."""
    for number, blueprint in enumerate(blueprints):
        opts: Any = blueprint.model._meta
        table = f"{prefix}{number}"
        names = {thing.name: f"{table}_{n}" for n, thing in enumerate((*opts.indexes, *opts.constraints))}
        # Some servers index what has a foreign key by themselves, and editors leave these indexes out.
        indexed = [
            f.name for f in opts.local_fields if f.column and editor._field_should_be_indexed(blueprint.model, f)
        ]
        model = copied(blueprint.model, table, given_names=names, indexed_references=indexed)
        yield Probe(blueprint=blueprint, name=table, names={new: old for old, new in names.items()}, model=model)


def decorate(
    probe: Probe, answer: Table, declaration: Declaration, editor: SchemaEditor, *, shows_on_delete: bool
) -> Table:
    """The database's table with what the models say of it."""
    blueprint = probe.blueprint
    defaults = {column.name: column.default_sql for column in blueprint.columns}
    keys = (
        evolve(key, deferrable=None, on_delete=key.on_delete if shows_on_delete else None)
        for key in blueprint.foreign_keys
    )
    real = {new.lower(): old for new, old in probe.names.items()}

    def named(noun: Any) -> Any:
        old = real.get(noun.name.lower())
        name = kept_name(blueprint.connection, old) if old else ""
        if not old and isinstance(noun, Index) and not noun.unique:
            name = editor._create_index_name(blueprint.name, list(noun.columns))
        if not old and isinstance(noun, Unique):
            # Servers make such names of the table's; only which of two equal constraints is meant depends on it.
            name = noun.name.replace(probe.name, blueprint.name)
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
    return declaration.overlay(table)
