"""Which values survive a change of type on SQLite, and what becomes of each."""

import pytest

from automigrate_ext.backends.sqlite3.hazards import conversion, family, length_limit
from automigrate_ext.schema.nouns import Column, Table
from tests.backends.sqlite3_helper import Database


@pytest.fixture
def database(sqlite):
    return Database(sqlite)


def column(type_name, name="a"):
    return Column(name=name, type=type_name, null=True)


def count_lost(database, old, new):
    return database.backend.count_lost(Table(name="t", columns=(old,)), old, new)


def carry(database, old, new, value):
    """Whether the value survives, and what is stored of it."""
    database.execute(f"CREATE TABLE t (a {old})", f"INSERT INTO t VALUES ({value})", f"CREATE TABLE u (a {new})")
    declared = old.partition(" COLLATE ")[0]
    lost = count_lost(database, column(declared), column(new))
    needed = conversion(column(declared), column(new))
    expression = needed.value.format(c='"a"') if needed else '"a"'
    database.execute(f"INSERT INTO u SELECT {expression} FROM t")
    ((stored,),) = database.query("SELECT quote(CASE WHEN typeof(a) = 'text' THEN CAST(a AS BLOB) ELSE a END) FROM u")
    if stored.startswith("X") and not new.startswith("BLOB") and old != "custom":
        stored = "'{}'".format(bytes.fromhex(stored[2:-1]).decode(errors="replace"))
    return lost.rows == 0, repr(float(stored)) if "e+" in stored else stored


@pytest.mark.parametrize(
    ("old", "new", "value", "stored"),
    [
        ("varchar(9)", "integer", "'12'", "12"),
        ("varchar(9)", "integer", "'-9'", "-9"),
        ("text", "bigint", "'9223372036854775807'", "9223372036854775807"),
        ("real", "integer", "3.0", "3"),
        ("decimal", "integer", "3.0", "3"),
        ("bool", "integer", "1", "1"),
        ("integer", "bigint", "7", "7"),
        ("bigint", "smallint", "70000", "70000"),
        ("integer", "bool", "1", "1"),
        ("varchar(5)", "bool", "'0'", "0"),
        ("integer", "decimal", "7", "7"),
        ("text", "decimal", "'1.50'", "1.5"),
        ("text", "real", "'-1.50'", "-1.5"),
        ("integer", "real", "7", "7.0"),
        ("decimal", "real", "7.25", "7.25"),
        ("integer", "varchar(3)", "123", "'123'"),
        ("real", "text", "1.5", "'1.5'"),
        ("varchar(9)", "varchar(3)", "'abc'", "'abc'"),
        ("varchar(9)", "varchar(10)", "'abcdefghi'", "'abcdefghi'"),
        ("varchar(9)", "text", "'abc'", "'abc'"),
        ("text", "varchar(3)", "'äöü'", "'äöü'"),
        ("text", "varchar(3)", "'A' || char(0) || 'B'", "'A\x00B'"),
        ("text", "varchar(5)", "'ä\\' || char(0, 0) || '😀'", "'ä\\\x00\x00😀'"),
        ("text", "geometry", "'here'", "'here'"),
        ("text", "geometry", "'7' || char(0)", "'7\x00'"),
        ("text", "geometry", "'7'", "7"),
        ("BLOB", "geometry", "X'37'", "'7'"),
        ("text", "BLOB", "'A' || char(0) || 'B'", "X'410042'"),
        ("text", "char(32)", "'0F8FAD5B-D9CB-469F-A165-70867728950E'", "'0f8fad5bd9cb469fa16570867728950e'"),
        ("char(32)", "varchar(36)", "'0f8fad5bd9cb469fa16570867728950e'", "'0f8fad5bd9cb469fa16570867728950e'"),
        ("text", "date", "'2024-02-29'", "'2024-02-29'"),
        ("datetime", "date", "'2024-02-29 00:00:00'", "'2024-02-29'"),
        ("date", "datetime", "'2024-02-29'", "'2024-02-29 00:00:00'"),
        ("text", "datetime", "'2024-02-29T10:20:30.123456'", "'2024-02-29 10:20:30.123456'"),
        ("text", "time", "'10:20:30'", "'10:20:30'"),
        ("time", "text", "'10:20:30'", "'10:20:30'"),
        ("text", "BLOB", "'ab'", "X'6162'"),
        ("text", "custom", "'ab'", "'ab'"),
        ("custom", "vector(3)", "X'00'", "X'00'"),
        ("varchar(9)", "integer", "NULL", "NULL"),
        ("text", "date", "NULL", "NULL"),
        ("text", "varchar(3)", "NULL", "NULL"),
    ],
)
def test_value_survives(database, old, new, value, stored):
    assert carry(database, old, new, value) == (True, stored)


