"""The page of past runs in Django's admin: who sees it, what it shows, and that nothing is made for it."""

import pytest
from django.apps import apps
from django.contrib import admin
from django.contrib.auth.models import Permission, User
from django.contrib.contenttypes.models import ContentType
from django.core.management import call_command
from django.db import connections
from django.test import Client, override_settings

from automigrate_ext import autoupdate, history, is_actual
from automigrate_ext.run.record_table import TABLE, RecordTable
from tests.several import databases, memory, tables
from todo_demo import settings as demo

PAGE = "/admin/automigrate_ext/pastrun/"


@pytest.fixture
def site(django_db_blocker, tmp_path):
    """The demo project with its admin and a second database; yields a function that logs somebody in."""
    entries = {alias: {**memory(), "NAME": str(tmp_path / f"{alias}.sqlite3")} for alias in ("default", "logs")}
    with (
        override_settings(
            INSTALLED_APPS=demo.INSTALLED_APPS,
            MIDDLEWARE=demo.MIDDLEWARE[1:],
            ROOT_URLCONF="todo_demo.urls",
            TEMPLATES=demo.TEMPLATES,
            STATIC_URL="static/",
        ),
        databases(django_db_blocker, entries),
    ):
        autoupdate()

        def log_in(**rights):
            client = Client()
            client.force_login(User.objects.create(username="somebody", is_staff=True, **rights))
            return client

        yield log_in


def test_page(site):
    client = site(is_superuser=True)
    (run,) = history()
    page = client.get(PAGE)
    text = page.content.decode()
    assert page.status_code == 200 and "Past runs of database &#x27;default&#x27;" in text
    assert f"{run.began:%Y-%m-%d %H:%M:%S}" in text and run.ending in text and run.server in text
    assert "Create table todo_todo (" in text and "CREATE TABLE &quot;todo_todo&quot;" in text
    assert PAGE in client.get("/admin/").content.decode()
    assert client.get("/admin/automigrate_ext/").status_code == 200
    assert "No run is recorded." in client.get(PAGE, {"database": "logs"}).content.decode()
    assert client.get(PAGE, {"database": "nowhere"}).status_code == 404


def test_record_that_cannot_be_read(site):
    client = site(is_superuser=True)
    RecordTable("default").write_note("run 2026", "<b>")
    page = client.get(PAGE)
    assert page.status_code == 200 and "&#x27;run 2026&#x27; was not written by this package" in page.content.decode()


def test_nothing_can_be_changed(site):
    client = site(is_superuser=True)
    for address in ("add/", "1/change/", "1/delete/"):
        assert client.get(f"{PAGE}{address}").status_code == 404
    assert "automigrate_ext/pastrun/add" not in client.get("/admin/").content.decode()


def test_others_than_superusers_do_not_see_it(site):
    client = site()
    assert client.get(PAGE).status_code == 403
    assert PAGE not in client.get("/admin/").content.decode()
    assert Client().get(PAGE).status_code == 302


def test_nothing_is_made_for_it(site):
    model = next(model for model in admin.site._registry if model._meta.app_label == "automigrate_ext")
    assert model not in apps.get_models() and model._meta.db_table not in tables("default")
    assert not ContentType.objects.filter(app_label="automigrate_ext").exists()
    assert not Permission.objects.filter(codename__contains="pastrun").exists()
    assert is_actual() and not autoupdate(fingerprint=False)
    call_command("makemigrations", "--check", "automigrate_ext", verbosity=0)
    call_command("check")
    assert TABLE in connections["default"].introspection.table_names()
