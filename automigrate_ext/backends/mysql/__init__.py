"""MariaDB and MySQL, through mysqlclient."""

from __future__ import annotations

from automigrate_ext.backends.mysql.backend import MySQLBackend

__all__ = ["MySQLBackend"]