@pytest.mark.parametrize(
    ("old", "new", "value", "stored"),
    [
        ("varchar(9)", "integer", "'abc'", "NULL"),
        ("varchar(9)", "integer", "'12abc'", "NULL"),
        ("varchar(9)", "integer", "'007'", "NULL"),
        ("varchar(9)", "integer", "''", "NULL"),
        ("text", "real", "'1e3'", "1000.0"),
        ("text", "decimal", "'007'", "7"),
        ("real", "integer", "2.5", "3"),
        ("real", "integer", "1e300", "9223372036854775807"),
        ("date", "integer", "'2024-02-29'", "NULL"),
        ("integer", "bool", "5", "1"),
        ("text", "bool", "'yes'", "NULL"),
        ("text", "decimal", "'1,5'", "NULL"),
        ("text", "decimal", "'0x10'", "NULL"),
        ("text", "decimal", "'12345678901234567890'", "1.2345678901234567e+19"),
        ("bigint", "real", "9007199254740993", "9007199254740992.0"),
        ("text", "real", "'nan'", "NULL"),
        ("varchar(9)", "varchar(3)", "'abcd'", "'abc'"),
        ("text", "varchar(3)", "'äöüß'", "'äöü'"),
        ("text", "varchar(3)", "'A' || char(0) || 'äß'", "'A'"),
        ("text", "varchar(1)", "char(0) || 'B'", "''"),
        ("text", "integer", "'7' || char(0) || 'B'", "NULL"),
        ("text", "decimal", "'7' || char(0)", "NULL"),
        ("text", "real", "'1.5' || char(0) || '0'", "NULL"),
        ("text", "bool", "'1' || char(0)", "NULL"),
        ("text", "date", "'2024-02-29' || char(0) || 'B'", "NULL"),
        ("text", "datetime", "'2024-02-29' || char(0)", "NULL"),
        ("text", "datetime", "'2024-02-29 10:20:30' || char(0) || 'B'", "NULL"),
        ("text", "time", "'10:20:30' || char(0) || 'B'", "NULL"),
        ("text", "char(32)", "'0f8fad5bd9cb469fa16570867728950e' || char(0) || 'B'", "NULL"),
        ("text", "geometry", "'007'", "7"),
        ("text", "geometry", "'7 '", "7"),
        ("text COLLATE RTRIM", "geometry", "'7 '", "7"),
        ("text COLLATE RTRIM", "integer", "'7 '", "7"),
        ("text COLLATE NOCASE", "real", "'1.0E+20'", "1e+20"),
        ("integer", "varchar(3)", "1234", "'123'"),
        ("text", "char(32)", "'0f8fad5b'", "NULL"),
        ("datetime", "date", "'2024-02-29 10:00:00'", "'2024-02-29'"),
        ("text", "date", "'2024-02-30'", "NULL"),
        ("text", "date", "'today'", "NULL"),
        ("text", "date", "'now'", "NULL"),
        ("integer", "date", "2460000", "NULL"),
        ("integer", "datetime", "2460000", "NULL"),
        ("text", "datetime", "'2024-02-29 10:20:30+02:00'", "NULL"),
        ("text", "datetime", "'2024-02-29 25:00:00'", "NULL"),
        ("datetime", "time", "'2024-02-29 10:20:30'", "'10:20:30'"),
        ("time", "datetime", "'10:20:30'", "NULL"),
        ("date", "time", "'2024-02-29'", "NULL"),
        ("integer", "BLOB", "12", "X'3132'"),
        ("BLOB", "text", "X'ff'", "'\ufffd'"),
        ("BLOB", "varchar(9)", "X'6162'", "'ab'"),
    ],
)
def test_value_does_not_survive(database, old, new, value, stored):
    survives, found = carry(database, old, new, value)
    assert not survives
    assert found == stored


