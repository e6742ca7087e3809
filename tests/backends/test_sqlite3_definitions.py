"""Nouns as SQLite's SQL: their own words while those hold, and others where they do not."""

from dataclasses import replace as evolve

import pytest

from automigrate_ext.backends.sqlite3 import definitions
from automigrate_ext.backends.sqlite3.parser import IndexReader, parse_column, parse_constraint, parse_table
from automigrate_ext.schema.nouns import (
    Check,
    Column,
    Exclusion,
    ForeignKey,
    Generated,
    Index,
    IndexKey,
    PrimaryKey,
    Unique,
)

CREATE = """CREATE TABLE t (
    "id" integer NOT NULL PRIMARY KEY AUTOINCREMENT,
    a  VARCHAR(5)  DEFAULT 'x' COLLATE nocase,
    b int CONSTRAINT pos CHECK (b>0) CONSTRAINT points REFERENCES "u" (id) ON UPDATE CASCADE,
    c text GENERATED ALWAYS AS (lower(a)) STORED,
    CONSTRAINT ab UNIQUE (a, b) ON CONFLICT IGNORE,
    UNIQUE (b, a COLLATE binary)
)"""
TABLE = parse_table(CREATE).table
NAMES = definitions.names_of(TABLE)


def column(**changes):
    return evolve(TABLE.column("a"), **changes)


def test_column_in_its_own_words():
    assert definitions.column(column(), TABLE) == "a  VARCHAR(5) DEFAULT 'x' COLLATE nocase"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"null": False}, """"a" varchar(5) DEFAULT 'x' COLLATE NOCASE NOT NULL"""),
        ({"type": "text", "default": None}, '"a" text COLLATE NOCASE NULL'),
        ({"default": "LOWER('X')"}, """"a" varchar(5) DEFAULT (LOWER('X')) COLLATE NOCASE NULL"""),
        ({"default": "-1", "collation": None}, '"a" varchar(5) DEFAULT -1 NULL'),
        ({"default": "CURRENT_TIMESTAMP"}, '"a" varchar(5) DEFAULT (CURRENT_TIMESTAMP) COLLATE NOCASE NULL'),
        ({"collation": "ODD ONE", "default": None}, '"a" varchar(5) COLLATE "ODD ONE" NULL'),
        ({"name": 'q"q', "type": "", "default": None, "collation": None}, '"q""q" NULL'),
        (
            {"generated": Generated(expression='"b" + 1', stored=False), "default": None, "collation": None},
            '"a" varchar(5) GENERATED ALWAYS AS ("b" + 1) VIRTUAL',
        ),
        (
            {"generated": Generated(expression="1", stored=True), "default": None, "null": False, "collation": None},
            '"a" varchar(5) GENERATED ALWAYS AS (1) STORED NOT NULL',
        ),
    ],
)
def test_column_in_other_words(changes, expected):
    changed = column(**changes)
    assert definitions.column(changed, TABLE) == expected
    assert parse_column(expected, NAMES) == changed


@pytest.mark.parametrize("sql", ["", "nonsense (", "a text extra stuff,"])
def test_column_without_words(sql):
    assert definitions.column(column(sql=sql), TABLE) == """"a" varchar(5) DEFAULT 'x' COLLATE NOCASE NULL"""


@pytest.mark.parametrize(
    ("default", "literal"),
    [
        ("1", True),
        ("-1.5", True),
        ("'x'", True),
        ("X'00'", True),
        ("TRUE", True),
        ("CURRENT_DATE", False),
        ("1 + 1", False),
    ],
)
def test_literals(default, literal):
    assert definitions.is_literal(default) is literal


def test_table_whose_parts_are_as_they_were():
    sql = definitions.create_table(TABLE, TABLE, "new", ("STRICT", "WITHOUT ROWID"))
    assert sql == (
        'CREATE TABLE "new" ("id" integer NOT NULL PRIMARY KEY AUTOINCREMENT, '
        "a  VARCHAR(5) DEFAULT 'x' COLLATE nocase, b int, c text GENERATED ALWAYS AS (lower(a)) STORED, "
        'CONSTRAINT "pos" CHECK (b>0), CONSTRAINT "points" FOREIGN KEY ("b") REFERENCES "u" (id) ON UPDATE CASCADE, '
        'CONSTRAINT "ab" UNIQUE ("a", "b") ON CONFLICT IGNORE, UNIQUE ("b", "a" COLLATE BINARY)) STRICT, WITHOUT ROWID'
    )
    assert parse_table(sql).table == evolve(TABLE, name="new")


def test_table_keys():
    named = evolve(TABLE, primary_key=PrimaryKey(columns=("a",), name="k"), constraints=())
    assert """nocase CONSTRAINT "k" PRIMARY KEY, b int""" in definitions.create_table(named, TABLE, "new", ())
    composite = evolve(TABLE, primary_key=PrimaryKey(columns=("b", "a")), constraints=())
    assert definitions.create_table(composite, TABLE, "new", ()).endswith('STORED, PRIMARY KEY ("b", "a"))')
    without = evolve(TABLE, primary_key=None, constraints=())
    assert "PRIMARY KEY" not in definitions.create_table(without, TABLE, "new", ())


