"""Read a database URL, as in the environment variable DATABASE_URL, into an entry of DATABASES."""

from typing import Any
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from django.core.exceptions import ImproperlyConfigured


def parse_database_url(url: str) -> dict[str, Any]:
    """Return the entry of DATABASES for ``url``; raise ImproperlyConfigured where it makes no sense.

    ``postgresql://user:password@host:port/name?option=value`` and ``sqlite:///relative/path`` or
    ``sqlite:////absolute/path``; reserved characters are percent-encoded.
    """
    parts = urlsplit(url)
    match parts.scheme:
        case "postgresql" | "postgres":
            return _postgresql(parts)
        case "sqlite":
            return _sqlite(parts)
        case _:
            raise ImproperlyConfigured(
                f"Unknown scheme {parts.scheme!r} in the database URL: use postgresql:// or sqlite:///"
            )


def _postgresql(parts: SplitResult) -> dict[str, Any]:
    try:
        port = parts.port
    except ValueError as error:
        raise ImproperlyConfigured(f"The port of the database URL is not valid: {error}") from error
    name = unquote(parts.path.removeprefix("/"))
    if not name:
        raise ImproperlyConfigured("The database URL names no database: postgresql://host/NAME")
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    host = options.pop("host", "")
    query_port = options.pop("port", "")
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": name,
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        # A Unix socket is named by its directory, as libpq does it: ?host=/directory.
        "HOST": parts.hostname or host,
        "PORT": str(port or query_port),
        "OPTIONS": options,
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
        "OPTIONS": dict(parse_qsl(parts.query, keep_blank_values=True)),
    }
