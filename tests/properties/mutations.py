"""What SQL can do to live tables: a list for each database, written from its catalog and its grammar.

`SEEN` mutations are differences that a plan puts right, or refuses by name. `KEPT` ones are listed in the plan as made
by hand. All others are not compared: their verdict is the entry of the table in docs/limits.md that names them.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.acceptance.helper import Case

SEEN, KEPT = "seen", "kept"
#: A user of MariaDB for the time of a test.
USER = f"automigrate_test_{os.getpid()}@localhost"


class Impossible(Exception):
    """What a mutation changes is not there any more, as another one has changed it."""


@dataclass(frozen=True)
class Rewrite:
    """Another text of a table on SQLite: it is made again with `old` replaced by `new`, and its rows put back."""

    old: str
    new: str
    table: str = "shop_item"
    suffix: str = ""

    def apply(self, case: Case) -> None:
        """Make the table again."""
        ((sql,),) = case.query(f"SELECT sql FROM sqlite_master WHERE name = '{self.table}'")
        others = case.query(
            f"SELECT sql FROM sqlite_master WHERE tbl_name = '{self.table}' AND type <> 'table' AND sql IS NOT NULL"
        )
        if self.old not in sql:
            raise Impossible(f"{self.old} is not in {sql}")
        columns = [f'"{row[1]}"' for row in case.query(f'PRAGMA table_xinfo("{self.table}")') if row[6] == 0]
        new = sql.replace(self.old, self.new) + self.suffix
        moved = f"{self.table}__before"
        case.execute(
            "PRAGMA foreign_keys = OFF",
            "PRAGMA legacy_alter_table = ON",
            f'ALTER TABLE "{self.table}" RENAME TO "{moved}"',
            *(f'DROP INDEX "{name}"' for name in index_names(others)),
            new,
        )
        there = [f'"{row[1]}"' for row in case.query(f'PRAGMA table_xinfo("{self.table}")') if row[6] == 0]
        common = ", ".join(name for name in columns if name in there)
        case.execute(
            f'INSERT INTO "{self.table}" ({common}) SELECT {common} FROM "{moved}"',
            f'DROP TABLE "{moved}"',
            *(other for (other,) in others),
            "PRAGMA legacy_alter_table = OFF",
            "PRAGMA foreign_keys = ON",
        )


def index_names(statements: list[tuple[Any, ...]]) -> list[str]:
    """Return the names of the indexes that the statements make."""
    found = (re.match(r'CREATE (?:UNIQUE )?INDEX "?(\w+)"?', sql) for (sql,) in statements)
    return [match[1] for match in found if match]


@dataclass(frozen=True)
class Mutation:
    """One kind of mutation: what is executed, and whether the comparison sees it.

    `needs` returns whether the database can do it. `but` are attributes that the server itself sets when it rewrites
    the table, `without` the changes of the models that are refused for a table that has this.
    """

    name: str
    sql: tuple[str | Rewrite, ...]
    verdict: str
    but: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    needs: Callable[[Any], bool] = lambda connection: True

    def __repr__(self) -> str:
        return f"<{self.name}>"

    def apply(self, case: Case) -> None:
        """Change the live tables."""
        for statement in self.sql:
            if isinstance(statement, Rewrite):
                statement.apply(case)
            else:
                case.execute(statement)


def mutation(verdict: str, name: str, *sql: str | Rewrite, **options: Any) -> Mutation:
    return Mutation(name=name, sql=sql, verdict=verdict, **options)


def since(version: int) -> dict[str, Callable[[Any], bool]]:
    """Return the requirement of a version of PostgreSQL."""
    return {"needs": lambda connection: connection.pg_version >= version * 10000}


ITEM, LOG = "ALTER TABLE shop_item ", "ALTER TABLE shop_log "
FK = "shop_item_shelf_id_8ffdad6c_fk_shop_shelf_code"
TO_SHELF = "FOREIGN KEY (shelf_id) REFERENCES shop_shelf (code)"
AGAIN = f'{ITEM}DROP CONSTRAINT "{FK}", ADD CONSTRAINT "{FK}" {TO_SHELF}'
FUNCTION = "CREATE FUNCTION silent() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$"
TRIGGER = "CREATE TRIGGER by_hand BEFORE INSERT ON shop_item FOR EACH ROW EXECUTE FUNCTION silent()"

POSTGRESQL = [
    # pg_attribute
    mutation(SEEN, "type", f"{ITEM}ALTER weight TYPE bigint"),
    mutation(SEEN, "type of another family", f"{ITEM}ALTER note TYPE varchar(500)"),
    mutation(SEEN, "length", f"{ITEM}ALTER tag TYPE varchar(30)"),
    mutation(SEEN, "digits", f"{ITEM}ALTER price TYPE numeric(12, 3)"),
    mutation(SEEN, "precision of a time", f"{ITEM}ALTER made TYPE timestamptz(3)"),
    mutation(SEEN, "time zone", f"{ITEM}ALTER made TYPE timestamp"),
    mutation(SEEN, "domain", "CREATE DOMAIN whole AS integer", f"{ITEM}ALTER told TYPE whole"),
    mutation(SEEN, "enum", "CREATE TYPE tags AS ENUM ('one', 'Two')", f"{ITEM}ALTER name TYPE tags USING name::tags"),
    mutation(SEEN, "array", f"{ITEM}ALTER told TYPE integer[] USING ARRAY[told]"),
    mutation(KEPT, "default", f"{ITEM}ALTER told SET DEFAULT 5"),
    mutation(
        KEPT, "default by a sequence", "CREATE SEQUENCE numbers", f"{ITEM}ALTER told SET DEFAULT nextval('numbers')"
    ),
    mutation(SEEN, "another default", f"{ITEM}ALTER level SET DEFAULT 4"),
    mutation(SEEN, "no default", f"{ITEM}ALTER level DROP DEFAULT"),
    mutation(SEEN, "NULL allowed", f"{ITEM}ALTER told DROP NOT NULL"),
    mutation(SEEN, "NULL forbidden", f"{ITEM}ALTER made SET NOT NULL"),
    mutation(
        SEEN, "NOT NULL not valid", f"{ITEM}ALTER told DROP NOT NULL", f"{ITEM}ADD NOT NULL told NOT VALID", **since(18)
    ),
    mutation(
        "names of NOT NULL constraints",
        "NOT NULL by another name",
        f"{ITEM}RENAME CONSTRAINT shop_item_told_not_null TO always_told",
        **since(18),
    ),
    mutation(
        "`NO INHERIT`",
        "NOT NULL without inheritance",
        f"{ITEM}ALTER CONSTRAINT shop_item_told_not_null NO INHERIT",
        **since(18),
    ),
    mutation(KEPT, "collation", f'{ITEM}ALTER name TYPE varchar(20) COLLATE "C"'),
    mutation(SEEN, "another collation", f'{ITEM}ALTER coded TYPE varchar(9) COLLATE "POSIX"'),
    mutation(SEEN, "no collation", f"{ITEM}ALTER coded TYPE varchar(9)"),
    mutation(KEPT, "comment", "COMMENT ON COLUMN shop_item.name IS 'by hand'"),
    mutation(SEEN, "another comment", "COMMENT ON COLUMN shop_item.told IS 'by hand'"),
    mutation(SEEN, "no comment", "COMMENT ON COLUMN shop_item.told IS NULL"),
    mutation(SEEN, "expression", f"{ITEM}ALTER total SET EXPRESSION AS (size * 3)", **since(17)),
    mutation(SEEN, "no expression", f"{ITEM}ALTER total DROP EXPRESSION"),
    mutation(
        SEEN,
        "virtual",
        f"{ITEM}DROP total, ADD total integer GENERATED ALWAYS AS (size * 2) VIRTUAL",
        **since(18),
    ),
    mutation(SEEN, "identity always", f"{ITEM}ALTER id SET GENERATED ALWAYS"),
    mutation(SEEN, "no identity", f"{ITEM}ALTER id DROP IDENTITY"),
    mutation(SEEN, "identity of another column", f"{ITEM}ALTER told ADD GENERATED BY DEFAULT AS IDENTITY"),
    mutation("storage and compression", "storage", f"{ITEM}ALTER note SET STORAGE EXTERNAL"),
    mutation("storage and compression", "compression", f"{ITEM}ALTER note SET COMPRESSION pglz"),
    mutation("statistics", "statistics target", f"{ITEM}ALTER name SET STATISTICS 500"),
    mutation("statistics", "number of values", f"{ITEM}ALTER name SET (n_distinct = 5)"),
    mutation("privileges", "privilege on a column", "GRANT SELECT (name) ON shop_item TO pg_monitor"),
    mutation(KEPT, "another column", f"{ITEM}ADD by_hand integer DEFAULT 3"),
    mutation(SEEN, "no column", f"{ITEM}DROP flag"),
    mutation(SEEN, "column by another name", f"{ITEM}RENAME flag TO flagged"),
    mutation("the order of columns", "order of columns", f"{ITEM}DROP note", f"{ITEM}ADD note text"),
    # pg_class
    mutation("storage parameters", "storage parameter", f"{ITEM}SET (fillfactor = 70)"),
    mutation("storage parameters", "autovacuum", f"{ITEM}SET (autovacuum_enabled = false)"),
    mutation("storage parameters", "storage parameter of TOAST", f"{ITEM}SET (toast.autovacuum_enabled = false)"),
    mutation("unlogged tables", "unlogged", f"{LOG}SET UNLOGGED"),
    mutation("owners", "owner", f"{LOG}OWNER TO pg_monitor"),
    mutation("privileges", "privilege", "GRANT SELECT ON shop_item TO PUBLIC"),
    mutation("row security and policies", "row security", f"{LOG}ENABLE ROW LEVEL SECURITY"),
    mutation(
        "row security and policies",
        "forced row security",
        f"{LOG}ENABLE ROW LEVEL SECURITY",
        f"{LOG}FORCE ROW LEVEL SECURITY",
    ),
    mutation("replica identity", "replica identity", f"{ITEM}REPLICA IDENTITY FULL"),
    mutation("replica identity", "replica identity by index", f"{ITEM}REPLICA IDENTITY USING INDEX one_name"),
    mutation("replica identity", "no replica identity", f"{ITEM}REPLICA IDENTITY NOTHING"),
    mutation(KEPT, "comment on the table", "COMMENT ON TABLE shop_item IS 'by hand'"),
    mutation(
        "comments on other objects",
        "comment on an index",
        "COMMENT ON INDEX by_weight IS 'by hand'",
    ),
    mutation(
        "comments on other objects",
        "comment on a constraint",
        "COMMENT ON CONSTRAINT weight_check ON shop_item IS 'by hand'",
    ),
    mutation(
        "comments on other objects",
        "comment on a foreign key",
        f"COMMENT ON CONSTRAINT \"{FK}\" ON shop_item IS 'by hand'",
    ),
    mutation(
        "comments on other objects",
        "comment on the key",
        "COMMENT ON CONSTRAINT shop_item_pkey ON shop_item IS 'by hand'",
    ),
    mutation("inheritance and partitions", "table that inherits", "CREATE TABLE heir () INHERITS (shop_log)"),
    mutation(
        "inheritance and partitions",
        "table that is inherited from",
        "CREATE TABLE parent (text text NOT NULL)",
        f"{LOG}INHERIT parent",
    ),
    mutation(
        "inheritance and partitions",
        "partitions",
        f"{LOG}RENAME TO was",
        "CREATE TABLE shop_log (LIKE was INCLUDING DEFAULTS INCLUDING IDENTITY, PRIMARY KEY (id)) PARTITION BY HASH (id)",
        "CREATE TABLE shop_log_0 PARTITION OF shop_log FOR VALUES WITH (MODULUS 2, REMAINDER 0)",
        "CREATE TABLE shop_log_1 PARTITION OF shop_log FOR VALUES WITH (MODULUS 2, REMAINDER 1)",
        "INSERT INTO shop_log SELECT * FROM was",
        "DROP TABLE was",
    ),
    # pg_constraint
    mutation(KEPT, "check", f"{ITEM}ADD CONSTRAINT by_hand CHECK (size > 0)"),
    mutation(KEPT, "check not valid", f"{ITEM}ADD CONSTRAINT by_hand CHECK (size > 5) NOT VALID"),
    mutation(KEPT, "check not enforced", f"{ITEM}ADD CONSTRAINT by_hand CHECK (size > 5) NOT ENFORCED", **since(18)),
    mutation(KEPT, "check without inheritance", f"{ITEM}ADD CONSTRAINT by_hand CHECK (size > 0) NO INHERIT"),
    mutation(SEEN, "no check", f"{ITEM}DROP CONSTRAINT weight_check"),
    mutation(SEEN, "no check of a column", f"{ITEM}DROP CONSTRAINT shop_item_positive_check"),
    mutation(
        SEEN,
        "another check",
        f"{ITEM}DROP CONSTRAINT weight_check, ADD CONSTRAINT weight_check CHECK (weight > -5)",
    ),
    mutation(
        "constraints that are not valid",
        "declared check not valid",
        f"{ITEM}DROP CONSTRAINT weight_check",
        f"{ITEM}ADD CONSTRAINT weight_check CHECK (weight >= 0) NOT VALID",
    ),
    mutation(
        SEEN,
        "declared check not enforced",
        f"{ITEM}DROP CONSTRAINT weight_check",
        f"{ITEM}ADD CONSTRAINT weight_check CHECK (weight >= 0) NOT ENFORCED",
        **since(18),
    ),
    mutation(
        "`NO INHERIT`",
        "declared check without inheritance",
        f"{ITEM}DROP CONSTRAINT weight_check",
        f"{ITEM}ADD CONSTRAINT weight_check CHECK (weight >= 0) NO INHERIT",
    ),
    mutation(SEEN, "check by another name", f"{ITEM}RENAME CONSTRAINT weight_check TO renamed_check"),
    mutation(KEPT, "unique", f"{ITEM}ADD CONSTRAINT by_hand UNIQUE (coded)"),
    mutation(KEPT, "unique deferrable", f"{ITEM}ADD CONSTRAINT by_hand UNIQUE (coded) DEFERRABLE INITIALLY DEFERRED"),
    mutation(KEPT, "unique including", f"{ITEM}ADD CONSTRAINT by_hand UNIQUE (coded) INCLUDE (size)"),
    mutation(KEPT, "unique with a fillfactor", f"{ITEM}ADD CONSTRAINT by_hand UNIQUE (coded) WITH (fillfactor = 70)"),
    mutation(
        KEPT,
        "unique nulls not distinct",
        f"{ITEM}ADD CONSTRAINT by_hand UNIQUE NULLS NOT DISTINCT (coded)",
        **since(15),
    ),
    mutation(SEEN, "no unique", f"{ITEM}DROP CONSTRAINT one_name"),
    mutation(SEEN, "unique by another name", f"{ITEM}RENAME CONSTRAINT one_name TO another_name"),
    mutation(
        SEEN,
        "declared unique over other columns",
        f"{ITEM}DROP CONSTRAINT one_name, ADD CONSTRAINT one_name UNIQUE (name, weight)",
    ),
    mutation(
        SEEN,
        "declared unique deferrable",
        f"{ITEM}DROP CONSTRAINT one_name, ADD CONSTRAINT one_name UNIQUE (name, size) DEFERRABLE",
    ),
    mutation(
        SEEN,
        "declared unique including",
        f"{ITEM}DROP CONSTRAINT one_name, ADD CONSTRAINT one_name UNIQUE (name, size) INCLUDE (id)",
    ),
    mutation(
        SEEN,
        "declared unique nulls not distinct",
        f"{ITEM}DROP CONSTRAINT one_name, ADD CONSTRAINT one_name UNIQUE NULLS NOT DISTINCT (name, size)",
        **since(15),
    ),
    mutation("storage parameters", "fillfactor of a unique", "ALTER INDEX one_name SET (fillfactor = 60)"),
    mutation(KEPT, "exclusion", f"{ITEM}ADD CONSTRAINT by_hand EXCLUDE (size WITH =) WHERE (size > 0)"),
    mutation(
        KEPT,
        "exclusion with everything",
        f"{ITEM}ADD CONSTRAINT by_hand EXCLUDE USING btree (name varchar_pattern_ops WITH =) INCLUDE (size)"
        " WITH (fillfactor = 70) WHERE (size > 0) DEFERRABLE INITIALLY DEFERRED",
    ),
    mutation(
        KEPT,
        "unique without overlaps",
        f"{ITEM}ADD span daterange",
        "UPDATE shop_item SET span = daterange(current_date, current_date + 1 + size)",
        "CREATE EXTENSION IF NOT EXISTS btree_gist",
        f"{ITEM}ADD CONSTRAINT by_hand UNIQUE (size, span WITHOUT OVERLAPS)",
        needs=lambda connection: connection.pg_version >= 180000 and has_extension(connection, "btree_gist"),
    ),
    mutation(SEEN, "no primary key", f"{ITEM}DROP CONSTRAINT shop_item_pkey CASCADE"),
    mutation("names of primary keys", "key by another name", f"{ITEM}RENAME CONSTRAINT shop_item_pkey TO main"),
    mutation(
        "deferrable and covering primary keys",
        "key deferrable",
        f"{LOG}DROP CONSTRAINT shop_log_pkey, ADD CONSTRAINT shop_log_pkey PRIMARY KEY (id) DEFERRABLE",
    ),
    mutation(
        "deferrable and covering primary keys",
        "key including",
        f"{LOG}DROP CONSTRAINT shop_log_pkey, ADD CONSTRAINT shop_log_pkey PRIMARY KEY (id) INCLUDE (number)",
    ),
    mutation("storage parameters", "fillfactor of the key", "ALTER INDEX shop_item_pkey SET (fillfactor = 60)"),
    mutation(KEPT, "on delete", f"{AGAIN} ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED"),
    mutation(
        KEPT,
        "on delete of some columns",
        f"{AGAIN} ON DELETE SET NULL (shelf_id) DEFERRABLE INITIALLY DEFERRED",
        **since(15),
    ),
    mutation("`ON UPDATE` and `MATCH`", "on update", f"{AGAIN} ON UPDATE CASCADE DEFERRABLE INITIALLY DEFERRED"),
    mutation("`ON UPDATE` and `MATCH`", "match full", f"{AGAIN} MATCH FULL DEFERRABLE INITIALLY DEFERRED"),
    mutation(SEEN, "foreign key not deferrable", AGAIN),
    mutation(SEEN, "foreign key immediate", f"{AGAIN} DEFERRABLE"),
    mutation(
        "constraints that are not valid",
        "foreign key not valid",
        f"{AGAIN} DEFERRABLE INITIALLY DEFERRED NOT VALID",
    ),
    mutation(SEEN, "foreign key not enforced", f"{AGAIN} DEFERRABLE INITIALLY DEFERRED NOT ENFORCED", **since(18)),
    mutation(SEEN, "no foreign key", f'{ITEM}DROP CONSTRAINT "{FK}"'),
    mutation("generated names", "foreign key by another name", f'{ITEM}RENAME CONSTRAINT "{FK}" TO to_shelf'),
    mutation(
        KEPT,
        "another foreign key",
        f"{ITEM}ADD CONSTRAINT by_hand FOREIGN KEY (size) REFERENCES shop_shelf (id) ON DELETE SET DEFAULT"
        " ON UPDATE RESTRICT NOT VALID",
    ),
    # pg_index
    *(
        mutation(KEPT, f"index {name}", f"CREATE {sql}")
        for name, sql in {
            "plain": "INDEX by_hand ON shop_item (size)",
            "hash": "INDEX by_hand ON shop_item USING hash (size)",
            "gin": "INDEX by_hand ON shop_item USING gin (to_tsvector('simple', name))",
            "gist": "INDEX by_hand ON shop_item USING gist (box(point(size, weight), point(1, 2)))",
            "spgist": "INDEX by_hand ON shop_item USING spgist (name)",
            "brin": "INDEX by_hand ON shop_item USING brin (size int4_minmax_multi_ops (values_per_range = 16))",
            "opclass": "INDEX by_hand ON shop_item (name varchar_pattern_ops)",
            "order": "INDEX by_hand ON shop_item (size DESC NULLS LAST, made NULLS FIRST)",
            "where": "INDEX by_hand ON shop_item (size) WHERE weight > 1 AND name <> 'x'",
            "include": "INDEX by_hand ON shop_item (size) INCLUDE (weight, name)",
            "fillfactor": "INDEX by_hand ON shop_item (size) WITH (fillfactor = 70, deduplicate_items = off)",
            "unique": "UNIQUE INDEX by_hand ON shop_item (lower(name)) WHERE size > 0",
            "expression": "INDEX by_hand ON shop_item ((size + weight), upper(name))",
            "collation": 'INDEX by_hand ON shop_item (name COLLATE "C")',
        }.items()
    ),
    mutation(
        KEPT,
        "index nulls not distinct",
        "CREATE UNIQUE INDEX by_hand ON shop_item (coded) NULLS NOT DISTINCT",
        **since(15),
    ),
    mutation(
        KEPT,
        "index with statistics",
        "CREATE INDEX by_hand ON shop_item ((size + weight))",
        "ALTER INDEX by_hand ALTER COLUMN 1 SET STATISTICS 400",
        "COMMENT ON INDEX by_hand IS 'mine'",
    ),
    mutation(
        KEPT,
        "index not valid",
        "CREATE INDEX by_hand ON shop_item (size)",
        "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'by_hand'::regclass",
        but=("indisvalid",),
    ),
    mutation("clustering", "clustered", f"{ITEM}CLUSTER ON by_weight"),
    mutation("clustering", "clustered by the key", f"{ITEM}CLUSTER ON shop_item_pkey"),
    mutation("storage parameters", "fillfactor of an index", "ALTER INDEX by_weight SET (fillfactor = 60)"),
    mutation(
        "extensions that an index depends on",
        "index of an extension",
        "ALTER INDEX by_weight DEPENDS ON EXTENSION plpgsql",
    ),
    mutation(SEEN, "no index", "DROP INDEX by_weight"),
    mutation(SEEN, "no index of a column", "DROP INDEX shop_item_tag_5f61f145_like"),
    mutation(SEEN, "index by another name", "ALTER INDEX by_weight RENAME TO another"),
    mutation("generated names", "generated name of an index", "ALTER INDEX shop_item_tag_5f61f145 RENAME TO another"),
    *(
        mutation(SEEN, f"declared index {name}", "DROP INDEX by_weight", f"CREATE {sql}")
        for name, sql in {
            "over another column": "INDEX by_weight ON shop_item (size)",
            "hash": "INDEX by_weight ON shop_item USING hash (weight)",
            "order": "INDEX by_weight ON shop_item (weight DESC)",
            "where": "INDEX by_weight ON shop_item (weight) WHERE weight > 1",
            "include": "INDEX by_weight ON shop_item (weight) INCLUDE (size)",
            "unique": "UNIQUE INDEX by_weight ON shop_item (weight)",
        }.items()
    ),
    mutation(
        SEEN,
        "declared index not valid",
        "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'by_weight'::regclass",
    ),
    # pg_trigger, pg_rewrite, pg_policy, pg_statistic_ext, pg_publication_rel, pg_sequence
    mutation("triggers", "trigger", FUNCTION, TRIGGER, "COMMENT ON TRIGGER by_hand ON shop_item IS 'mine'"),
    mutation(
        "triggers",
        "trigger of some columns",
        FUNCTION,
        "CREATE TRIGGER by_hand AFTER UPDATE OF size, weight ON shop_item FOR EACH ROW WHEN (NEW.size > 1)"
        " EXECUTE FUNCTION silent('a', 'b')",
    ),
    mutation(
        "triggers",
        "constraint trigger",
        FUNCTION,
        "CREATE CONSTRAINT TRIGGER by_hand AFTER INSERT ON shop_item DEFERRABLE INITIALLY DEFERRED FOR EACH ROW"
        " EXECUTE FUNCTION silent()",
    ),
    mutation(
        "triggers",
        "trigger with rows",
        FUNCTION,
        "CREATE TRIGGER by_hand AFTER INSERT ON shop_item REFERENCING NEW TABLE AS fresh FOR EACH STATEMENT"
        " EXECUTE FUNCTION silent()",
    ),
    mutation("triggers", "trigger disabled", FUNCTION, TRIGGER, f"{ITEM}DISABLE TRIGGER by_hand"),
    mutation("triggers", "trigger always", FUNCTION, TRIGGER, f"{ITEM}ENABLE ALWAYS TRIGGER by_hand"),
    mutation("triggers", "trigger of replicas", FUNCTION, TRIGGER, f"{ITEM}ENABLE REPLICA TRIGGER by_hand"),
    mutation("triggers", "foreign keys switched off", f"{ITEM}DISABLE TRIGGER ALL"),
    mutation("rules", "rule", "CREATE RULE by_hand AS ON DELETE TO shop_item WHERE OLD.size > 5 DO INSTEAD NOTHING"),
    mutation(
        "rules",
        "rule disabled",
        "CREATE RULE by_hand AS ON DELETE TO shop_item WHERE OLD.size > 5 DO INSTEAD NOTHING",
        f"{ITEM}DISABLE RULE by_hand",
    ),
    mutation("views", "view", "CREATE VIEW seen AS SELECT id, size FROM shop_item"),
    mutation(
        "views",
        "view with options",
        "CREATE VIEW seen WITH (security_barrier) AS SELECT id, size FROM shop_item WHERE size > 0 WITH CHECK OPTION",
    ),
    mutation(
        "views",
        "materialised view",
        "CREATE MATERIALIZED VIEW seen AS SELECT id, size FROM shop_item",
        "CREATE UNIQUE INDEX seen_id ON seen (id)",
    ),
    mutation(
        "row security and policies",
        "policy",
        "CREATE POLICY by_hand ON shop_item AS RESTRICTIVE FOR UPDATE TO pg_monitor USING (size > 0) WITH CHECK (size > 1)",
        "COMMENT ON POLICY by_hand ON shop_item IS 'mine'",
    ),
    mutation("row security and policies", "policy for all", "CREATE POLICY by_hand ON shop_item USING (size > 3)"),
    mutation("rules", "rule besides", "CREATE RULE by_hand AS ON UPDATE TO shop_item DO ALSO NOTHING"),
    mutation(
        "statistics", "statistics of an expression", "CREATE STATISTICS by_hand ON (size + weight) FROM shop_item"
    ),
    mutation(
        "inheritance and partitions",
        "table with two parents",
        "CREATE TABLE parent (text text NOT NULL)",
        "CREATE TABLE another (number integer NOT NULL)",
        f"{LOG}INHERIT parent",
        f"{LOG}INHERIT another",
    ),
    mutation(
        "statistics",
        "extended statistics",
        "CREATE STATISTICS by_hand (ndistinct, dependencies) ON size, weight FROM shop_item",
        "ALTER STATISTICS by_hand SET STATISTICS 300",
        "COMMENT ON STATISTICS by_hand IS 'mine'",
    ),
    mutation(
        "publications", "publication", "DROP PUBLICATION IF EXISTS fuzz", "CREATE PUBLICATION fuzz FOR TABLE shop_item"
    ),
    mutation(
        "publications",
        "publication of some rows",
        "DROP PUBLICATION IF EXISTS fuzz",
        "CREATE PUBLICATION fuzz FOR TABLE shop_item (id, size) WHERE (id > 0)",
        **since(15),
    ),
    mutation("sequences", "step of a sequence", f"{ITEM}ALTER id SET INCREMENT BY 10"),
    mutation(
        "sequences",
        "all of a sequence",
        f"{ITEM}ALTER id SET MINVALUE -5 SET MAXVALUE 500000 SET START 7 SET CACHE 20 SET CYCLE",
    ),
    mutation("sequences", "next number", f"{ITEM}ALTER id RESTART WITH 5000"),
    mutation("sequences", "sequence by another name", "ALTER SEQUENCE shop_item_id_seq RENAME TO numbers"),
    mutation("sequences", "owned sequence", "CREATE SEQUENCE extra OWNED BY shop_item.size"),
    mutation("sequences", "type of a sequence", "ALTER SEQUENCE shop_item_id_seq AS integer"),
]


def has_extension(connection: Any, name: str) -> bool:
    """Return whether the server can have the extension."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1 FROM pg_available_extensions WHERE name = %s", [name])
        return cursor.fetchone() is not None


