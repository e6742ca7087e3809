"""SQLite's statements as nouns: by example, and compared with what SQLite says of random tables."""

import sqlite3
from contextlib import closing
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from automigrate_ext.backends.sqlite3.parser import (
    IndexReader,
    TableReader,
    affinity,
    canonical_default,
    parse_column,
    parse_constraint,
    parse_index,
    parse_pieces,
    parse_table,
    pieces_of,
)
from automigrate_ext.backends.sqlite3.tokens import (
    Names,
    UnreadableSQL,
    canonical,
    fold,
    quote_name,
    tokenize,
)
from automigrate_ext.schema.nouns import Check, ForeignKey, Generated, Index, IndexKey, Unique

NAMES = Names.of("t", [("a", None), ("B", "NOCASE"), ("group", None)])


def table(definitions, suffix=""):
    return parse_table(f"CREATE TABLE t ({definitions}){suffix}").table


def column(definition):
    return parse_column(definition, NAMES)


def expression(sql):
    return canonical(tokenize(sql), NAMES).text


# Tokens and expressions


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("a>0", '"a" > 0'),
        ("A > 0", "[a]  /* why */ > -- why not\n 0"),
        ("`b` = 'x'", "((\"B\" == 'x'))"),
        ("a <> 1", "a != 1"),
        ("LOWER(a)", '"lower" ( "A" )'),
        ("a is null", "a IS NULL"),
        ("cast(a as INTEGER)", 'CAST ("a" AS integer)'),
        ("t.a > 1", "a > 1"),
        ('"T"."a" > 1', "a > 1"),
        ("a COLLATE nocase", 'a COLLATE "NOCASE"'),
        ("x'AB'", "X'ab'"),
        ("1E3", "1e3"),
        ("a in (1,2)", "a IN ( 1 , 2 )"),
        ('B = "abc"', "B = 'abc'"),
        ("CASE WHEN a THEN b END", 'case when "a" then "b" end'),
    ],
)
def test_expression_written_in_another_way(one, other):
    assert expression(one) == expression(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("a > 0", "a > 1"),
        ("b = 'x'", "b = 'X'"),
        ('b = "abc"', 'b = "ABC"'),
        ("b = 'a  b'", "b = 'a b'"),
        ("(a + 1) * 2", "a + (1 * 2)"),
        ("(a) + (1)", "a + 1"),
        ("a", "'a'"),
        ("x.a", "a"),
    ],
)
def test_expression_that_means_something_else(one, other):
    assert expression(one) != expression(other)


def test_expression_columns():
    assert canonical(tokenize("""b > 'a' AND "A" < lower(b) OR "group" = "c" """), NAMES).columns == ("B", "a", "group")


def test_expression_keyword_is_no_column():
    assert canonical(tokenize("CASE WHEN a THEN 1 END"), Names.of("t", [("a", None), ("end", None)])).columns == ("a",)


def test_expression_is_sql_again():
    sql = """NOT (a + 1 > 2 AND b LIKE '%''x' ESCAPE '\\') OR "group" IN (1, -2, x'00') OR upper(t.b) = "z" """
    assert expression(expression(sql)) == expression(sql)


@pytest.mark.parametrize("sql", ["a ? b", "a = 'open", 'a = "open', "a @ b", "a ! b"])
def test_unknown_characters(sql):
    with pytest.raises(UnreadableSQL, match="unexpected character"):
        tokenize(sql)


def test_open_comment_ends_with_the_text():
    assert [token.text for token in tokenize("a /* b")] == ["a"]


# Columns


@pytest.mark.parametrize(
    ("declared", "type_name"),
    [
        ("varchar(30)", "varchar(30)"),
        ("VARCHAR ( 30 )", "varchar(30)"),
        ("decimal(10, 2)", "decimal(10,2)"),
        ("INTEGER  UNSIGNED", "integer unsigned"),
        ("double precision", "double precision"),
        ('"My Type"', "my type"),
        ("numeric(-3, +4)", "numeric(-3,+4)"),
        ("", ""),
    ],
)
def test_column_type(declared, type_name):
    assert column(f"a {declared}").type == type_name
    assert column(f"a {declared} NOT NULL").type == type_name
    assert column(f"a {declared} GENERATED ALWAYS AS (1)").type == type_name


