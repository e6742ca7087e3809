"""Texts of SHOW CREATE TABLE, as MariaDB 10.11 and MySQL 8 print them."""

import pytest

from automigrate_ext.backends.mysql.parser import (
    Unreadable,
    parse_table,
    pieces_by_lines,
    pieces_by_tokens,
    rename_in,
    unquote_text,
)
from automigrate_ext.schema.nouns import Check, ForeignKey, Generated, IndexKey, Unique


def table(*items, options="ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_general_ci"):
    body = ",\n  ".join(items)
    return parse_table(f"CREATE TABLE `t` (\n  {body}\n) {options}")


def column(definition):
    return table(f"`c` {definition}").table.columns[0]


@pytest.mark.parametrize(
    ("printed", "kind"),
    [
        ("int(11)", "int"),
        ("int(10) unsigned", "int unsigned"),
        ("int unsigned", "int unsigned"),
        ("bigint(20)", "bigint"),
        ("tinyint(1)", "tinyint(1)"),
        ("tinyint(4)", "tinyint"),
        ("int(5) unsigned zerofill", "int(5) unsigned zerofill"),
        ("decimal(8,3)", "decimal(8,3)"),
        ("datetime(6)", "datetime(6)"),
        ("enum('a','b,)')", "enum('a','b,)')"),
        ("double", "double"),
        ("uuid", "uuid"),
    ],
)
def test_types(printed, kind):
    assert column(f"{printed} NOT NULL").type == kind


@pytest.mark.parametrize(
    ("printed", "default"),
    [
        ("int(11) DEFAULT NULL", None),
        ("int(11) NOT NULL DEFAULT -3", "-3"),
        ("varchar(20) DEFAULT 'a''b\\nc, )' COMMENT 'x'", "'a''b\\nc, )'"),
        ("decimal(8,3) DEFAULT (1 + 2)", "(1 + 2)"),
        ("varchar(9) DEFAULT lcase('ABC')", "lcase('ABC')"),
        ("varchar(9) DEFAULT (lower(_utf8mb4'ABC'))", "(lower(_utf8mb4'ABC'))"),
        ("datetime(6) DEFAULT current_timestamp(6) ON UPDATE current_timestamp(6)",
         "current_timestamp(6) ON UPDATE current_timestamp(6)"),
        ("longblob NOT NULL DEFAULT X'006127'", "X'006127'"),
        ("int DEFAULT '3' /*!80023 INVISIBLE */", "'3'"),
    ],
)  # fmt: skip
def test_defaults(printed, default):
    assert column(printed).default == default


def test_whole_column():
    found = column(
        "varchar(20) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL DEFAULT 'x' COMMENT 'it''s \\\\ `so`' CHECK "
        "(`c` <> 'a)')"
    )
    assert (found.collation, found.null, found.comment) == ("utf8mb4_bin", False, "it's \\ `so`")


def test_attributes_that_are_nobodys_are_kept_for_later():
    assert column("int(11) INVISIBLE DEFAULT 3").extra == "INVISIBLE"
    assert column("text /*M!100301 COMPRESSED*/ NOT NULL DEFAULT 'x'").extra == "/*M!100301 COMPRESSED*/"
    assert column("int DEFAULT 3 /*!80023 INVISIBLE */ COMMENT 'x'").extra == "/*!80023 INVISIBLE */"
    assert column("varchar(9) WITHOUT SYSTEM VERSIONING DEFAULT NULL").extra == "WITHOUT SYSTEM VERSIONING"


def test_generated_column():
    found = column("int(11) GENERATED ALWAYS AS (`a` * length(')')) STORED COMMENT 'x'")
    assert found.generated == Generated(expression="`a` * length(')')", stored=True)
    assert (found.reads, found.comment) == (("a",), "x")
    assert column("int GENERATED ALWAYS AS ((`a` + 1)) VIRTUAL").generated.stored is False


def test_json_of_mariadb():
    stored = "`c` longtext CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL"
    found = table(f"{stored} CHECK (json_valid(`c`))").table
    assert (found.columns[0].type, found.columns[0].collation, found.constraints) == ("json", None, ())
    other = table(f"{stored} CHECK (json_valid(`c`) or 1 = 1)").table
    assert other.columns[0].type == "longtext"
    assert len(other.constraints) == 1


def test_checks_have_names_or_belong_to_their_column():
    found = table("`n` int(11) DEFAULT NULL CHECK (`n` >= 0)", "CONSTRAINT `c` CHECK (`n` < 100)").table
    assert [(check.name, check.expression) for check in found.constraints] == [("", "`n` >= 0"), ("c", "`n` < 100")]
    assert all(isinstance(check, Check) and check.columns == ("n",) for check in found.constraints)


def test_keys():
    found = table(
        "`a` int(11) NOT NULL",
        "`b` varchar(20) DEFAULT NULL",
        "PRIMARY KEY (`a`,`b`)",
        "UNIQUE KEY `u` (`b`,`a`)",
        "UNIQUE KEY `p` (`b`(5))",
        "KEY `d` (`b`(7) DESC,`a`) USING HASH COMMENT 'x, y'",
        "KEY `f` ((lower(`b`)))",
        "FULLTEXT KEY `t` (`b`)",
    ).table
    assert found.primary_key.columns == ("a", "b")
    assert found.constraints == (Unique(columns=("b", "a")),)
    prefix, descending, expression, text = found.indexes
    assert prefix.unique and prefix.keys == (IndexKey(column="b", opclass="(5)"),)
    assert descending.keys == (IndexKey(column="b", opclass="(7)", order="DESC"), IndexKey(column="a"))
    assert (descending.method, descending.options) == ("hash", ("COMMENT 'x, y'",))
    assert (expression.keys, expression.columns) == ((IndexKey(expression="lower(`b`)"),), ("b",))
    assert text.method == "fulltext"


