"""Questions to the rows on MariaDB and MySQL."""

from __future__ import annotations

from collections.abc import Sequence

from automigrate_ext.backends.mysql import introspection
from automigrate_ext.backends.rows import RenamedRows


class MySQLRows(RenamedRows):
    """Asks the rows on MariaDB and MySQL."""

    def column_names(self, table: str) -> Sequence[str]:
        (text,) = introspection.read_texts(self.connection, [table])
        return [column.name for column in text.table.columns]