@pytest.mark.parametrize(
    "word", ["a", "_", "Z9", "a$0_", "\x80", "é", "a\x80", "zß", "\uffff", "\U0010ffff", "a\U00010000"]
)
def test_word(word):
    assert [(token.kind, token.text) for token in tokenize(word)] == [("word", word)]


@pytest.mark.parametrize(
    "text", ["1a", "a-b", "a b", "a.b", "a;", "a(", "a=b", "a'b'", "a[b]", "a`b`", 'a"b"', "a/b", "a~"]
)
def test_word_ends(text):
    assert [token.text for token in tokenize(text) if token.kind == "word"] != [text]


@pytest.mark.parametrize("character", ["$", "@", "#", "^", "{", "}", "\x7f", "\x00", ":", "?", "!"])
def test_character_of_no_token(character):
    with pytest.raises(UnreadableSQL):
        tokenize(character)


@pytest.mark.parametrize("quoted", ['"my ""col"', '`my "col`', '[my "col]', "'my \"col'"])
def test_column_name(quoted):
    assert column(f"{quoted} text").name == 'my "col'


@pytest.mark.parametrize(
    ("default", "expected"),
    [
        ("1", "1"),
        ("-1", "-1"),
        ("+ 1", "1"),
        ("(1)", "1"),
        ("((-1))", "-1"),
        ("'it''s'", "'it''s'"),
        ('"x"', "'x'"),
        ("x", "'x'"),
        ("NULL", None),
        ("(null)", None),
        ("true", "TRUE"),
        ("current_timestamp", "CURRENT_TIMESTAMP"),
        ("x'0f'", "X'0F'"),
        ("(1+ 2)", "1 + 2"),
        ("(lower('A')||', , ')", "LOWER('A') || ', , '"),
        ("1.5e3", "1.5e3"),
    ],
)
def test_column_default(default, expected):
    found = column(f"a text DEFAULT {default} NOT NULL")
    assert (found.default, found.null) == (expected, False)
    assert found.default_sql == default


def test_column_attributes_in_any_order():
    one = column("a text NOT NULL DEFAULT 'x' COLLATE nocase")
    other = column("a text COLLATE NOCASE DEFAULT 'x' CONSTRAINT n NOT NULL ON CONFLICT ROLLBACK")
    assert one == other
    assert other.sql == "a text COLLATE NOCASE DEFAULT 'x' CONSTRAINT n NOT NULL ON CONFLICT ROLLBACK"


def test_column_collation_that_it_has_anyway():
    assert column("a text COLLATE binary").collation is None


@pytest.mark.parametrize(
    ("words", "stored"),
    [
        ("AS (a+1)", False),
        ("GENERATED ALWAYS AS (a + 1) VIRTUAL", False),
        ("GENERATED ALWAYS AS (a + 1) STORED NOT NULL", True),
    ],
)
def test_column_generated(words, stored):
    found = column(f"c integer {words}")
    assert found.generated == Generated(expression='"a" + 1', stored=stored)
    assert found.reads == ("a",)


def test_column_objects_are_no_part_of_its_definition():
    found = table("a int UNIQUE DEFAULT 1 CHECK (a > 0) REFERENCES x (y) ON DELETE CASCADE DEFERRABLE NOT NULL, b")
    assert found.columns[0].sql == "a int DEFAULT 1 NOT NULL"
    assert found.constraints == (
        Unique(columns=("a",)),
        Check(expression='"a" > 0'),
        ForeignKey(columns=("a",), to_table="x", to_columns=("y",), on_delete="CASCADE", deferrable="immediate"),
    )
    assert [c.sql for c in found.constraints] == [
        'UNIQUE ("a")',
        "CHECK (a > 0)",
        'FOREIGN KEY ("a") REFERENCES x (y) ON DELETE CASCADE DEFERRABLE',
    ]


def test_column_constraint_names():
    found = table("a int CONSTRAINT u UNIQUE CONSTRAINT c CHECK (a > 0) CONSTRAINT f REFERENCES x(y)")
    assert [c.name for c in found.constraints] == ["u", "c", "f"]
    assert found.constraints[1].sql == 'CONSTRAINT "c" CHECK (a > 0)'