CONSTRAINTS = [
    (Check(expression='"b" > 1'), 'CHECK ("b" > 1)'),
    (Check(expression='"b" > 1', name="n"), 'CONSTRAINT "n" CHECK ("b" > 1)'),
    (Unique(columns=("b", "a")), 'UNIQUE ("b", "a")'),
    (Unique(columns=("b",), name="n"), 'CONSTRAINT "n" UNIQUE ("b")'),
    (TABLE.constraints[3], 'UNIQUE ("b", "a" COLLATE BINARY)'),
    (
        ForeignKey(columns=("a",), to_table="x", to_columns=("y",)),
        'FOREIGN KEY ("a") REFERENCES "x" ("y")',
    ),
    (
        ForeignKey(
            columns=("a", "b"),
            to_table="x",
            to_columns=("y", "z"),
            on_delete="SET NULL",
            deferrable="deferred",
            name="n",
        ),
        'CONSTRAINT "n" FOREIGN KEY ("a", "b") REFERENCES "x" ("y", "z") ON DELETE SET NULL '
        "DEFERRABLE INITIALLY DEFERRED",
    ),
    (ForeignKey(columns=("a",), to_table="x", to_columns=()), 'FOREIGN KEY ("a") REFERENCES "x"'),
]


@pytest.mark.parametrize(("noun", "expected"), CONSTRAINTS)
@pytest.mark.parametrize("words", ["", "CHECK (b > 99)", "CREATE UNIQUE INDEX i ON t (a)", "nonsense"])
def test_constraint_in_other_words(noun, expected, words):
    sql = definitions.constraint(evolve(noun, sql=words), TABLE)
    assert sql == expected
    assert parse_constraint(sql, NAMES) == noun


def test_constraint_whose_name_is_given():
    live = parse_table("CREATE TABLE t (b int, CONSTRAINT old CHECK (b>0))").table
    new = Check(expression='"b" > 0', name="new", named=True, sql='CONSTRAINT "new" CHECK ("b" > 0)')
    assert definitions.constraint(new, live, live) == 'CONSTRAINT "new" CHECK ("b" > 0)'
    assert definitions.constraint(evolve(new, named=False), live, live) == 'CONSTRAINT "old" CHECK (b>0)'
    assert definitions.constraint(evolve(new, sql=live.constraints[0].sql), live) == 'CONSTRAINT "new" CHECK ("b" > 0)'


def test_constraint_behind_its_column():
    check, reference = TABLE.constraints[:2]
    assert definitions.behind_column(check, TABLE) == 'CONSTRAINT "pos" CHECK (b>0)'
    assert definitions.behind_column(reference, TABLE) == 'CONSTRAINT "points" REFERENCES "u" ("id")'


def test_constraint_that_sqlite_has_not():
    with pytest.raises(TypeError, match="SQLite has no exclusion"):
        definitions.constraint(Exclusion(definition="EXCLUDE"), TABLE)


@pytest.mark.parametrize(
    ("noun", "expected"),
    [
        (Index(keys=(IndexKey(column="a"),), name="i"), 'CREATE INDEX "i" ON "t" ("a")'),
        (
            Index(
                keys=(IndexKey(column="a", collation="BINARY", order="DESC"), IndexKey(expression='"b" + 1')),
                unique=True,
                condition='"b" > 1',
                name="i",
            ),
            'CREATE UNIQUE INDEX "i" ON "t" ("a" COLLATE BINARY DESC, ("b" + 1)) WHERE "b" > 1',
        ),
        (Unique(columns=("b", "a"), name="u"), 'CREATE UNIQUE INDEX "u" ON "t" ("b", "a")'),
    ],
)
@pytest.mark.parametrize(
    "words", ["", 'CREATE INDEX "i" ON "other" ("a")', "CREATE INDEX old ON t (a)", "CREATE nonsense"]
)
def test_index_in_other_words(noun, expected, words):
    sql = definitions.index(evolve(noun, sql=words), TABLE)
    assert sql == expected
    assert IndexReader(sql, NAMES).index().noun == noun


def test_index_in_its_own_words():
    sql = "create index I on T(A)"
    noun = IndexReader(sql, NAMES).index().noun
    assert definitions.index(noun, TABLE) == sql


def test_column_of_a_quoted_table():
    quoted = evolve(TABLE, name='"t"')
    assert definitions.index(Index(keys=(IndexKey(column="a"),), name="i"), quoted) == 'CREATE INDEX "i" ON "t" ("a")'
    assert definitions.column(Column(name="x", type="text", null=True), quoted) == '"x" text NULL'