def test_foreign_key_and_its_index():
    key = "CONSTRAINT `k` FOREIGN KEY (`a`) REFERENCES `other` (`id`) ON DELETE {} ON UPDATE CASCADE"
    columns = ("`a` int(11) DEFAULT NULL", "`b` int(11) DEFAULT NULL")
    found = table(*columns, "KEY `k` (`a`)", "KEY `mine` (`a`)", key.format("SET NULL"))
    assert found.table.constraints == (
        ForeignKey(columns=("a",), to_table="other", to_columns=("id",), on_delete="SET NULL"),
    )
    assert [index.name for index in found.table.indexes] == ["mine"]
    assert found.own_indexes == {"k": "k"}
    wider = table(*columns, "KEY `k` (`a`,`b`)", key.format("RESTRICT"))
    assert [index.name for index in wider.table.indexes] == ["k"]
    assert wider.table.foreign_keys[0].on_delete is None


def test_foreign_key_to_another_database():
    found = table("`a` int(11) DEFAULT NULL", "CONSTRAINT `k` FOREIGN KEY (`a`) REFERENCES `d`.`t` (`id`)").table
    assert found.foreign_keys[0].to_table == "d.t"


def test_options():
    found = table("`a` int(11) DEFAULT NULL", options="ENGINE=MyISAM AUTO_INCREMENT=5 DEFAULT CHARSET=latin1 COLLATE="
                  "latin1_bin COMMENT='a = ''b'', COLLATE=x'")  # fmt: skip
    assert (found.engine, found.charset, found.collation) == ("MyISAM", "latin1", "latin1_bin")
    assert found.table.comment == "a = 'b', COLLATE=x"


def test_names_in_backticks():
    found = table("`a``, (` int(11) DEFAULT NULL", "PRIMARY KEY (`a``, (`)").table
    assert found.columns[0].name == "a`, ("
    assert found.primary_key.columns == ("a`, (",)


def test_rename_in_expression_spares_texts():
    assert rename_in("`a` + '`a`' + `b`", {"a": "c`d"}) == "`c``d` + '`a`' + `b`"


def test_texts():
    assert unquote_text("'it''s\\n\\\\ \\0'") == "it's\n\\ \0"


def test_what_is_no_table_is_said():
    with pytest.raises(Unreadable, match="CREATE VIEW"):
        parse_table("CREATE VIEW v AS select 1")
    with pytest.raises(Unreadable, match="unknown: WHATEVER"):
        table("WHATEVER `x`")


WHOLE = [
    ["`a` int(11) NOT NULL"],
    ["`a` varchar(9) DEFAULT 'x,y)'", "`b` int(11) CHECK (`b` > 1)", "PRIMARY KEY (`a`,`b`)"],
    ["`a``, (` text COMMENT 'it''s \\' COLLATE utf8mb4_bin'", "KEY `k)` (`a``, (`(10))"],
    ["`a` varchar(9) /*M!100301 COMPRESSED*/ DEFAULT ''", "CONSTRAINT `f` FOREIGN KEY (`a`) REFERENCES `d`.`t` (`a`)"],
]


@pytest.mark.parametrize("items", WHOLE)
def test_lines_are_the_pieces(items):
    sql = "CREATE TABLE `t` (\n  " + ",\n  ".join(items) + "\n) ENGINE=InnoDB\n PARTITION BY HASH (`a`)"
    pieces = pieces_by_lines(sql)
    assert pieces is not None and list(pieces.items) == items
    by_tokens = pieces_by_tokens(sql)
    assert (pieces.name, pieces.options) == (by_tokens.name, by_tokens.options)
    assert list(by_tokens.items) == items


@pytest.mark.parametrize(
    "item",
    [
        "`a` text COMMENT 'one,\n  two'",
        "`a` text COMMENT 'one\\'\n) two'",
        "`a` text COMMENT '''\n'",
        "`a\n` text",
        "`a` int(11) GENERATED ALWAYS AS (`b` +\n 1) STORED",
    ],
)
def test_pieces_of_several_lines(item):
    sql = f"CREATE TABLE `t` (\n  {item},\n  `z` int(11)\n) ENGINE=InnoDB"
    assert pieces_by_lines(sql) is None
    assert list(pieces_by_tokens(sql).items) == [item, "`z` int(11)"]
    assert parse_table(sql).engine == "InnoDB"


@pytest.mark.parametrize(("charset", "recoded"), [("utf8mb4", False), ("latin1", True)])
def test_equal_columns_of_tables_with_other_character_sets(charset, recoded):
    options = f"ENGINE=InnoDB DEFAULT CHARSET={charset} COLLATE={charset}_bin"
    (found,) = table("`c` text CHARACTER SET utf8mb4 COLLATE utf8mb4_bin", options=options).table.columns
    assert found.recoded is recoded


@pytest.mark.parametrize(("collation", "kind"), [("utf8mb4_bin", "json"), ("utf8mb4_general_ci", "longtext")])
def test_equal_columns_of_tables_with_other_collations(collation, kind):
    options = f"ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE={collation}"
    (found,) = table("`c` longtext CHECK (json_valid(`c`))", options=options).table.columns
    assert found.type == kind