# Primary keys


def test_primary_key_inline():
    found = table("id integer NOT NULL PRIMARY KEY AUTOINCREMENT, a text")
    assert found.primary_key.columns == ("id",)
    assert found.columns[0].identity == "autoincrement"


def test_primary_key_in_the_table_with_autoincrement():
    found = table("id integer, PRIMARY KEY (id AUTOINCREMENT)")
    assert found.primary_key.columns == ("id",)
    assert found.columns[0].identity == "autoincrement"


def test_primary_key_in_key_order():
    assert table("a int, b int, CONSTRAINT k PRIMARY KEY (B DESC, a COLLATE nocase)").primary_key.columns == ("b", "a")


@pytest.mark.parametrize(
    ("definitions", "suffix", "null"),
    [
        ("a integer PRIMARY KEY", "", False),
        ("a int PRIMARY KEY", "", True),
        ("a text PRIMARY KEY", "", True),
        ("a text PRIMARY KEY", " WITHOUT ROWID", False),
        ("a text PRIMARY KEY", " STRICT", False),
        ("a text NOT NULL PRIMARY KEY", "", False),
    ],
)
def test_primary_key_that_forbids_null(definitions, suffix, null):
    assert table(definitions, suffix).columns[0].null is null


# Tables


def test_table_options():
    assert parse_table("CREATE TABLE t (a text PRIMARY KEY) WITHOUT ROWID, STRICT;").options == (
        "WITHOUT ROWID",
        "STRICT",
    )


@pytest.mark.parametrize(
    "start", ["create temp table if not exists t", "CREATE TEMPORARY TABLE t", "CREATE TABLE main.[t]"]
)
def test_table_statement(start):
    assert parse_table(f"{start}(a)").table.name == "t"


def test_table_constraints_without_commas():
    found = table("a int, b int, CHECK (a > 0) CONSTRAINT u UNIQUE (a) FOREIGN KEY (b) REFERENCES t")
    assert [c.kind for c in found.constraints] == ["check", "unique", "foreign key"]


def test_table_columns_in_constraints_as_the_table_spells_them():
    found = table("Name text, UNIQUE (NAME), FOREIGN KEY (name) REFERENCES x (Y), CHECK (NAME <> '')")
    assert [c.columns for c in found.constraints] == [("Name",)] * 3


def test_table_without_types():
    assert [c.name for c in table("a, b PRIMARY KEY, c").columns] == ["a", "b", "c"]


def test_table_with_columns_named_like_keywords():
    assert [c.name for c in table('"check" int, key text, "unique", action, cast blob').columns] == [
        "check",
        "key",
        "unique",
        "action",
        "cast",
    ]


@pytest.mark.parametrize(
    "sql",
    [
        "CREATE TABLE t",
        "CREATE TABLE t (",
        "CREATE TABLE t ()",
        "CREATE TABLE t (a) b c",
        "CREATE TABLE t (a text UNIQUE b)",
        "CREATE TABLE t (a text CHECK a > 0)",
        "CREATE TABLE t (a DEFAULT (1)",
        "CREATE INDEX i ON t (a)",
    ],
)
def test_table_that_is_none(sql):
    with pytest.raises(UnreadableSQL):
        parse_table(sql)


def test_error_says_where_reading_stopped():
    with pytest.raises(UnreadableSQL, match="from 'banana\\)' on"):
        parse_table("CREATE TABLE t (a int UNIQUE banana)")


# Constraints


def test_unique_with_another_collation_is_another_thing():
    assert table("a text, UNIQUE (a COLLATE nocase)").constraints != (Unique(columns=("a",)),)
    assert table("a text COLLATE nocase, UNIQUE (a COLLATE nocase)").constraints == (Unique(columns=("a",)),)


def test_unique_keeps_what_to_do_on_conflict():
    assert table("a, UNIQUE (a) ON CONFLICT IGNORE").constraints[0].sql == 'UNIQUE ("a") ON CONFLICT IGNORE'


