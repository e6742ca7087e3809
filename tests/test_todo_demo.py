"""The demo project: its models, and what its page does."""

import os
import subprocess
import sys

import pytest
from django.apps import apps
from django.test import Client

from automigrate_ext import autoupdate
from tests.demo import ROOT, Demo
from tests.several import databases
from todo_demo.todo.models import Todo, TodoList


def test_models():
    assert {model.__name__ for model in apps.get_app_config("todo").get_models()} == {
        "Todo",
        "TodoList",
        "TodoListImage",
    }


@pytest.fixture
def client(settings, django_db_blocker, tmp_path):
    """Return a visitor of the demo's page, which has a new database."""
    settings.ROOT_URLCONF = "todo_demo.todo.urls"
    settings.STATIC_URL = "static/"
    settings.TEMPLATES = [{"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True}]
    file = {"ENGINE": "django.db.backends.sqlite3", "NAME": tmp_path / "db.sqlite3"}
    with databases(django_db_blocker, {"default": file}):
        autoupdate("todo")
        yield Client()


def send(client, path, **fields):
    """Send a form; return the address that it leads to."""
    response = client.post(path, fields)
    assert response.status_code == 302
    return response["Location"]


def test_todo_is_added_ticked_and_deleted(client):
    assert "Nothing to do here." in client.get("/").content.decode()
    assert send(client, "/add/", title=" Buy <milk> ") == "/"
    todo = Todo.objects.get()
    assert (todo.title, todo.is_complete, todo.todo_list) == ("Buy <milk>", False, None)
    assert "Buy &lt;milk&gt;" in client.get("/").content.decode()
    for complete in (True, False):
        assert send(client, f"/todos/{todo.pk}/tick/") == "/"
        todo.refresh_from_db()
        assert todo.is_complete is complete
        assert f'aria-checked="{str(complete).lower()}"' in client.get("/").content.decode()
    assert send(client, f"/todos/{todo.pk}/delete/") == "/"
    assert not Todo.objects.exists()


def test_todo_on_a_list(client):
    assert send(client, "/lists/add/", title="Home") == "/lists/1/"
    home = TodoList.objects.get()
    assert send(client, "/lists/1/add/", title="Sweep") == "/lists/1/"
    assert send(client, "/lists/1/add/", title="   ") == "/lists/1/"
    todo = home.todos.get()
    assert send(client, f"/todos/{todo.pk}/tick/") == "/lists/1/"
    assert "Sweep" not in client.get("/").content.decode()
    assert send(client, f"/todos/{todo.pk}/delete/") == "/lists/1/"
    assert send(client, "/lists/1/delete/") == "/"
    assert not TodoList.objects.exists()
    assert send(client, "/lists/add/", title="") == "/"


def test_page_counts_what_is_open(client):
    home = TodoList.objects.create(title="Home")
    Todo.objects.create(title="one", todo_list=home)
    Todo.objects.create(title="two", todo_list=home, is_complete=True)
    page = client.get(f"/lists/{home.pk}/").content.decode()
    assert '<span class="count">1<' in page and page.index("one") < page.index("two")


@pytest.mark.parametrize(("debug", "made"), [("0", True), ("1", False)])
def test_tables_are_made_by_the_start_where_debug_is_off(sqlite, debug, made):
    sqlite.close()
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "todo_demo.settings",
        "DATABASE_URL": f"sqlite:///{sqlite.settings_dict['NAME']}",
    }
    subprocess.run(
        [sys.executable, "-c", "import todo_demo.wsgi"],
        cwd=ROOT,
        env={**environment, "DEBUG": debug},
        check=True,
        timeout=60,
    )
    assert ("todo_todo" in sqlite.introspection.table_names()) is made


def test_tables_of_images_are_made_by_their_first_query(sqlite, tmp_path):
    sqlite.close()
    demo = Demo(tmp_path, f"sqlite:///{sqlite.settings_dict['NAME']}")
    printed = demo.run("shell", "-c", "print(TodoListImage.objects.count(), 'images')")
    assert printed.endswith("0 images\n"), printed
    made = {name for name in sqlite.introspection.table_names() if name.startswith("todo_")}
    assert made == {"todo_todolistimage", "todo_todolist"}


def test_what_is_not_there_or_no_form(client):
    assert client.get("/lists/7/").status_code == client.post("/todos/7/tick/").status_code == 404
    assert client.get("/add/").status_code == 405
    assert client.post("/").status_code == 405