def test_rows_are_counted(database):
    database.execute("CREATE TABLE t (a text)", "INSERT INTO t VALUES ('1'), ('x'), (NULL), ('y')")
    assert count_lost(database, column("text"), column("integer")).rows == 2


def test_rows_that_would_be_left_with_nothing_where_null_is_forbidden(database):
    database.execute("CREATE TABLE t (a text)", "INSERT INTO t VALUES ('1'), ('x'), (NULL), ('y')")
    required = Column(name="a", type="integer", null=False)
    loss = count_lost(database, column("text"), required)
    assert loss.error == "the values of 2 of its rows are no integer, and it forbids NULL"
    shortened = Column(name="a", type="varchar(0)", null=False)
    assert not count_lost(database, column("text"), shortened).error


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("integer", "bigint"),
        ("bigint", "smallint unsigned"),
        ("varchar(9)", "varchar(9)"),
        ("varchar(9)", "text"),
        ("char(32)", "varchar(32)"),
        ("bool", "integer"),
        ("integer", "decimal"),
        ("datetime", "text"),
        ("decimal(5,2)", "numeric"),
        ("text", ""),
        ("integer", "geometry"),
        ("decimal", "point"),
    ],
)
def test_rows_are_not_asked_where_all_survive(database, django_assert_num_queries, old, new):
    with django_assert_num_queries(0, connection=database.connection):
        assert count_lost(database, column(old), column(new)).rows == 0


@pytest.mark.parametrize(
    ("type_name", "expected"),
    [
        ("integer unsigned", "integer"),
        ("point", "other"),
        ("", "other"),
        ("decimal(10,2)", "numeric"),
        ("double precision", "real"),
        ("char(15)", "text"),
        ("timestamp", "other"),
    ],
)
def test_family(type_name, expected):
    assert family(type_name) == expected


def test_length_limit():
    assert [length_limit(t) for t in ("varchar(30)", "varchar", "decimal(3,2)")] == [30, None, None]


# The generic questions


def test_orphans_duplicates_and_violators(database):
    database.execute(
        "PRAGMA foreign_keys = OFF",
        "CREATE TABLE p (id integer PRIMARY KEY)",
        "CREATE TABLE t (p_id bigint REFERENCES p (id), a text)",
        "INSERT INTO p VALUES (1)",
        "INSERT INTO t VALUES (1, 'a'), (2, 'A'), (NULL, 'b'), (3, NULL)",
        "CREATE INDEX i ON t (a COLLATE nocase) WHERE a > ''",
    )
    rows, table, target = database.backend.rows, *(database.read("t", "p").tables[name] for name in "tp")
    now = rows.now(table)

    def count(question):
        (answer,) = rows.answers([question]).values()
        return answer.rows

    assert count(rows.orphans(now, rows.now(target), table.foreign_keys[0])) == 2
    assert count(rows.duplicates(now, ["p_id"])) == 0
    assert count(rows.index_duplicates(now, table.indexes[0])) == 1
    assert count(rows.violators(now, "\"a\" = 'b'")) == 2