def test_check_keeps_no_name_of_its_table():
    found = table("a int, CHECK (t.a > 1.5)").constraints[0]
    assert found.sql == 'CHECK ("a" > 1.5)'


@pytest.mark.parametrize(
    ("words", "on_delete", "deferrable"),
    [
        ("", None, None),
        ("ON DELETE NO ACTION ON UPDATE CASCADE", None, None),
        ("ON UPDATE SET NULL ON DELETE SET DEFAULT", "SET DEFAULT", None),
        ("MATCH full ON DELETE restrict", "RESTRICT", None),
        ("DEFERRABLE INITIALLY DEFERRED", None, "deferred"),
        ("DEFERRABLE INITIALLY IMMEDIATE", None, "immediate"),
        ("DEFERRABLE", None, "immediate"),
        ("NOT DEFERRABLE INITIALLY DEFERRED", None, None),
        ("ON DELETE CASCADE NOT DEFERRABLE", "CASCADE", None),
    ],
)
def test_foreign_key(words, on_delete, deferrable):
    clause = f"CONSTRAINT f FOREIGN KEY (a, b) REFERENCES [x y] (c, d) {words}"
    found = parse_constraint(clause, NAMES)
    assert found == ForeignKey(
        columns=("a", "B"), to_table="x y", to_columns=("c", "d"), on_delete=on_delete, deferrable=deferrable
    )
    assert parse_constraint(found.sql, NAMES) == found
    inline = table(f"a int REFERENCES x (c) {words} NOT NULL").constraints[0]
    assert (inline.on_delete, inline.deferrable) == (on_delete, deferrable)


# Indexes


def index(sql):
    return parse_index(sql, NAMES).noun


def test_index():
    assert index("CREATE INDEX i ON t (a, b DESC)") == Index(
        keys=(IndexKey(column="a"), IndexKey(column="B", order="DESC"))
    )


def test_index_columns_are_those_of_keys_and_condition():
    assert index("CREATE INDEX i ON t (lower(b)) WHERE a > 1").columns == ("B", "a")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("(a)", "(a ASC)"),
        ("(a)", "([A] COLLATE binary)"),
        ("(b)", "(b COLLATE nocase)"),
        ("(a)", '("a")'),
        ("(a)", "('a')"),
        ("(a)", "((a))"),
        ("(lower(a) COLLATE nocase DESC)", "((LOWER(a)) COLLATE NOCASE DESC)"),
        ("(a) WHERE (b = 'x')", "(a) WHERE b='x'"),
    ],
)
def test_index_written_in_another_way(one, other):
    assert index(f"CREATE INDEX i ON t {one}") == index(f"CREATE INDEX IF NOT EXISTS main.j ON [t]{other};")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("(a)", "(a DESC)"),
        ("(a)", "(a COLLATE nocase)"),
        ("(b)", "(b COLLATE binary)"),
        ("(a)", "(+a)"),
        ("(a || b COLLATE nocase)", "((a || b) COLLATE nocase)"),
        ("(a)", "(a) WHERE a > 1"),
        ("(a, b)", "(b, a)"),
    ],
)
def test_index_that_is_another_one(one, other):
    assert index(f"CREATE INDEX i ON t {one}") != index(f"CREATE INDEX i ON t {other}")


def test_unique_index_over_plain_columns_is_a_unique_constraint():
    found = index("CREATE UNIQUE INDEX i ON t (b, a)")
    assert found == Unique(columns=("B", "a"))
    assert found.name == "i"


@pytest.mark.parametrize("rest", ["(a) WHERE a > 1", "(lower(b))", "(a DESC)", "(a COLLATE nocase)"])
def test_unique_index_over_more_than_columns(rest):
    found = index(f"CREATE UNIQUE INDEX i ON t {rest}")
    assert isinstance(found, Index)
    assert found.unique


def test_affinity():
    assert [affinity(t) for t in ("bigint", "varchar(3)", "blob", "", "double", "decimal", "CHARINT")] == [
        "INTEGER",
        "TEXT",
        "BLOB",
        "BLOB",
        "REAL",
        "NUMERIC",
        "INTEGER",
    ]


# Random tables, compared with what SQLite says of them

