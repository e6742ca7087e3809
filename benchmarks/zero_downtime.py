"""The migrations of `benchmarks.online` by django-pg-zero-downtime-migrations: `python zero_downtime.py DATABASE_URL`.

A process of its own, as the package replaces Django's schema editor, with a Python that may be that of another
environment. It prints the seconds that the operations took.
"""

import sys
import time
from urllib.parse import parse_qsl, unquote, urlsplit

import django
from django.conf import settings
from django.db import connection, migrations, models
from django.db.migrations.state import ProjectState
from django.db.models import Q

TEXT = models.CharField(max_length=20)
BEFORE = [
    migrations.CreateModel("Group", [("id", models.BigAutoField(primary_key=True)), ("name", TEXT)]),
    migrations.CreateModel(
        "Item",
        [
            ("id", models.BigAutoField(primary_key=True)),
            ("name", models.CharField(max_length=20, null=True)),
            ("size", models.IntegerField()),
            ("code", TEXT),
            ("group", models.ForeignKey("shop.Group", models.CASCADE, db_constraint=False, db_index=False)),
        ],
    ),
]
OPERATIONS = [
    migrations.AddField("Item", "rank", models.IntegerField(default=0, db_default=0)),
    migrations.AddIndex("Item", models.Index(fields=["size"], name="by_size")),
    migrations.AddConstraint("Item", models.CheckConstraint(condition=Q(size__gt=0), name="positive")),
    migrations.AddConstraint("Item", models.UniqueConstraint(fields=["code"], name="one_code")),
    migrations.AlterField("Item", "name", models.CharField(max_length=20, default="none")),
    migrations.AlterField("Item", "group", models.ForeignKey("shop.Group", models.CASCADE, db_index=False)),
]


def entry(url: str) -> dict[str, object]:
    """Return the database of a URL as an entry of DATABASES."""
    parts = urlsplit(url)
    return {
        "ENGINE": "django_zero_downtime_migrations.backends.postgres",
        "NAME": unquote(parts.path[1:]),
        "USER": parts.username or "",
        "PASSWORD": parts.password or "",
        "HOST": parts.hostname or "",
        "PORT": str(parts.port or ""),
        "OPTIONS": {name: value for name, value in parse_qsl(parts.query) if name != "user"},
        **({"USER": dict(parse_qsl(parts.query))["user"]} if "user" in dict(parse_qsl(parts.query)) else {}),
    }


def main() -> None:
    settings.configure(
        DATABASES={"default": entry(sys.argv[1])},
        USE_TZ=True,
        ZERO_DOWNTIME_MIGRATIONS_LOCK_TIMEOUT="2s",
        ZERO_DOWNTIME_MIGRATIONS_FLEXIBLE_STATEMENT_TIMEOUT=True,
        ZERO_DOWNTIME_MIGRATIONS_USE_NOT_NULL=True,
    )
    django.setup()
    state = ProjectState()
    for operation in BEFORE:
        operation.state_forwards("shop", state)
    connection.ensure_connection()
    start = time.perf_counter()
    for operation in OPERATIONS:
        after = state.clone()
        operation.state_forwards("shop", after)
        with connection.schema_editor(atomic=False) as editor:
            operation.database_forwards("shop", editor, state, after)
        state = after
    print(time.perf_counter() - start)


if __name__ == "__main__":
    main()
