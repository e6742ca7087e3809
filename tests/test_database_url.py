"""The URLs of the servers that tests use, as entries of DATABASES."""

import pytest
from django.core.exceptions import ImproperlyConfigured

from tests.database_url import parse_database_url

POSTGRESQL = {
    "ENGINE": "django.db.backends.postgresql",
    "NAME": "name",
    "USER": "",
    "PASSWORD": "",
    "HOST": "",
    "PORT": "",
    "OPTIONS": {},
}
MYSQL = POSTGRESQL | {"ENGINE": "django.db.backends.mysql"}
SQLITE = {"ENGINE": "django.db.backends.sqlite3", "NAME": "db.sqlite3", "OPTIONS": {}}


@pytest.mark.parametrize(
    ("url", "entry"),
    [
        ("postgresql:///name", POSTGRESQL),
        ("postgres://host/name", POSTGRESQL | {"HOST": "host"}),
        (
            "postgresql://us%40er:p%2Fss%3A@host:5433/na%20me?sslmode=require",
            {
                **POSTGRESQL,
                "NAME": "na me",
                "USER": "us@er",
                "PASSWORD": "p/ss:",
                "HOST": "host",
                "PORT": "5433",
                "OPTIONS": {"sslmode": "require"},
            },
        ),
        ("postgresql://user@/name?host=/run/PG", POSTGRESQL | {"USER": "user", "HOST": "/run/PG"}),
        ("postgresql://[::1]:5433/name", POSTGRESQL | {"HOST": "::1", "PORT": "5433"}),
        ("mysql:///name", MYSQL),
        ("mariadb://host/name", MYSQL | {"HOST": "host"}),
        (
            "mysql://us%40er:p%2Fss%3A@host:3307/na%20me?charset=utf8mb4&connect_timeout=5",
            {
                **MYSQL,
                "NAME": "na me",
                "USER": "us@er",
                "PASSWORD": "p/ss:",
                "HOST": "host",
                "PORT": "3307",
                "OPTIONS": {"charset": "utf8mb4", "connect_timeout": 5},
            },
        ),
        ("mysql://user@/name?unix_socket=/run/my.sock", MYSQL | {"USER": "user", "HOST": "/run/my.sock"}),
        ("sqlite:///db.sqlite3", SQLITE),
        ("sqlite:////srv/a%20b.sqlite3", SQLITE | {"NAME": "/srv/a b.sqlite3"}),
        ("sqlite:///:memory:", SQLITE | {"NAME": ":memory:"}),
        (
            "sqlite:///db.sqlite3?transaction_mode=IMMEDIATE",
            {**SQLITE, "OPTIONS": {"transaction_mode": "IMMEDIATE"}},
        ),
        (
            "sqlite:///db.sqlite3?timeout=2.5&cached_statements=9",
            {**SQLITE, "OPTIONS": {"timeout": 2.5, "cached_statements": 9}},
        ),
    ],
)
def test_database_url(url, entry):
    assert parse_database_url(url) == entry


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("mongodb://host/name", "Unknown scheme 'mongodb'"),
        ("db.sqlite3", "Unknown scheme ''"),
        ("postgresql://host/", "names no database"),
        ("mysql://host/", "names no database"),
        ("mysql://host:port/name", "port of the database URL is not valid"),
        ("postgresql://host:port/name", "port of the database URL is not valid"),
        ("sqlite://db.sqlite3", "three slashes"),
        ("sqlite:///", "names no file"),
        ("sqlite:///db.sqlite3?timeout=abc", "option timeout=abc of the database URL .* number"),
        ("sqlite:///db.sqlite3?timeout=", "option timeout= of"),
        ("mysql://host/name?connect_timeout=1.5", r"option connect_timeout=1\.5 of"),
        ("mysql://host/name?read_timeout=abc", "option read_timeout=abc of"),
    ],
)
def test_database_url_that_makes_no_sense(url, message):
    with pytest.raises(ImproperlyConfigured, match=message):
        parse_database_url(url)