PLAIN = st.sampled_from(["a", "b", "Cc", "key", "action", "x_1", "ä"])
ODD = st.text(st.characters(codec="utf-8", exclude_characters="\x00[]", exclude_categories=("Cs", "Cc")), min_size=1)
TYPES = ["", "integer", "INT", "bigint", "varchar(20)", "decimal(10, 2)", "text", '"odd type"', "real", "blob"]
DEFAULTS = ["1", "-2.5", "'x, y'", "'it''s'", "(1 + 2)", "(lower('A, )'))", "CURRENT_DATE", "x'0F'", "NULL", "abc"]
COLLATIONS = ["BINARY", "nocase", '"RTRIM"']
ACTIONS = ["CASCADE", "SET NULL", "SET DEFAULT", "RESTRICT", "NO ACTION"]
CONFLICTS = ["", " ON CONFLICT REPLACE"]
SPACES = [" ", "\n\t", " /* , ( */ ", " -- ')\n"]


@cache
def is_plain(name):
    """Whether the name needs no quotes, or at least not as the name of a column."""
    with closing(sqlite3.connect(":memory:")) as database:
        try:
            database.execute(f"CREATE TABLE t (a_, {name} text, CHECK ({name} > 1), UNIQUE ({name}))")
        except sqlite3.Error:
            return False
    return True


@st.composite
def spelled(draw, name):
    """The name in one of the ways in which it can be quoted, and in any case where SQLite folds it."""
    if name.isascii() and name.isidentifier() and draw(st.booleans()):
        name = draw(st.sampled_from([name.lower(), name.upper(), name]))
        return name if is_plain(name) else quote_name(name)
    ways = [quote_name(name), "`{}`".format(name.replace("`", "``")), f"[{name}]"]
    return draw(st.sampled_from(ways))


@st.composite
def reference(draw):
    words = f"REFERENCES other ({draw(st.sampled_from(['id', '[x y]']))})"
    for event in draw(st.lists(st.sampled_from(["DELETE", "UPDATE"]), max_size=2, unique=True)):
        words += f" ON {event} {draw(st.sampled_from(ACTIONS))}"
    return words + draw(st.sampled_from(["", " DEFERRABLE INITIALLY DEFERRED", " NOT DEFERRABLE"]))


@st.composite
def column_definition(draw, name, names):
    parts = [draw(spelled(name)), draw(st.sampled_from(TYPES))]
    options = [
        st.sampled_from(["NOT NULL", "NULL", "CONSTRAINT nn NOT NULL" + CONFLICTS[1]]),
        st.sampled_from(DEFAULTS).map("DEFAULT {}".format),
        st.sampled_from(COLLATIONS).map("COLLATE {}".format),
        st.sampled_from(CONFLICTS).map("UNIQUE{}".format),
        st.sampled_from(names).flatmap(spelled).map("CHECK (({}) <> ', )')".format),
        reference(),
    ]
    chosen = draw(st.lists(st.integers(0, len(options) - 1), max_size=4, unique=True))
    parts.extend(draw(options[number]) for number in chosen)
    return draw(st.sampled_from(SPACES)).join(part for part in parts if part)


@st.composite
def generated_definition(draw, name, names):
    words = draw(st.sampled_from(["GENERATED ALWAYS AS", "AS"]))
    of = draw(spelled(draw(st.sampled_from(names))))
    kind = draw(st.sampled_from(["", " STORED", " VIRTUAL"]))
    return f"{draw(spelled(name))} text {words} (lower({of}) || ', ('){kind}"


@st.composite
def table_constraint(draw, names):
    some = draw(st.lists(st.sampled_from(names), min_size=1, max_size=3, unique=True))
    columns = ", ".join([draw(spelled(name)) for name in some])
    prefix = draw(st.sampled_from(["", "CONSTRAINT n ", 'CONSTRAINT "odd name" ']))
    kind = draw(st.sampled_from(["unique", "check", "reference"]))
    if kind == "unique":
        return f"{prefix}UNIQUE ({columns}){draw(st.sampled_from(CONFLICTS))}"
    if kind == "check":
        return f"{prefix}CHECK (coalesce({columns}, 1) IS NOT 'a '')')"
    return f"{prefix}FOREIGN KEY ({draw(spelled(some[0]))}) {draw(reference())}"


