"""Copies of databases on MariaDB: everything that is in one, and nothing that leads back to where it came from."""

import pytest
from django.db.utils import DatabaseError

from automigrate_ext.backends.mysql.copies import MySQLCopies

#: What hooks make besides tables. The first view reads one that comes later by name, and the function is read by both.
MADE = [
    "CREATE SEQUENCE counter START WITH 100",
    """
    CREATE TABLE item (
        id integer PRIMARY KEY AUTO_INCREMENT, name varchar(20) NOT NULL, number integer DEFAULT nextval(counter),
        hidden integer INVISIBLE, twice integer AS (number * 2) STORED
    )
    """,
    "CREATE TABLE log (message varchar(50))",
    "CREATE TABLE size (id integer)",
    "CREATE TABLE last (id integer)",
    "CREATE FUNCTION shout(word varchar(20)) RETURNS varchar(20) DETERMINISTIC RETURN concat(upper(word), '!')",
    "CREATE PROCEDURE put_item(word varchar(20)) BEGIN INSERT INTO item (name) VALUES (word); SELECT 1; END",
    "CREATE VIEW zz AS SELECT id, shout(name) AS name FROM item",
    "CREATE VIEW aa AS SELECT name FROM zz WHERE name LIKE '%S!'",
    "CREATE TRIGGER item_put AFTER INSERT ON item FOR EACH ROW INSERT INTO log VALUES (shout(new.name))",
    "CREATE TRIGGER item_put_again AFTER INSERT ON item FOR EACH ROW INSERT INTO log VALUES ('again')",
    "CREATE EVENT sweep ON SCHEDULE EVERY 1 YEAR DISABLE DO DELETE FROM log",
    "INSERT INTO item (id, name, hidden) VALUES (5, 'glass', 7), (6, 'cup', 8)",
    "INSERT INTO size VALUES (1)",
    "INSERT INTO last VALUES (1)",
]


@pytest.fixture
def copied(mariadb):
    """A cursor that uses the copy of a database of such things."""
    source = mariadb.settings_dict["NAME"]
    target = f"{source}_copy"
    copies = MySQLCopies(mariadb)
    with mariadb.cursor() as cursor:
        for sql in MADE:
            cursor.execute(sql)
        # What was made under it is read under it, whatever the session is that runs it.
        cursor.execute("SET SESSION sql_mode = 'ANSI_QUOTES,PIPES_AS_CONCAT'")
        cursor.execute("""CREATE FUNCTION greet("word" varchar(20)) RETURNS varchar(20) RETURN 'hello ' || "word" """)
        cursor.execute(
            """CREATE TRIGGER "size_put" BEFORE INSERT ON "size" FOR EACH ROW SET new."id" = length('ab' || 'c')"""
        )
    try:
        copies.copy(source, target, "last")
        with mariadb._nodb_cursor() as cursor:
            cursor.execute(f"USE {target}")
            yield cursor
    finally:
        copies.drop(target)


def ask(cursor, sql):
    cursor.execute(sql)
    return list(cursor.fetchall())


def test_views_triggers_and_routines_are_in_a_copy(copied, mariadb):
    source = mariadb.settings_dict["NAME"]
    rows = ask(copied, "SELECT id, name, number, hidden, twice FROM item ORDER BY id")
    assert rows == [(5, "glass", 100, 7, 200), (6, "cup", 101, 8, 202)]
    assert ask(copied, "SELECT name FROM aa") == [("GLASS!",)]
    assert ask(copied, "SELECT * FROM log") == [("GLASS!",), ("again",), ("CUP!",), ("again",)]
    copied.callproc("put_item", ["plate"])
    copied.nextset()
    while copied.nextset():
        pass
    assert ask(copied, "SELECT message FROM log LIMIT 9 OFFSET 4") == [("PLATE!",), ("again",)]
    assert ask(copied, "SELECT id, twice > 202 FROM item WHERE name = 'plate'") == [(7, 1)]
    assert ask(copied, "SELECT greet('you')") == [("hello you",)]
    copied.execute("INSERT INTO size VALUES (0)")
    assert ask(copied, "SELECT id FROM size ORDER BY id") == [(1,), (3,)]
    assert ask(copied, "SELECT id FROM last") == [(1,)]
    assert ask(copied, "SHOW EVENTS")[0][1] == "sweep"

    # Nothing of it has reached the source, and nothing leads there.
    assert ask(copied, f"SELECT count(*) FROM {source}.item") == [(2,)]
    assert ask(copied, f"SELECT count(*) FROM {source}.log") == [(4,)]
    for kind, name in (("TABLE", "item"), ("VIEW", "aa"), ("VIEW", "zz"), ("TRIGGER", "item_put")):
        assert source + "`" not in str(ask(copied, f"SHOW CREATE {kind} {name}"))


def test_views_that_cannot_be_made_end_the_copying(mariadb):
    source = mariadb.settings_dict["NAME"]
    copies = MySQLCopies(mariadb)
    with mariadb.cursor() as cursor:
        cursor.execute("CREATE TABLE gone (id integer)")
        cursor.execute("CREATE VIEW one AS SELECT id FROM gone")
        cursor.execute("CREATE VIEW two AS SELECT id FROM gone")
        cursor.execute("DROP TABLE gone")
    try:
        with pytest.raises(DatabaseError, match="gone"):
            copies.copy(source, f"{source}_copy", "last")
    finally:
        copies.drop(f"{source}_copy")


def test_project_without_a_database_of_its_own(mariadb):
    # In tests alone there is none, and nothing may be asked of it.
    other = mariadb.copy()
    other.settings_dict["NAME"] = "automigrate_test_no_such"
    source = mariadb.settings_dict["NAME"]
    with mariadb.cursor() as cursor:
        cursor.execute("CREATE TABLE last (id integer)")
    copies = MySQLCopies(other)
    try:
        copies.copy(source, f"{source}_copy", "last")
        assert copies.exists(f"{source}_copy")
    finally:
        copies.drop(f"{source}_copy")


def test_characters_that_are_not_printed_are_in_a_copy(mariadb):
    source = mariadb.settings_dict["NAME"]
    copies = MySQLCopies(mariadb)
    face = "\N{GRINNING FACE}"
    with mariadb.cursor() as cursor:
        cursor.execute(
            f"CREATE TABLE mood (`a ?` varchar(20) NOT NULL DEFAULT 'it''s {face}\\\\?' COMMENT 'DEFAULT ?', "
            f"b enum('?', '{face}') DEFAULT '{face}', c varchar(9) DEFAULT '?' CHECK (c <> '{face}'))"
        )
        cursor.execute("CREATE TABLE last (id integer)")
    try:
        copies.copy(source, f"{source}_copy", "last")
        with mariadb._nodb_cursor() as cursor:
            cursor.execute(f"USE {source}_copy")
            cursor.execute("INSERT INTO mood () VALUES ()")
            assert ask(cursor, "SELECT * FROM mood") == [(f"it's {face}\\?", face, "?")]
    finally:
        copies.drop(f"{source}_copy")
