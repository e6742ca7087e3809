"""Servers that speak as PostgreSQL or MySQL do, and are others: their catalogs, locks and transactions differ."""

from __future__ import annotations

from automigrate_ext.exceptions import UnsupportedDatabase

#: What the versions of such servers have in them, in small letters.
OTHERS = {
    "tidb": "TiDB",
    "vitess": "Vitess",
    "oceanbase": "OceanBase",
    "cockroachdb": "CockroachDB",
    "-yb-": "YugabyteDB",
    "redshift": "Redshift",
    "greenplum": "Greenplum",
    "materialize": "Materialize",
    "risingwave": "RisingWave",
    "opengauss": "openGauss",
    "gaussdb": "GaussDB",
}
#: What the version of each PostgreSQL has in it, whoever built it; Aurora DSQL has "PostgreSQL 16" and no more.
POSTGRESQL = ("PostgreSQL ", "compiled by ")

REFUSAL = (
    "Database {alias!r} is {name} ({version}), which has the protocol of {kind} and keeps its tables in another way. "
    "Nothing was done. Use migrations there, or give it an ENGINE of its own for which a package provides a backend; "
    "that may be the generic one (docs/backends.md)."
)


def other_than_mysql(version: str) -> str:
    """Return the name of a server with this version that is neither MariaDB nor MySQL; "" for these."""
    return named(version)


def other_than_postgresql(version: str) -> str:
    """Return the name of a server with this version that is not PostgreSQL; "" for that."""
    is_it = version.startswith(POSTGRESQL[0]) and POSTGRESQL[1] in version
    return named(version) or ("" if is_it else "no PostgreSQL")


def named(version: str) -> str:
    """Return the name of another server that a version has in it; "" where there is none."""
    return next((name for mark, name in OTHERS.items() if mark in version.lower()), "")


def refuse_other(alias: str, name: str, version: str, kind: str) -> None:
    """Raise `UnsupportedDatabase` where there is a name of a server that only speaks as one of our kinds does."""
    if name:
        raise UnsupportedDatabase(REFUSAL.format(alias=alias, name=name, version=version, kind=kind))