@st.composite
def create_table(draw):
    names = draw(st.lists(PLAIN | ODD, min_size=1, max_size=5, unique_by=lambda name: name.lower()))
    definitions = [draw(column_definition(name, names)) for name in names]
    if draw(st.booleans()):
        definitions.append(draw(generated_definition("generated", names)))
    key = draw(st.sampled_from(["none", "id", "auto", "table"]))
    if key == "id":
        definitions.insert(0, "id_ integer NOT NULL PRIMARY KEY")
    elif key == "auto":
        definitions.insert(0, "id_ INTEGER CONSTRAINT pk PRIMARY KEY ASC AUTOINCREMENT")
    elif key == "table":
        columns = draw(st.lists(st.sampled_from(names), min_size=1, max_size=3, unique=True))
        definitions.append(f"PRIMARY KEY ({', '.join([draw(spelled(name)) for name in columns])})")
    definitions.extend(draw(st.lists(table_constraint(names), max_size=3)))
    suffix = " WITHOUT ROWID" if key in ("id", "table") and draw(st.booleans()) else ""
    name = draw(st.sampled_from(["t", '"t"', "[t]", "main.`t`"]))
    return f"CREATE TABLE {name} ({', '.join(definitions)}){suffix}"


def assert_read_as_a_whole(sql):
    pieces = pieces_of(sql)
    assert pieces is not None
    whole, by_pieces = TableReader(sql).table(), parse_pieces(sql, pieces)
    assert repr(by_pieces.table) == repr(whole.table)
    assert by_pieces.options == whole.options
    assert vars(by_pieces.names) == vars(whole.names)


@pytest.mark.parametrize(
    "definitions",
    [
        '"a" text',
        '"a" decimal(10, 2) NOT NULL, "b, (" text DEFAULT \', )\'',
        '"id" integer NOT NULL PRIMARY KEY AUTOINCREMENT, "a" text COLLATE NOCASE UNIQUE, UNIQUE ("a", "id")',
        '"a" text, "b" text AS (lower("a") || \', \'), CONSTRAINT "c" CHECK ("a" IN (\'x\', \'y\')) CHECK ("b" <> 1)',
        '"a" text DEFAULT (1 + 2), PRIMARY KEY ("a")',
    ],
)
def test_pieces_are_read_as_the_whole(definitions):
    assert_read_as_a_whole(f'CREATE TABLE "t"" (" ({definitions})')
    assert_read_as_a_whole(f'CREATE TABLE "t" ({definitions}) STRICT, WITHOUT ROWID')


@pytest.mark.parametrize(
    "sql",
    [
        'CREATE TABLE "t" ("a" text, -- of "b", it is\n "c" text)',
        'CREATE TABLE "t" ("a" text /* , */, "c" text)',
        'CREATE TABLE "t" ("a" text, "c" text DEFAULT \'x)',
        'CREATE TEMPORARY TABLE "t" ("a" text)',
        "CREATE TABLE t (a text)",
        'CREATE TABLE "t" AS SELECT 1',
    ],
)
def test_statements_without_pieces(sql):
    assert pieces_of(sql) is None


def test_error_is_about_the_whole():
    sql = 'CREATE TABLE "t" ("a" text, CHECK)'
    with pytest.raises(UnreadableSQL) as caught:
        parse_table(sql)
    assert sql in str(caught.value)


@settings(max_examples=300, deadline=None)
@given(create_table())
def test_random_table_is_read_as_sqlite_reads_it(sql):
    with closing(sqlite3.connect(":memory:")) as database:
        database.execute("CREATE TABLE other (id integer PRIMARY KEY, [x y] text UNIQUE)")
        database.execute(sql)
        (stored,) = database.execute("SELECT sql FROM sqlite_master WHERE name = 't'").fetchone()
        parsed = parse_table(stored)
        assert parsed == parse_table(sql) or parsed.table.constraints == parse_table(sql).table.constraints
        if pieces_of(sql):
            assert_read_as_a_whole(sql)
        assert_columns(database, parsed.table, parsed.names)
        assert_uniques(database, parsed.table)
        assert_foreign_keys(database, parsed.table)
        remade = [parse_constraint(c.sql, parsed.names) for c in parsed.table.constraints]
        assert tuple(remade) == parsed.table.constraints


