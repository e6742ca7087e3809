"""The ways in which the servers differ that this backend serves: MariaDB and MySQL."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from django.db.backends.base.base import BaseDatabaseWrapper

DEFINITION_SETTINGS = (
    "innodb_strict_mode", "default_storage_engine", "explicit_defaults_for_timestamp", "collation_connection"
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """What one of the servers does in a way of its own."""

    #: The collation by which no two names are the same, not even where spaces at their end differ.
    record_collation: str
    #: Further variables of a session.
    settings: Mapping[str, str | int] = field(default_factory=dict)
    #: The variables of a session on which it depends what the server makes of a definition.
    definition_settings: tuple[str, ...]
    #: The variable that ends long statements, the number of its units in a second, and its greatest value.
    time_limit: tuple[str, int, int]
    #: Whether the server parses the statement of a trigger again where it is asked to, which shows what that misses.
    rereads_triggers: bool
    #: Whether texts without a length have expressions as defaults, and no literals.
    defaults_in_brackets: bool
    #: Whether no column is renamed that a check, another column or an index over an expression reads.
    names_are_fixed: bool
    #: Whether a column that a foreign key leads from or to cannot become a numbered one, or cease to be.
    keys_fix_numbering: bool
    #: Whether no two tables of a database have checks of one name, and a check without is named after its table.
    checks_share_names: bool
    #: Whether a check is printed with its constants computed, once its table was copied.
    folds_checks: bool
    #: Whether the server stores what a document of JSON holds, and not how it is written.
    parses_json: bool
    #: Whether the conditions of `plain` have been compared with the server's conversions; MySQL's regular expressions
    #: are those of another library.
    proves_plainly: bool


MARIADB = Server(
    record_collation="utf8mb4_nopad_bin",
    settings={"check_constraint_checks": 1},
    definition_settings=(*DEFINITION_SETTINGS, "system_versioning_alter_history"),
    # Source: https://mariadb.com/kb/en/aborting-statements/
    time_limit=("max_statement_time", 1, 31_536_000),
    rereads_triggers=True,
    defaults_in_brackets=False,
    names_are_fixed=False,
    keys_fix_numbering=False,
    checks_share_names=False,
    folds_checks=False,
    parses_json=False,
    proves_plainly=True,
)
# Sources: https://dev.mysql.com/doc/refman/8.4/en/ alter-table.html, create-table-check-constraints.html,
# create-table-foreign-keys.html, data-type-defaults.html and server-system-variables.html, and errors 1832, 1833, 3108,
# 3774, 3822, 3837 and 3959 of a server of version 9.7.
MYSQL = Server(
    record_collation="utf8mb4_0900_bin",
    definition_settings=(*DEFINITION_SETTINGS, "sql_require_primary_key", "sql_generate_invisible_primary_key"),
    time_limit=("max_execution_time", 1000, 2**32 - 1),
    rereads_triggers=False,
    defaults_in_brackets=True,
    names_are_fixed=True,
    keys_fix_numbering=True,
    checks_share_names=True,
    folds_checks=True,
    parses_json=True,
    proves_plainly=False,
)


def server_of(connection: BaseDatabaseWrapper) -> Server:
    """Return the kind of server that a connection leads to."""
    return MARIADB if connection.mysql_is_mariadb else MYSQL  # type: ignore[attr-defined]
