"""Fingerprints of the tables of MariaDB and MySQL: digests of what SHOW CREATE TABLE prints."""

from __future__ import annotations

import re
from collections.abc import Collection

from django.db.utils import ProgrammingError

from automigrate_ext.backends.fingerprint import HISTORY, UNCOVERED, Fingerprints, Look, short
from automigrate_ext.backends.mysql.faults import NO_SUCH_TABLE, code_of
from automigrate_ext.backends.mysql.server import server_of
from automigrate_ext.backends.mysql.show import results, show_statement

NAMES = "SELECT table_name FROM information_schema.tables WHERE table_schema = DATABASE()"
SETTINGS = "SELECT {variables}"
RECORD = """
SELECT name, owner, SHA2(objects_owned, 256), CASE WHEN name IN ({notes}) THEN objects_owned END
FROM automigrate_ext_owned WHERE owner <> '' OR name NOT LIKE '{history}%'
"""
#: The variables that describe the database and the server; those that concern definitions are the server's own.
VARIABLES = ("version", "character_set_database", "collation_database", "lower_case_table_names")
# The number of the next row depends on the rows. Line breaks in comments are printed as two characters, so that the
# line of the table's options is the only one that begins with a bracket.
NEXT_NUMBER = re.compile(r"(\n\)[^\n']* ENGINE=\w+) AUTO_INCREMENT=\d+")
# A literal with the mark that MariaDB prints in place of characters beyond the Basic Multilingual Plane, as the default
# of a column or a value of enum or set; see `spelling`. Comments, which come last, are stored as they are printed.
DOUBTFUL = re.compile(r"^ +`(?:[^`]|``)*` (?:(?! COMMENT ')[^\n])*?'(?:[^'\n]|'')*[?]", re.MULTILINE)


class MySQLFingerprints(Fingerprints):
    """Fingerprints of the tables of one database."""

    def read(self, names: Collection[str], notes: Collection[str]) -> Look | None:
        try:
            return self.read_all(names, notes)
        except ProgrammingError as error:
            # Tables that need not be there are rare, and asking for their names first would cost a message.
            if code_of(error) != NO_SUCH_TABLE:
                raise
        there = self.existing()
        return self.read_all([name for name in names if self.fold(name) in there], notes)

    def read_all(self, names: Collection[str], notes: Collection[str]) -> Look | None:
        """Return what is there now, where all the tables exist. Raises `DatabaseError`."""
        shown = (show_statement(self.connection, name) for name in names)
        found = results(self.connection, [self.settings(), self.record(notes), *shown])
        (settings,) = next(found)
        recorded = next(found)
        owners = [
            f"{name} {owner} {digest}" for name, owner, digest, _ in recorded if owner or not name.startswith(UNCOVERED)
        ]
        texts = {name: text for name, ((_, text, *_),) in zip(names, found, strict=True)}
        if any(map(DOUBTFUL.search, texts.values())):
            return None
        return Look(
            tables={name: digest_of(text) for name, text in texts.items()},
            surroundings=short(map(str, settings)),
            record=short(sorted(owners)),
            notes={name: text for name, _, _, text in recorded if text is not None},
        )

    def existing(self) -> frozenset[str]:
        """Return the names of all tables, folded."""
        with self.connection.cursor() as cursor:
            cursor.execute(NAMES)
            return frozenset(self.fold(name) for (name,) in cursor.fetchall())

    def fold(self, name: str) -> str:
        """Return a form of a table's name that is the same for all spellings that the server treats as one."""
        return name.lower() if self.connection.features.ignores_table_name_case else name

    def settings(self) -> str:
        """Return the query for the settings on which it depends what the server makes of a definition."""
        names = (*VARIABLES, *server_of(self.connection).definition_settings)
        return SETTINGS.format(variables=", ".join(f"@@{name}" for name in names))

    def record(self, notes: Collection[str]) -> str:
        """Return the query for the record. The names of notes are the package's own, without quotes in them."""
        return RECORD.format(notes=", ".join(f"'{name}'" for name in notes) or "NULL", history=HISTORY)


def digest_of(text: str) -> str:
    """Return a digest of what SHOW CREATE TABLE prints, but for the number of the next row."""
    return short([NEXT_NUMBER.sub(r"\1", text, count=1)])