def assert_columns(database, table, names):
    rows = database.execute("PRAGMA table_xinfo(t)").fetchall()
    key = {position: name for _, name, *_, position, _ in rows if position}
    assert (table.primary_key.columns if table.primary_key else ()) == tuple(key[n] for n in sorted(key))
    for column, (_, name, type_name, not_null, default, key_position, hidden) in zip(table.columns, rows, strict=True):
        assert column.name == name
        assert column.type.replace(" ", "") == fold(type_name).replace(" ", "").replace('"', "")
        assert (column.null is False) == bool(not_null) or (key_position and column.type == "integer")
        assert column.default == (None if default is None else canonical_default(tokenize(default), names))
        assert (column.generated is not None) == (hidden in (2, 3))
        assert column.generated is None or column.generated.stored == (hidden == 3)


def assert_uniques(database, table):
    found = set()
    for _, name, _, origin, _ in database.execute("PRAGMA index_list(t)").fetchall():
        if origin == "u":
            rows = database.execute(f"PRAGMA index_xinfo({quote_name(name)})").fetchall()
            found.add(tuple(column for _, _, column, _, _, is_key in rows if is_key))
    said = {c.columns for c in table.constraints if isinstance(c, Unique)}
    # SQLite makes one index for what several constraints say, the primary key included.
    key = {table.primary_key.columns} if table.primary_key else set()
    assert found | key == said | key


def assert_foreign_keys(database, table):
    rows = database.execute("PRAGMA foreign_key_list(t)").fetchall()
    found = sorted((own, to, target, on_delete) for _, _, target, own, to, _, on_delete, _ in rows)
    said = sorted(
        (fk.columns[0], fk.to_columns[0], fk.to_table, fk.on_delete or "NO ACTION") for fk in table.foreign_keys
    )
    assert said == found


@st.composite
def create_index(draw):
    keys = []
    for name in draw(st.lists(st.sampled_from(["a", "B", "c d"]), min_size=1, max_size=3, unique=True)):
        key = draw(spelled(name))
        key = draw(st.sampled_from([key, f"({key})", f"lower({key})", f"{key} || ', '"]))
        collation = draw(st.sampled_from(["", " COLLATE nocase", " COLLATE binary"]))
        keys.append(key + collation + draw(st.sampled_from(["", " ASC", " DESC"])))
    unique = draw(st.sampled_from(["", "UNIQUE "]))
    where = draw(st.sampled_from(["", " WHERE a IS NOT NULL", " WHERE ((\"c d\") > 'a,b')"]))
    names = draw(st.sampled_from(["i ON t", '"i" ON "t"', '"i" ON t']))
    return f"CREATE {unique}INDEX {names} ({', '.join(keys)}){where}"


@settings(max_examples=300, deadline=None)
@given(create_index())
def test_random_index_is_read_as_sqlite_reads_it(sql):
    with closing(sqlite3.connect(":memory:")) as database:
        create = "CREATE TABLE t (a text, b text COLLATE nocase, [c d] text)"
        database.execute(create)
        database.execute(sql)
        names = parse_table(create).names
        noun = parse_index(sql, names).noun
        assert repr(parse_index(sql, names)) == repr(IndexReader(sql, names).index())
        if isinstance(noun, Unique):
            noun = Index(keys=tuple(IndexKey(column=column) for column in noun.columns), unique=True)
        ((_, _, unique, _, partial),) = database.execute("PRAGMA index_list(t)").fetchall()
        assert (noun.unique, noun.condition is not None) == (bool(unique), bool(partial))
        rows = [row for row in database.execute("PRAGMA index_xinfo(i)").fetchall() if row[5]]
        own = {"a": "BINARY", "b": "NOCASE", "c d": "BINARY"}
        for key, (_, _, column, desc, collation, _) in zip(noun.keys, rows, strict=True):
            assert (key.column, key.order == "DESC") == (column, bool(desc))
            if column or key.collation:
                assert (key.collation or own[column]) == collation.upper()