KEY_AGAIN = (f'{ITEM}DROP FOREIGN KEY "{FK}"', f'{ITEM}ADD CONSTRAINT "{FK}" {TO_SHELF}')
MADE_NULL = "MODIFY made datetime(6) NULL"

MARIADB = [
    # information_schema.columns
    mutation(SEEN, "type", f"{ITEM}MODIFY weight bigint NOT NULL"),
    mutation(SEEN, "type of another family", f"{ITEM}MODIFY note varchar(500)"),
    mutation(SEEN, "shorter text", f"{ITEM}MODIFY note mediumtext"),
    mutation(SEEN, "length", f"{ITEM}MODIFY tag varchar(30) NOT NULL"),
    mutation(SEEN, "char for varchar", f"{ITEM}MODIFY tag char(9) NOT NULL"),
    mutation(SEEN, "digits", f"{ITEM}MODIFY price decimal(12,3) NOT NULL"),
    mutation(SEEN, "precision of a time", f"{ITEM}MODIFY made datetime(3)"),
    mutation(SEEN, "timestamp", f"{ITEM}MODIFY made timestamp(6) NULL"),
    mutation(SEEN, "unsigned", f"{ITEM}MODIFY weight int unsigned NOT NULL"),
    mutation(SEEN, "zerofill", f"{ITEM}MODIFY told int zerofill NOT NULL COMMENT 'as declared'"),
    mutation("display widths", "display width", f"{ITEM}MODIFY told int(5) NOT NULL COMMENT 'as declared'"),
    mutation(SEEN, "enum", f"{ITEM}MODIFY tag enum('one', 'Two') NOT NULL"),
    mutation(SEEN, "set", f"{ITEM}MODIFY tag set('one', 'Two') NOT NULL"),
    mutation(KEPT, "default", f"{ITEM}ALTER name SET DEFAULT 'x'"),
    mutation(KEPT, "default by an expression", f"{ITEM}ALTER name SET DEFAULT (upper('x'))"),
    mutation(KEPT, "default outside the BMP", f"{ITEM}MODIFY name varchar(20) NOT NULL DEFAULT '😀'"),
    mutation(KEPT, "on update", f"{ITEM}MODIFY made datetime(6) NULL DEFAULT NULL ON UPDATE current_timestamp(6)"),
    mutation(
        KEPT,
        "default and on update",
        f"{ITEM}MODIFY made datetime(6) NULL DEFAULT current_timestamp(6) ON UPDATE current_timestamp(6)",
    ),
    mutation(SEEN, "another default", f"{ITEM}ALTER level SET DEFAULT 4"),
    mutation(SEEN, "no default", f"{ITEM}ALTER level DROP DEFAULT"),
    mutation(SEEN, "NULL allowed", f"{ITEM}MODIFY weight int NULL"),
    mutation(SEEN, "NULL forbidden", f"{ITEM}MODIFY made datetime(6) NOT NULL"),
    mutation(KEPT, "collation", f"{ITEM}MODIFY name varchar(20) COLLATE utf8mb4_bin NOT NULL"),
    mutation(KEPT, "character set", f"{ITEM}MODIFY tag varchar(9) CHARACTER SET latin1 NOT NULL"),
    mutation(SEEN, "another collation", f"{ITEM}MODIFY coded varchar(9) COLLATE utf8mb4_unicode_ci NOT NULL"),
    mutation(SEEN, "no collation", f"{ITEM}MODIFY coded varchar(9) NOT NULL"),
    mutation(KEPT, "comment", f"{ITEM}MODIFY name varchar(20) NOT NULL COMMENT 'by hand'"),
    mutation(SEEN, "another comment", f"{ITEM}MODIFY told int NOT NULL COMMENT 'by hand'"),
    mutation(SEEN, "no comment", f"{ITEM}MODIFY told int NOT NULL"),
    mutation(SEEN, "expression", f"{ITEM}MODIFY total int GENERATED ALWAYS AS (size * 3) STORED"),
    mutation(SEEN, "no expression", f"{ITEM}MODIFY total int"),
    mutation(SEEN, "virtual", f"{ITEM}DROP total", f"{ITEM}ADD total int GENERATED ALWAYS AS (size * 2) VIRTUAL"),
    mutation(SEEN, "no numbers", f"{ITEM}MODIFY id bigint NOT NULL"),
    mutation("the order of columns", "first column", f"{ITEM}MODIFY note longtext FIRST"),
    mutation("the order of columns", "order of columns", f"{ITEM}MODIFY made datetime(6) NULL AFTER id"),
    mutation("invisible columns", "invisible column", f"{ITEM}MODIFY note longtext INVISIBLE"),
    mutation("storage and compression", "compressed column", f"{ITEM}MODIFY note longtext COMPRESSED"),
    mutation(KEPT, "check of a column", f"{ITEM}MODIFY name varchar(20) NOT NULL CHECK (name <> 'zz')"),
    mutation(KEPT, "another column", f"{ITEM}ADD by_hand int DEFAULT 3"),
    mutation(
        KEPT,
        "another column with everything",
        f"{ITEM}ADD by_hand varchar(9) CHARACTER SET latin1 COLLATE latin1_bin NOT NULL DEFAULT 'x' COMMENT 'c' CHECK (by_hand <> 'y') AFTER id",
    ),
    mutation(
        KEPT,
        "another generated column",
        f"{ITEM}ADD by_hand int GENERATED ALWAYS AS (size + 1) VIRTUAL INVISIBLE COMMENT 'c'",
    ),
    mutation(SEEN, "no column", f"{ITEM}DROP flag"),
    mutation(SEEN, "column by another name", f"{ITEM}RENAME COLUMN flag TO flagged"),
    mutation(
        "privileges",
        "privilege on a column",
        f"CREATE USER IF NOT EXISTS {USER}",
        f"GRANT SELECT (name) ON shop_item TO {USER}",
    ),
    # information_schema.tables
    mutation("storage engines", "engine", f"{LOG}ENGINE = Aria TRANSACTIONAL = 1", but=("create_options",)),
    mutation("storage engines", "engine without transactions", f"{LOG}ENGINE = MyISAM DELAY_KEY_WRITE = 1"),
    mutation("row formats and table options", "row format", f"{ITEM}ROW_FORMAT = COMPRESSED"),
    mutation(
        "row formats and table options", "size of keys' blocks", f"{ITEM}ROW_FORMAT = COMPRESSED KEY_BLOCK_SIZE = 8"
    ),
    mutation(
        "row formats and table options", "compressed pages", f"{ITEM}PAGE_COMPRESSED = 1 PAGE_COMPRESSION_LEVEL = 3"
    ),
    mutation(
        "row formats and table options",
        "statistics of the table",
        f"{ITEM}STATS_PERSISTENT = 1 STATS_AUTO_RECALC = 0 STATS_SAMPLE_PAGES = 30",
    ),
    mutation(
        "row formats and table options", "expected rows", f"{ITEM}MAX_ROWS = 1000 MIN_ROWS = 10 AVG_ROW_LENGTH = 100"
    ),
    mutation("row formats and table options", "checksum of the table", f"{ITEM}CHECKSUM = 1"),
    mutation(KEPT, "collation of the table", f"{LOG}COLLATE utf8mb4_unicode_ci"),
    mutation("character sets of tables", "character set of the table", f"{LOG}CONVERT TO CHARACTER SET latin1"),
    mutation(KEPT, "character set of new columns", f"{LOG}DEFAULT CHARACTER SET latin1"),
    mutation(KEPT, "comment on the table", f"{ITEM}COMMENT = 'by hand'"),
    mutation("the next number", "next number", f"{ITEM}AUTO_INCREMENT = 5000"),
    mutation(
        "versions of rows",
        "system versioning",
        "SET system_versioning_alter_history = KEEP",
        f"{LOG}ADD SYSTEM VERSIONING",
        without=("filled",),
    ),
    mutation(
        "versions of rows",
        "column without versions",
        "SET system_versioning_alter_history = KEEP",
        f"{LOG}ADD SYSTEM VERSIONING",
        f"{LOG}MODIFY text longtext NOT NULL WITHOUT SYSTEM VERSIONING",
        without=("filled",),
    ),
    mutation(
        KEPT,
        "period",
        f"{LOG}ADD since date NOT NULL DEFAULT '2020-01-01', ADD until date NOT NULL DEFAULT '2030-01-01', ADD PERIOD FOR valid (since, until)",
    ),
    mutation("partitions", "partitions", f"{LOG}PARTITION BY HASH (id) PARTITIONS 3"),
    mutation(
        "partitions",
        "partitions by range",
        f"{LOG}PARTITION BY RANGE (id) SUBPARTITION BY KEY (id) (PARTITION few VALUES LESS THAN (2) COMMENT = 'few', PARTITION most VALUES LESS THAN MAXVALUE)",
    ),
    mutation(
        "privileges",
        "privilege",
        f"CREATE USER IF NOT EXISTS {USER}",
        f"GRANT SELECT ON shop_item TO {USER}",
    ),
    # statistics
    *(
        mutation(KEPT, f"index {name}", f"CREATE {sql}")
        for name, sql in {
            "plain": "INDEX by_hand ON shop_item (size)",
            "prefix": "INDEX by_hand ON shop_item (note(10), name(3))",
            "order": "INDEX by_hand ON shop_item (size DESC, weight)",
            "fulltext": "FULLTEXT INDEX by_hand ON shop_item (note)",
            "comment": "INDEX by_hand ON shop_item (size) COMMENT 'mine'",
            "ignored": "INDEX by_hand ON shop_item (size) IGNORED",
            "unique": "UNIQUE INDEX by_hand ON shop_item (coded, size)",
        }.items()
    ),
    mutation(
        KEPT,
        "index hash",
        "CREATE UNIQUE INDEX by_hand USING HASH ON shop_item (coded)",
        but=("definition", "index_type"),
    ),
    mutation(KEPT, "index over a long text", "CREATE UNIQUE INDEX by_hand ON shop_log (text)"),
    mutation(
        KEPT,
        "index spatial",
        f"{ITEM}ADD place point NOT NULL DEFAULT (point(1, 2)), ADD SPATIAL INDEX by_hand (place)",
    ),
    mutation(SEEN, "no index", "DROP INDEX by_weight ON shop_item"),
    mutation(SEEN, "index by another name", f"{ITEM}RENAME INDEX by_weight TO another"),
    mutation("generated names", "generated name of an index", f"{ITEM}RENAME INDEX shop_item_tag_5f61f145 TO another"),
    *(
        mutation(SEEN, f"declared index {name}", f"{ITEM}DROP INDEX by_weight, ADD {sql}")
        for name, sql in {
            "over another column": "INDEX by_weight (size)",
            "order": "INDEX by_weight (weight DESC)",
            "unique": "UNIQUE INDEX by_weight (weight)",
            "over more columns": "INDEX by_weight (weight, size)",
        }.items()
    ),
    mutation(
        SEEN,
        "declared index by prefix",
        f"{ITEM}DROP INDEX shop_item_tag_5f61f145, ADD INDEX shop_item_tag_5f61f145 (tag(3))",
    ),
    mutation("attributes of declared indexes", "declared index ignored", f"{ITEM}ALTER INDEX by_weight IGNORED"),
    mutation(
        "attributes of declared indexes",
        "comment on a declared index",
        f"{ITEM}DROP INDEX by_weight, ADD INDEX by_weight (weight) COMMENT 'mine'",
    ),
    mutation(SEEN, "declared unique ignored", f"{ITEM}ALTER INDEX one_name IGNORED"),
    mutation(
        SEEN,
        "comment on a declared unique",
        f"{ITEM}DROP INDEX one_name, ADD UNIQUE INDEX one_name (name, size) COMMENT 'mine'",
    ),
    mutation(
        "attributes of declared indexes",
        "comment on the key",
        f"{LOG}DROP PRIMARY KEY, ADD PRIMARY KEY (id) COMMENT 'mine'",
    ),
    # constraints
    mutation(KEPT, "check", f"{ITEM}ADD CONSTRAINT by_hand CHECK (size > 0 AND name <> 'it''s')"),
    mutation(SEEN, "no check", f"{ITEM}DROP CONSTRAINT weight_check"),
    mutation(SEEN, "no check of a column", f"{ITEM}MODIFY positive int unsigned NOT NULL"),
    mutation(
        SEEN, "another check", f"{ITEM}DROP CONSTRAINT weight_check, ADD CONSTRAINT weight_check CHECK (weight > -5)"
    ),
    mutation(
        SEEN, "check by another name", f"{ITEM}DROP CONSTRAINT weight_check, ADD CONSTRAINT another CHECK (weight >= 0)"
    ),
    mutation(KEPT, "unique", f"{ITEM}ADD CONSTRAINT by_hand UNIQUE (coded)"),
    mutation(SEEN, "no unique", f"{ITEM}DROP INDEX one_name"),
    mutation(SEEN, "unique by another name", f"{ITEM}RENAME INDEX one_name TO another"),
    mutation(
        SEEN,
        "declared unique over other columns",
        f"{ITEM}DROP INDEX one_name, ADD UNIQUE INDEX one_name (name, weight)",
    ),
    mutation(SEEN, "no primary key", f"{LOG}MODIFY id bigint NOT NULL, DROP PRIMARY KEY"),
    mutation(KEPT, "on delete", KEY_AGAIN[0], f"{KEY_AGAIN[1]} ON DELETE CASCADE"),
    mutation(KEPT, "on delete set null", KEY_AGAIN[0], f"{KEY_AGAIN[1]} ON DELETE SET NULL"),
    mutation("`ON UPDATE` and `MATCH`", "on update of a key", KEY_AGAIN[0], f"{KEY_AGAIN[1]} ON UPDATE CASCADE"),
    mutation(SEEN, "no foreign key", f'{ITEM}DROP FOREIGN KEY "{FK}"'),
    mutation(
        "generated names", "foreign key by another name", KEY_AGAIN[0], f"{ITEM}ADD CONSTRAINT to_shelf {TO_SHELF}"
    ),
    mutation(
        KEPT,
        "another foreign key",
        f"{ITEM}ADD again varchar(9), ADD CONSTRAINT by_hand FOREIGN KEY (again) REFERENCES shop_shelf (code) ON DELETE SET NULL ON UPDATE CASCADE",
    ),
    # triggers, views
    mutation(
        "triggers",
        "trigger",
        "CREATE TRIGGER by_hand BEFORE INSERT ON shop_item FOR EACH ROW SET NEW.weight = NEW.weight + 0",
    ),
    mutation(
        "triggers",
        "trigger in an order",
        "CREATE TRIGGER by_hand BEFORE INSERT ON shop_item FOR EACH ROW SET NEW.weight = NEW.weight + 0",
        "CREATE TRIGGER earlier BEFORE INSERT ON shop_item FOR EACH ROW PRECEDES by_hand SET NEW.weight = NEW.weight + 0",
    ),
    mutation("views", "view", "CREATE VIEW seen AS SELECT id, size FROM shop_item"),
    mutation(
        "views",
        "view with options",
        "CREATE ALGORITHM = MERGE SQL SECURITY INVOKER VIEW seen AS SELECT id, size FROM shop_item WHERE size > 0 WITH LOCAL CHECK OPTION",
    ),
]

