"""Settings of the tests; the scratch databases are filled in by the fixtures of tests/conftest.py."""

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

# The names of the scratch databases are deliberately of no use until a fixture has set them. MariaDB's has an alias
# only while a test uses it: its driver need not be there, and Django's checks ask the server of every alias there is.
DATABASES = {
    "default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"},
    "sqlite_scratch": {"ENGINE": "django.db.backends.sqlite3", "NAME": "/nonexistent/sqlite_scratch"},
    "postgresql_scratch": {"ENGINE": "django.db.backends.postgresql", "NAME": "nonexistent"},
}
