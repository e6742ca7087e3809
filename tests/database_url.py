"""Read a database URL into an entry of DATABASES: also what dj-database-url leaves in OPTIONS, such as a host."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from django.core.exceptions import ImproperlyConfigured

#: The options that drivers take as numbers.
TYPES_OF_SQLITE = {"timeout": float, "cached_statements": int, "detect_types": int}
TYPES_OF_MYSQL = {"connect_timeout": int, "read_timeout": int, "write_timeout": int}


def parse_database_url(url: str) -> dict[str, Any]:
    """Return the entry of DATABASES for ``url``; raise ImproperlyConfigured where it makes no sense.

    ``postgresql://user:password@host:port/name?option=value``, the same with ``mysql://`` for MariaDB and MySQL, and
    ``sqlite:///relative/path`` or ``sqlite:////absolute/path``; reserved characters are percent-encoded.
    """
    parts = urlsplit(url)
    match parts.scheme:
        case "postgresql" | "postgres":
            return _postgresql(parts)
        case "mysql" | "mariadb":
            return _mysql(parts)
        case "sqlite":
            return _sqlite(parts)
        case _:
            raise ImproperlyConfigured(
                f"Unknown scheme {parts.scheme!r} in the database URL: use postgresql://, mysql:// or sqlite:///"
            )


def _postgresql(parts: SplitResult) -> dict[str, Any]:
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    # A Unix socket is named by its directory, as libpq does it: ?host=/directory.
    host = options.pop("host", "")
    port = options.pop("port", "")
    return {"ENGINE": "django.db.backends.postgresql", **_server(parts, host, port), "OPTIONS": options}


def _mysql(parts: SplitResult) -> dict[str, Any]:
    # mysqlclient takes its timeouts as numbers, and no number as text.
    options = _typed(parts, TYPES_OF_MYSQL)
    socket = options.pop("unix_socket", "")
    typed = {name: int(value) if str(value).isdecimal() else value for name, value in options.items()}
    return {"ENGINE": "django.db.backends.mysql", **_server(parts, socket), "OPTIONS": typed}


def _server(parts: SplitResult, other_host: str, other_port: str = "") -> dict[str, Any]:
    try:
        port = parts.port
    except ValueError as error:
        raise ImproperlyConfigured(f"The port of the database URL is not valid: {error}") from error
    name = unquote(parts.path.removeprefix("/"))
    if not name:
        raise ImproperlyConfigured(f"The database URL names no database: {parts.scheme}://host/NAME")
    return {
        "NAME": name,
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": parts.hostname or other_host,
        "PORT": str(port or other_port),
    }


def _sqlite(parts: SplitResult) -> dict[str, Any]:
    if parts.netloc:
        raise ImproperlyConfigured("A SQLite URL has three slashes before its path: sqlite:///db.sqlite3")
    name = unquote(parts.path.removeprefix("/"))
    if not name:
        raise ImproperlyConfigured("The database URL names no file: sqlite:///db.sqlite3")
    return {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": name,
        "OPTIONS": _typed(parts, TYPES_OF_SQLITE),
    }


def _typed(parts: SplitResult, types: Mapping[str, type]) -> dict[str, Any]:
    """Return the options of a URL, those that the driver takes as numbers as numbers."""
    options: dict[str, Any] = dict(parse_qsl(parts.query, keep_blank_values=True))
    for name, kind in types.items():
        try:
            options |= {name: kind(options[name])} if name in options else {}
        except ValueError as error:
            raise ImproperlyConfigured(
                f"The option {name}={options[name]} of the database URL is not valid: a number is expected"
            ) from error
    return options