SQLITE = [
    mutation(SEEN, "type", Rewrite('"weight" integer', '"weight" bigint')),
    mutation(SEEN, "type of another family", Rewrite('"note" text', '"note" varchar(500)')),
    mutation(SEEN, "length", Rewrite('"tag" varchar(9)', '"tag" varchar(30)')),
    mutation(SEEN, "digits", Rewrite('"price" decimal', '"price" decimal(12, 3)')),
    mutation(SEEN, "no type", Rewrite('"note" text', '"note"')),
    mutation(KEPT, "default", Rewrite('"told" integer NOT NULL', '"told" integer NOT NULL DEFAULT 5')),
    mutation(
        KEPT,
        "default by an expression",
        Rewrite('"told" integer NOT NULL', '"told" integer NOT NULL DEFAULT (abs(-5))'),
    ),
    mutation(
        KEPT, "default of the time", Rewrite('"made" datetime NULL', '"made" datetime DEFAULT CURRENT_TIMESTAMP NULL')
    ),
    mutation(SEEN, "another default", Rewrite("DEFAULT 3", "DEFAULT 4")),
    mutation(SEEN, "no default", Rewrite("DEFAULT 3 ", "")),
    mutation(SEEN, "NULL allowed", Rewrite('"told" integer NOT NULL', '"told" integer NULL')),
    mutation(SEEN, "NULL forbidden", Rewrite('"made" datetime NULL', '"made" datetime NOT NULL')),
    mutation(
        "conflict clauses",
        "NOT NULL with a conflict clause",
        Rewrite('"told" integer NOT NULL', '"told" integer NOT NULL ON CONFLICT IGNORE'),
    ),
    mutation(
        "names of NOT NULL constraints",
        "NOT NULL with a name",
        Rewrite('"told" integer NOT NULL', '"told" integer CONSTRAINT always NOT NULL'),
    ),
    mutation(KEPT, "collation", Rewrite('"name" varchar(20)', '"name" varchar(20) COLLATE NOCASE')),
    mutation(SEEN, "another collation", Rewrite("COLLATE BINARY", "COLLATE RTRIM")),
    mutation("COLLATE BINARY", "collation BINARY", Rewrite('"name" varchar(20)', '"name" varchar(20) COLLATE BINARY')),
    mutation(SEEN, "expression", Rewrite('"size" * 2', '"size" * 3')),
    mutation(SEEN, "no expression", Rewrite('GENERATED ALWAYS AS (("size" * 2)) STORED', "")),
    mutation(SEEN, "virtual", Rewrite("STORED", "VIRTUAL")),
    mutation(
        "the order of columns",
        "order of columns",
        Rewrite('"note" text NULL, "made" datetime NULL', '"made" datetime NULL, "note" text NULL'),
    ),
    mutation(KEPT, "another column", f"{ITEM}ADD COLUMN by_hand integer DEFAULT 3 CHECK (by_hand < 9)"),
    mutation(
        KEPT,
        "another column with everything",
        f"{ITEM}ADD COLUMN by_hand varchar(9) COLLATE NOCASE DEFAULT NULL CONSTRAINT named CHECK (by_hand <> 'y') REFERENCES shop_shelf (code) ON UPDATE CASCADE",
    ),
    mutation(
        KEPT, "another generated column", f"{ITEM}ADD COLUMN by_hand integer GENERATED ALWAYS AS (size + 1) VIRTUAL"
    ),
    mutation(SEEN, "column by another name", f"{ITEM}RENAME COLUMN flag TO flagged"),
    mutation(SEEN, "no column", f"{ITEM}DROP COLUMN flag"),
    # the primary key
    mutation(SEEN, "no AUTOINCREMENT", Rewrite("PRIMARY KEY AUTOINCREMENT", "PRIMARY KEY")),
    mutation(
        "conflict clauses",
        "key with a conflict clause",
        Rewrite("PRIMARY KEY AUTOINCREMENT", "PRIMARY KEY ON CONFLICT REPLACE AUTOINCREMENT"),
    ),
    mutation(SEEN, "key with an order", Rewrite("PRIMARY KEY AUTOINCREMENT", "PRIMARY KEY DESC", table="shop_log")),
    mutation(
        "names of primary keys",
        "key with a name",
        Rewrite("PRIMARY KEY AUTOINCREMENT", "CONSTRAINT main PRIMARY KEY AUTOINCREMENT"),
    ),
    mutation(SEEN, "no primary key", Rewrite("PRIMARY KEY AUTOINCREMENT", "UNIQUE", table="shop_log")),
    mutation("the next number", "next number", "UPDATE sqlite_sequence SET seq = 5000 WHERE name = 'shop_item'"),
    # options
    mutation("`STRICT`", "STRICT", Rewrite("", "", table="shop_log", suffix=" STRICT")),
    mutation(
        SEEN,
        "WITHOUT ROWID",
        Rewrite("PRIMARY KEY AUTOINCREMENT", "PRIMARY KEY", table="shop_log", suffix=" WITHOUT ROWID"),
    ),
    # constraints
    mutation(
        KEPT,
        "check",
        Rewrite('CONSTRAINT "weight_check"', 'CONSTRAINT by_hand CHECK (size > 0), CONSTRAINT "weight_check"'),
    ),
    mutation(
        KEPT,
        "check without a name",
        Rewrite('CONSTRAINT "weight_check"', 'CHECK (size > 0), CONSTRAINT "weight_check"'),
    ),
    mutation(
        KEPT,
        "check of a column",
        Rewrite('"name" varchar(20) NOT NULL', "\"name\" varchar(20) NOT NULL CHECK (name <> 'zz')"),
    ),
    mutation(
        "conflict clauses",
        "check with a conflict clause",
        Rewrite('CHECK ("weight" >= 0)', 'CHECK ("weight" >= 0) ON CONFLICT FAIL'),
    ),
    mutation(SEEN, "no check", Rewrite(', CONSTRAINT "weight_check" CHECK ("weight" >= 0)', "")),
    mutation(SEEN, "no check of a column", Rewrite(' CHECK ("positive" >= 0)', "")),
    mutation(SEEN, "another check", Rewrite('CHECK ("weight" >= 0)', 'CHECK ("weight" >= -5)')),
    mutation(SEEN, "check by another name", Rewrite('"weight_check"', '"another"')),
    mutation(
        KEPT, "unique", Rewrite('CONSTRAINT "one_name"', 'CONSTRAINT by_hand UNIQUE (coded), CONSTRAINT "one_name"')
    ),
    mutation(KEPT, "unique of a column", Rewrite('"coded" varchar(9)', '"coded" varchar(9) UNIQUE')),
    mutation(
        KEPT,
        "unique with a collation",
        Rewrite(
            'CONSTRAINT "one_name"',
            'CONSTRAINT by_hand UNIQUE (coded COLLATE NOCASE DESC, size), CONSTRAINT "one_name"',
        ),
    ),
    mutation(
        "conflict clauses",
        "declared unique with a conflict clause",
        Rewrite('UNIQUE ("name", "size")', 'UNIQUE ("name", "size") ON CONFLICT REPLACE'),
    ),
    mutation(SEEN, "no unique", Rewrite(', CONSTRAINT "one_name" UNIQUE ("name", "size")', "")),
    mutation(SEEN, "unique by another name", Rewrite('"one_name"', '"another"')),
    mutation(
        SEEN, "declared unique over other columns", Rewrite('UNIQUE ("name", "size")', 'UNIQUE ("name", "weight")')
    ),
    mutation(
        SEEN,
        "declared unique with a collation",
        Rewrite('UNIQUE ("name", "size")', 'UNIQUE ("name" COLLATE NOCASE, "size")'),
    ),
    mutation(SEEN, "declared unique with an order", Rewrite('UNIQUE ("name", "size")', 'UNIQUE ("name" DESC, "size")')),
    # foreign keys
    mutation(
        KEPT,
        "on delete",
        Rewrite('REFERENCES "shop_shelf" ("code")', 'REFERENCES "shop_shelf" ("code") ON DELETE CASCADE'),
    ),
    mutation(
        "`ON UPDATE` and `MATCH`",
        "on update",
        Rewrite('REFERENCES "shop_shelf" ("code")', 'REFERENCES "shop_shelf" ("code") ON UPDATE CASCADE'),
    ),
    mutation(
        "`ON UPDATE` and `MATCH`",
        "match full",
        Rewrite('REFERENCES "shop_shelf" ("code")', 'REFERENCES "shop_shelf" ("code") MATCH FULL'),
    ),
    mutation(SEEN, "foreign key not deferrable", Rewrite(" DEFERRABLE INITIALLY DEFERRED", "")),
    mutation(SEEN, "foreign key immediate", Rewrite("INITIALLY DEFERRED", "INITIALLY IMMEDIATE")),
    mutation(
        "generated names",
        "foreign key with a name",
        Rewrite('REFERENCES "shop_shelf"', 'CONSTRAINT to_shelf REFERENCES "shop_shelf"'),
    ),
    mutation(SEEN, "no foreign key", Rewrite(' REFERENCES "shop_shelf" ("code") DEFERRABLE INITIALLY DEFERRED', "")),
    mutation(
        KEPT,
        "another foreign key",
        Rewrite(
            'CONSTRAINT "weight_check"',
            'CONSTRAINT by_hand FOREIGN KEY (size) REFERENCES shop_shelf (id) ON DELETE SET NULL ON UPDATE RESTRICT, CONSTRAINT "weight_check"',
        ),
    ),
    # indexes
    *(
        mutation(KEPT, f"index {name}", f"CREATE {sql}")
        for name, sql in {
            "plain": "INDEX by_hand ON shop_item (size)",
            "order": "INDEX by_hand ON shop_item (size DESC, weight)",
            "collation": "INDEX by_hand ON shop_item (name COLLATE NOCASE)",
            "where": "INDEX by_hand ON shop_item (size) WHERE weight > 1",
            "unique": "UNIQUE INDEX by_hand ON shop_item (lower(name)) WHERE size > 0",
            "expression": "INDEX by_hand ON shop_item (size + weight, upper(name))",
        }.items()
    ),
    mutation(SEEN, "no index", "DROP INDEX by_weight"),
    mutation(SEEN, "index by another name", "DROP INDEX by_weight", "CREATE INDEX another ON shop_item (weight)"),
    mutation(
        "generated names",
        "generated name of an index",
        "DROP INDEX shop_item_tag_5f61f145",
        "CREATE INDEX another ON shop_item (tag)",
    ),
    *(
        mutation(SEEN, f"declared index {name}", "DROP INDEX by_weight", f"CREATE {sql}")
        for name, sql in {
            "over another column": "INDEX by_weight ON shop_item (size)",
            "order": "INDEX by_weight ON shop_item (weight DESC)",
            "where": "INDEX by_weight ON shop_item (weight) WHERE weight > 1",
            "unique": "UNIQUE INDEX by_weight ON shop_item (weight)",
            "collation": "INDEX by_weight ON shop_item (weight COLLATE NOCASE)",
        }.items()
    ),
    # triggers, views
    mutation(
        "triggers",
        "trigger",
        "CREATE TRIGGER by_hand AFTER INSERT ON shop_item WHEN NEW.size > 5 BEGIN UPDATE shop_log SET number = 2; END",
    ),
    mutation(
        "triggers",
        "trigger of some columns",
        "CREATE TRIGGER by_hand BEFORE UPDATE OF size, weight ON shop_item BEGIN SELECT raise(ABORT, 'x') WHERE NEW.size = 99; END",
    ),
    mutation("views", "view", "CREATE VIEW seen AS SELECT id, size FROM shop_item"),
    mutation(
        "views",
        "trigger of a view",
        "CREATE VIEW seen AS SELECT id, size FROM shop_item",
        "CREATE TRIGGER by_hand INSTEAD OF INSERT ON seen BEGIN INSERT INTO shop_log (number) VALUES (1); END",
    ),
]

MUTATIONS = {"sqlite": SQLITE, "postgresql": POSTGRESQL, "mariadb": MARIADB}
