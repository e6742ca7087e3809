"""Settings of the tests; the scratch databases are filled in by the fixtures of tests/conftest.py."""

from importlib.util import find_spec

SECRET_KEY = "tests"

USE_TZ = True

INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.postgres",
    "django.contrib.sessions",
    "django.contrib.sites",
    "automigrate_ext",
    "todo_demo.todo",
]

SITE_ID = 1

DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# The names of the scratch databases are deliberately of no use until a fixture has set them.
DATABASES = {
    "default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"},
    "sqlite_scratch": {"ENGINE": "django.db.backends.sqlite3", "NAME": "/nonexistent/sqlite_scratch"},
    "postgresql_scratch": {"ENGINE": "django.db.backends.postgresql", "NAME": "nonexistent"},
}

# Django makes the connections of all aliases where it sets up test databases, and so imports all their drivers.
if find_spec("MySQLdb"):
    DATABASES["mariadb_scratch"] = {"ENGINE": "django.db.backends.mysql", "NAME": "nonexistent"}
