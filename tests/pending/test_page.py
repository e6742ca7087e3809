"""The pending page: when it compares databases, who gets what, and what its forms do."""

import base64
import hashlib
import re
import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from asgiref.sync import async_to_sync
from django.core.exceptions import DisallowedHost, MiddlewareNotUsed
from django.core.handlers.exception import convert_exception_to_response
from django.db import DatabaseError, OperationalError, connections, models
from django.http import HttpResponse
from django.test import RequestFactory
from django.test.utils import CaptureQueriesContext
from django.urls import set_script_prefix

from automigrate_ext import autoupdate, is_actual
from automigrate_ext.exceptions import NotConverged, UnsupportedDatabase
from automigrate_ext.middleware import PendingPageMiddleware, database_error
from automigrate_ext.pending import mismatches
from automigrate_ext.starts.checks import check_pending_page
from tests import seeds
from tests.pages import ACCEPT, Page, Visitor, entry_of
from tests.several import Homes, databases, execute, tables
from todo_demo.todo.models import Todo, TodoList

urlpatterns = []

NOWHERE = {"elsewhere"}
INVALID = 'aria-invalid="true"'


@pytest.fixture
def developing(settings, monkeypatch):
    """Set up a project in development whose databases have the tables of the demo's lists and nothing else."""
    settings.DEBUG = True
    settings.INTERNAL_IPS = ["127.0.0.1"]
    settings.ROOT_URLCONF = __name__
    settings.DATABASE_ROUTERS = ["tests.several.Homes"]
    monkeypatch.setattr(
        Homes, "homes", {"auth": NOWHERE, "contenttypes": NOWHERE, "sessions": NOWHERE, "sites": NOWHERE}
    )


@pytest.fixture
def empty(connection, developing, django_db_blocker):
    """Make an empty database the only one of the project."""
    connection.close()
    with databases(django_db_blocker, {"default": entry_of(connection)}):
        yield


@pytest.fixture
def built(empty):
    """Make the demo's tables and two rows in a database."""
    build()


@pytest.fixture
def on_sqlite(sqlite, developing, django_db_blocker):
    """Make the demo's tables and two rows in a database on SQLite."""
    sqlite.close()
    with databases(django_db_blocker, {"default": entry_of(sqlite)}):
        build()
        yield


def build():
    autoupdate()
    home = TodoList.objects.create(title="Home", color="green")
    Todo.objects.create(title="Buy milk", desc="two litres", todo_list=home)


def drift(*statements):
    """Change the database so that it no longer matches the models."""
    execute("default", *statements)


def quoted(name):
    return connections["default"].ops.quote_name(name)


def rename_desc():
    """Rename a column, in the record too, as if the models had had the other name."""
    drift(
        f"ALTER TABLE todo_todo RENAME COLUMN {quoted('desc')} TO old_text",
        "DELETE FROM automigrate_ext_owned",
    )


def add_legacy():
    """Add a column that no model has any more, with a value."""
    drift(
        "ALTER TABLE todo_todo ADD COLUMN legacy varchar(20) NULL",
        "UPDATE todo_todo SET legacy = 'kept'",
        "DELETE FROM automigrate_ext_owned",
    )


def columns():
    connection = connections["default"]
    with connection.cursor() as cursor:
        return {column.name for column in connection.introspection.get_table_description(cursor, "todo_todo")}


# What differs, and applying it


def test_missing_tables_are_shown_and_created(empty):
    visitor = Visitor()
    page = visitor.get("/lists/?a=1&b=2")
    assert page.status == 503 and not visitor.served
    assert "The database does not match the models" in page.words
    assert "+ Comes: Create table todo_todo (5 columns, 1 foreign key)" in page.words
    assert "3 to apply" in page.words and "CREATE TABLE" in page.words
    done = visitor.submit(page.form("Apply 3 changes"))
    assert (done.status, done.response["Location"]) == (303, "/lists/?a=1&b=2")
    assert is_actual()
    assert visitor.get().text == "served"


def test_what_holds_values_is_kept_until_the_box_is_ticked(built):
    add_legacy()
    drift("ALTER TABLE todo_todo DROP COLUMN is_complete")
    visitor = Visitor()
    page = visitor.get()
    assert "= Is kept: Keep column todo_todo.legacy (1 value)" in page.words
    assert "1 to apply 1 kept" in page.words
    losing = page.form("Apply 2 changes and lose data")
    unticked = visitor.submit(losing)
    assert unticked.status == 400 and "tick the box" in unticked.words
    assert "legacy" in columns() and "is_complete" not in columns()
    assert visitor.submit(unticked.form("lose data"), accept="on").status == 303
    assert "legacy" not in columns() and "is_complete" in columns()
    assert Todo.objects.get().is_complete is False


def test_applying_what_is_safe_keeps_the_rest(built):
    add_legacy()
    drift("ALTER TABLE todo_todo DROP COLUMN is_complete")
    visitor = Visitor()
    assert visitor.submit(visitor.get().form("Apply 1 change")).status == 303
    assert {"legacy", "is_complete"} <= columns()
    assert visitor.get().text == "served"


def test_hook_that_is_due_is_shown_and_run(on_sqlite, settings, monkeypatch):
    monkeypatch.setattr(seeds, "called", [])
    settings.AUTOMIGRATE = {"AFTER": ["tests.seeds.note"]}
    visitor = Visitor()
    page = visitor.get()
    assert "> Is run: Call tests.seeds.note after the tables" in page.words
    assert visitor.submit(page.form("Apply 1 hook")).status == 303
    assert seeds.called == ["default"]
    assert visitor.get().text == "served"


def test_rename_is_asked_for_and_carried_out(built):
    rename_desc()
    visitor = Visitor()
    page = visitor.get("/here/")
    assert "Was todo.Todo.old_text renamed?" in page.words and not page.has_form("Apply")
    answered = visitor.submit(page.form("renamed?"), **{"rename:todo.Todo.old_text": "desc"})
    assert "todo.Todo.old_text was renamed to desc" in answered.words
    assert "Rename column todo_todo.old_text to desc" in answered.words
    assert 'former_names = {"desc": "old_text"}' in answered.words
    done = visitor.submit(answered.form("Apply 1 change"))
    assert (done.status, done.response["Location"]) == (303, "/here/")
    assert Todo.objects.get().desc == "two litres" and is_actual()


def test_field_that_became_a_foreign_key_is_asked_for(on_sqlite):
    drift(
        "ALTER TABLE todo_todo ADD COLUMN todo_list integer",
        "UPDATE todo_todo SET todo_list = (SELECT min(id) FROM todo_todolist)",
        "DROP INDEX " + next(iter(index_names("todo_todo"))),
        "ALTER TABLE todo_todo DROP COLUMN todo_list_id",
        "DELETE FROM automigrate_ext_owned",
    )
    visitor = Visitor()
    page = visitor.get("/here/")
    assert "Was todo.Todo.todo_list renamed?" in page.words
    answered = visitor.submit(page.form("renamed?"), **{"rename:todo.Todo.todo_list": "todo_list_id"})
    assert "Rename column todo_todo.todo_list to todo_list_id" in answered.words
    assert 'former_names = {"todo_list_id": "todo_list"}' in answered.words
    assert visitor.submit(answered.form("Apply")).status == 303
    assert Todo.objects.get().todo_list is not None and is_actual()


def index_names(table):
    """Return the names of a table's indexes."""
    with connections["default"].cursor() as cursor:
        constraints = connections["default"].introspection.get_constraints(cursor, table)
    return [name for name, facts in constraints.items() if facts["index"]]


def test_rename_of_a_table_by_its_name_has_no_hint(on_sqlite):
    drift("ALTER TABLE todo_todolistimage RENAME TO picture")
    answer = {"database": "default", "rename:picture": "todo_todolistimage"}
    page = Visitor().get("/__automigrate_ext__/", answer)
    assert "Rename table picture to todo_todolistimage" in page.words and "former_names" not in page.words


def test_rename_that_is_denied(built):
    rename_desc()
    visitor = Visitor()
    answered = visitor.submit(visitor.get().form("renamed?"), **{"rename:todo.Todo.old_text": ""})
    assert "todo.Todo.old_text was not renamed" in answered.words
    assert visitor.submit(answered.form("Apply 1 change")).status == 303
    assert Todo.objects.get().desc == "" and "old_text" in columns()


def test_value_is_asked_for_where_rows_have_none(built):
    drift("ALTER TABLE todo_todo DROP COLUMN title")
    visitor = Visitor()
    page = visitor.get()
    assert "1 refused" in page.words and not page.has_form("Apply") and INVALID not in page.text
    assert "It takes a text of at most 200 characters." in page.words
    assert "--default" not in page.words and "Give the field a default, a db_default or null=True." in page.words
    wrong = visitor.submit(page.form("Value of"), **{"default:todo.Todo.title": "x" * 201})
    assert not wrong.has_form("Apply") and "As you answered" not in wrong.words
    field = wrong.form("Value of").html
    assert f'value="{"x" * 201}"' in field and INVALID in field and "has at most 200 characters" in field
    answered = visitor.submit(wrong.form("Value of"), **{"default:todo.Todo.title": "<b>"})
    assert "todo.Todo.title is <b> where rows have no value" in answered.words and "<b>" not in answered.text
    assert "python manage.py autoupdate --default 'todo.Todo.title=<b>'" in answered.words
    assert visitor.submit(answered.form("Apply 1 change")).status == 303
    assert Todo.objects.get().title == "<b>"


def test_wrong_value_stands_at_its_field_and_the_others_are_kept(on_sqlite, monkeypatch):
    drift("ALTER TABLE todo_todo DROP COLUMN title")
    monkeypatch.setattr(Todo._meta.get_field("todo_list"), "null", False)
    drift("UPDATE todo_todo SET todo_list_id = NULL")
    visitor = Visitor()
    answers = {"default:todo.Todo.title": "Milk", "default:todo.Todo.todo_list": "seven"}
    wrong = visitor.submit(visitor.get().form("Value of"), **answers)
    assert wrong.text.count(INVALID) == 1 and "“seven” value must be an integer." in wrong.form("Value of").html
    assert "todo.Todo.title is Milk where rows have no value" in wrong.words
    nowhere = visitor.submit(wrong.form("Value of"), **{"default:todo.Todo.todo_list": "77"})
    assert nowhere.text.count(INVALID) == 1 and "at nothing through" in nowhere.form("Value of").html
    right = visitor.submit(nowhere.form("Value of"), **{"default:todo.Todo.todo_list": str(TodoList.objects.get().pk)})
    assert "--default todo.Todo.title=Milk --default todo.Todo.todo_list=" in right.words
    assert visitor.submit(right.form("Apply")).status == 303
    assert Todo.objects.values_list("title", "todo_list__title").get() == ("Milk", "Home")


def test_value_is_asked_for_beside_what_no_answer_resolves(built, monkeypatch):
    Todo.objects.create(title="Buy milk")
    distinct = models.UniqueConstraint(fields=["title"], name="distinct_titles")
    monkeypatch.setattr(Todo._meta, "constraints", [distinct])
    drift("ALTER TABLE todo_todolist DROP COLUMN title")
    page = Visitor().get()
    assert "2 refused" in page.words and "Value of todo.TodoList.title" in page.words
    answered = Visitor().submit(page.form("Value of"), **{"default:todo.TodoList.title": "Home"})
    assert "todo.TodoList.title is Home where rows have no value" in answered.words and not answered.has_form("Apply")
    assert "--default todo.TodoList.title=Home" in answered.words


def test_options_are_named_only_where_the_page_has_no_button_for_them(on_sqlite, monkeypatch):
    add_legacy()
    monkeypatch.setattr(TodoList._meta.get_field("color"), "max_length", 3)
    page = Visitor().get()
    assert page.has_form("lose data") and "--accept-data-loss" not in page.words
    monkeypatch.setattr(Todo._meta.get_field("todo_list"), "null", False)
    drift("UPDATE todo_todo SET todo_list_id = NULL")
    page = Visitor().get()
    assert not page.has_form("lose data") and "--accept-data-loss" in page.words


def test_value_is_asked_for_after_the_rename_is_settled(built):
    rename_desc()
    drift("ALTER TABLE todo_todo DROP COLUMN title")
    visitor = Visitor()
    page = visitor.get()
    assert page.has_form("renamed?") and not page.has_form("Value of")
    page = visitor.submit(page.form("renamed?"), **{"rename:todo.Todo.old_text": "desc"})
    page = visitor.submit(page.form("Value of"), **{"default:todo.Todo.title": "Something"})
    assert visitor.submit(page.form("Apply 2 changes")).status == 303
    assert Todo.objects.values_list("title", "desc").get() == ("Something", "two litres")


def test_refusal_that_no_answer_resolves(built, monkeypatch):
    Todo.objects.create(title="Buy milk")
    distinct = models.UniqueConstraint(fields=["title"], name="distinct_titles")
    monkeypatch.setattr(Todo._meta, "constraints", [distinct])
    visitor = Visitor()
    page = visitor.get()
    assert "! Is in the way: " in page.words and "1 refused" in page.words
    assert [form for form in page.forms if "Not now" not in form.html] == []
    assert visitor.submit(page.form("Not now")).status == 303
    assert visitor.get().text == "served"


def test_refusal_that_losing_data_resolves(built, monkeypatch):
    monkeypatch.setattr(TodoList._meta.get_field("color"), "max_length", 3)
    visitor = Visitor()
    page = visitor.get()
    assert "would alter 1 value" in page.words and not page.has_form("Value of")
    (form,) = [form for form in page.forms if "Apply" in form.html]
    assert visitor.submit(form, accept="on").status == 303
    assert TodoList.objects.get().color == "gre"


# A plan that no longer holds


@pytest.mark.parametrize("changes", ["database", "models"])
def test_plan_that_no_longer_holds_is_not_carried_out(built, changes, monkeypatch):
    drift("ALTER TABLE todo_todo DROP COLUMN is_complete")
    visitor = Visitor()
    form = visitor.get("/there/").form("Apply 1 change")
    if changes == "database":
        drift("ALTER TABLE todo_todolist DROP COLUMN color")
    else:
        monkeypatch.setattr(TodoList._meta.get_field("color"), "max_length", 60)
    stale = visitor.submit(form)
    assert stale.status == 409 and "have changed since this page was made" in stale.words
    assert "todo_todolist" in stale.words and "is_complete" not in columns()
    done = visitor.submit(stale.form("Apply 2 changes"))
    assert (done.status, done.response["Location"]) == (303, "/there/")
    assert is_actual()


def test_plan_that_somebody_else_carried_out_goes_back(on_sqlite):
    drift("ALTER TABLE todo_todo DROP COLUMN is_complete")
    visitor = Visitor()
    form = visitor.get().form("Apply")
    autoupdate()
    assert visitor.submit(form).status == 303


def test_answers_to_what_differs_no_longer_go_back(on_sqlite):
    answer = {"database": "default", "back": "/here/", "rename:todo.Todo.old_text": "desc"}
    page = Visitor().get("/__automigrate_ext__/", answer)
    assert (page.status, page.response["Location"]) == (303, "/here/")


def test_answer_that_makes_no_sense(on_sqlite):
    drift("ALTER TABLE todo_todo DROP COLUMN is_complete")
    answer = {"database": "default", "rename:todo.Todo.nothing": "<i>nobody</i>"}
    page = Visitor().get("/__automigrate_ext__/", answer)
    assert "<i>nobody" in page.words and "<i>nobody" not in page.text
    assert "Add column todo_todo.is_complete" in page.words and not page.has_form("Apply")
    assert '<a href="/">Answer again</a>' in page.text


def test_error_of_a_run_is_shown_with_the_way_out(on_sqlite, monkeypatch):
    drift("ALTER TABLE todo_todo DROP COLUMN is_complete")
    monkeypatch.setattr(mismatches, "PATIENCE", 0.0)
    visitor = Visitor()
    form = visitor.get().form("Apply 1 change")
    holder = sqlite3.connect(connections["default"].settings_dict["NAME"])
    try:
        holder.execute("BEGIN IMMEDIATE")
        failed = visitor.submit(form)
    finally:
        holder.close()
    assert failed.status == 503 and "did not end within 0 s" in failed.words and "--lock-wait" in failed.words
    assert visitor.submit(failed.form("Apply 1 change")).status == 303


# When it compares


def test_nothing_is_asked_once_all_is_well(built):
    visitor = Visitor()
    visitor.get()
    with CaptureQueriesContext(connections["default"]) as asked:
        drift_unseen = [visitor.get().text for _ in range(3)]
    assert drift_unseen == ["served"] * 3 and len(asked) == 0


def test_requests_at_once_compare_once(on_sqlite, monkeypatch):
    begun, go_on, comparisons = threading.Event(), threading.Event(), []

    def slow_find():
        comparisons.append(1)
        begun.set()
        go_on.wait(30)
        return ()

    monkeypatch.setattr("automigrate_ext.middleware.find_mismatches", slow_find)
    visitor = Visitor()
    waits = threading.Event()
    with ThreadPoolExecutor() as threads:
        first = threads.submit(visitor.get)
        assert begun.wait(30)
        monkeypatch.setattr(visitor.middleware, "lock", NotifyingLock(visitor.middleware.lock, waits))
        second = threads.submit(visitor.get)
        assert waits.wait(30)
        go_on.set()
        assert (first.result().text, second.result().text) == ("served", "served")
    assert len(comparisons) == 1


class NotifyingLock:
    """A lock that sets an event before it is waited for."""

    def __init__(self, lock, waits):
        self.lock, self.waits = lock, waits

    def __enter__(self):
        self.waits.set()
        return self.lock.__enter__()

    def __exit__(self, *error):
        return self.lock.__exit__(*error)


def test_request_that_fails_is_answered_by_what_differs(built):
    visitor = Visitor(lambda request: HttpResponse(Todo.objects.get().title), convert_exception_to_response)
    assert visitor.get().text == "Buy milk"
    drift("ALTER TABLE todo_todo DROP COLUMN is_complete")
    page = visitor.get()
    assert page.status == 503 and "The request ended in" in page.words and "is_complete" in page.words
    assert visitor.submit(page.form("Apply 1 change")).status == 303
    assert visitor.get().text == "Buy milk"


def failing(error, cause=None):
    def view(request):
        raise error from cause

    return view


@pytest.mark.parametrize(
    ("view", "shown"),
    [
        (failing(OperationalError("no such thing")), True),
        (failing(ValueError("wrapped"), OperationalError("no such thing")), True),
        (failing(NotConverged("OperationalError: no such thing")), True),
        (failing(ValueError("no error of a database")), False),
    ],
    ids=["error of a database", "caused by one", "of this package", "another error"],
)
def test_page_is_shown_for_errors_of_databases(on_sqlite, view, shown):
    visitor = Visitor(view, convert_exception_to_response)
    assert visitor.get().status == 500  # nothing differs: the traceback
    drift("ALTER TABLE todo_todo DROP COLUMN is_complete")
    page = visitor.get()
    assert page.status == (503 if shown else 500)
    assert ("OperationalError: no such thing" in page.words and page.has_form("Apply")) == shown


def test_failing_form_is_not_said_to_be_undone(on_sqlite):
    visitor = Visitor(failing(OperationalError("no such thing")), convert_exception_to_response)
    assert visitor.post("/add/").status == 500
    drift("ALTER TABLE todo_todo DROP COLUMN is_complete")
    page = visitor.post("/add/")
    assert "no such thing" in page.words and "was not carried out" not in page.words


def test_errors_in_a_circle():
    one, other = ValueError(), DatabaseError()
    one.__context__, other.__context__ = other, one
    assert database_error(one) is other
    other.__context__ = None
    assert database_error(None) is None


def test_putting_off_lasts_until_something_else_differs(on_sqlite):
    drift("ALTER TABLE todo_todo DROP COLUMN is_complete")
    visitor = Visitor(lambda request: HttpResponse(TodoList.objects.get().color), convert_exception_to_response)
    put_off = visitor.submit(visitor.get("/here/").form("Not now"))
    assert (put_off.status, put_off.response["Location"]) == (303, "/here/")
    assert visitor.get().text == "green"
    drift("ALTER TABLE todo_todolist DROP COLUMN color")
    assert visitor.get().status == 503
    assert visitor.submit(visitor.get().form("Not now")).status == 303
    assert visitor.get().status == 500  # what was put off is no news: the traceback
    assert visitor.get().status == 500


# Who gets what


def test_not_used_where_debug_is_off(settings):
    settings.DEBUG = False
    with pytest.raises(MiddlewareNotUsed):
        PendingPageMiddleware(lambda request: HttpResponse())


def test_nobody_sees_it_once_debug_is_off(on_sqlite, settings):
    drift("ALTER TABLE todo_todo DROP COLUMN is_complete")
    visitor = Visitor()
    form = visitor.get().form("Apply")
    settings.DEBUG = False
    assert visitor.get().text == "served"
    assert visitor.submit(form).text == "served" and "is_complete" not in columns()


def test_outsiders_are_told_nothing(on_sqlite):
    drift("ALTER TABLE todo_todo DROP COLUMN is_complete")
    visitor = Visitor()
    form = visitor.get().form("Apply")
    with CaptureQueriesContext(connections["default"]) as asked:
        assert visitor.get(REMOTE_ADDR="192.0.2.1").text == "served"
        assert visitor.send("post", form.action, form.fields, REMOTE_ADDR="192.0.2.1").text == "served"
    assert len(asked) == 0


def test_failing_request_of_an_outsider_stays_as_it_is(on_sqlite):
    visitor = Visitor(failing(OperationalError("no such thing")), convert_exception_to_response)
    drift("ALTER TABLE todo_todo DROP COLUMN is_complete")
    assert visitor.get(REMOTE_ADDR="192.0.2.1").status == 500


def test_host_that_is_not_allowed_is_told_nothing(on_sqlite, settings):
    settings.ALLOWED_HOSTS = []
    drift("ALTER TABLE todo_todo DROP COLUMN is_complete")
    with pytest.raises(DisallowedHost):
        Visitor().get(HTTP_HOST="rebound.example")


def test_parts_of_a_page_are_let_through(on_sqlite):
    drift("ALTER TABLE todo_todo DROP COLUMN is_complete")
    visitor = Visitor()
    assert visitor.get("/logo.png", HTTP_SEC_FETCH_DEST="image").text == "served"
    assert visitor.get("/app.css", HTTP_SEC_FETCH_DEST="style").text == "served"
    assert visitor.get(HTTP_SEC_FETCH_DEST="document").status == 503


@pytest.mark.parametrize("accept", ["application/json", "*/*", ""])
@pytest.mark.parametrize("method", ["get", "post", "head"])
def test_programs_get_the_facts_as_text(on_sqlite, accept, method):
    add_legacy()
    drift("ALTER TABLE todo_todo DROP COLUMN is_complete")
    visitor = Visitor()
    page = visitor.send(method, "/api/", HTTP_ACCEPT=accept, HTTP_SEC_FETCH_DEST="empty")
    assert page.status == 503 and page.response["Content-Type"].startswith("text/plain")
    assert not visitor.served and not page.response.cookies
    assert "  + Add column todo_todo.is_complete bool not null\n" in page.text
    assert "= Keep column todo_todo.legacy (1 value)" in page.text and "1 change to apply, 1 column kept." in page.text


def test_form_that_was_not_sent_on_leads_back_to_its_page(on_sqlite):
    drift("ALTER TABLE todo_todo DROP COLUMN is_complete")
    visitor = Visitor()
    page = visitor.post("/add/", {"title": "x"}, HTTP_REFERER="http://testserver/lists/?page=2")
    assert "What you sent was not carried out" in page.words and not visitor.served
    assert page.form("Apply").fields["back"] == "/lists/?page=2"
    foreign = visitor.post("/add/", {"title": "x"}, HTTP_REFERER="http://other.example/lists/")
    assert foreign.form("Apply").fields["back"] == "/add/"


# Whose form it is


def submitted(form, **changed):
    return {**form.fields, **changed}


def test_form_of_another_site_is_refused(on_sqlite):
    drift("ALTER TABLE todo_todo DROP COLUMN is_complete")
    visitor = Visitor()
    form = visitor.get().form("Apply")
    for forged in (
        visitor.post(form.action, submitted(form), HTTP_ORIGIN="http://other.example"),
        visitor.post(form.action, submitted(form), HTTP_ORIGIN="null"),
        visitor.post(form.action, submitted(form, token="0" * 64)),
        visitor.post(form.action, submitted(form, plan=form.fields["plan"] + "x")),
        visitor.post(form.action, submitted(form, plan="")),
        visitor.post(form.action, {}),
        Visitor().post(form.action, submitted(form)),  # another browser
    ):
        assert forged.status == 403 and "did not come from this page" in forged.words
    assert "is_complete" not in columns()
    assert visitor.post(form.action, submitted(form), HTTP_ORIGIN="http://testserver").status == 303
    assert "is_complete" in columns()


def test_putting_off_by_another_site_is_refused(on_sqlite):
    drift("ALTER TABLE todo_todo DROP COLUMN is_complete")
    visitor = Visitor()
    assert visitor.post("/__automigrate_ext__/", {"put-off": "yes"}).status == 403
    assert visitor.get().status == 503


@pytest.mark.parametrize(
    "back", ["//other.example/", "https://other.example/", "javascript:alert(1)", "\\\\other.example", "", "here"]
)
def test_only_addresses_of_this_site_are_gone_back_to(on_sqlite, back):
    drift("ALTER TABLE todo_todo DROP COLUMN is_complete")
    visitor = Visitor()
    form = visitor.get().form("Apply")
    assert visitor.submit(form, back=back).response["Location"] == "/"


def test_second_page_in_the_same_browser_leaves_the_first_one_good(on_sqlite):
    drift("ALTER TABLE todo_todo DROP COLUMN is_complete")
    visitor = Visitor()
    first = visitor.get().form("Apply")
    visitor.get()
    assert visitor.submit(first).status == 303


def test_page_loads_and_runs_nothing(on_sqlite):
    drift("ALTER TABLE todo_todo DROP COLUMN is_complete")
    page = Visitor().get()
    style = re.search(r"<style>(.*?)</style>", page.text, re.DOTALL).group(1)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = page.response["Content-Security-Policy"]
    assert "default-src 'none'" in policy and f"style-src 'sha256-{digest}'" in policy
    assert "frame-ancestors 'none'" in policy and "form-action 'self'" in policy
    assert page.response["X-Frame-Options"] == "DENY" and "no-store" in page.response["Cache-Control"]
    assert not re.search(r"<script|<link|<img|\bstyle=|\bon\w+=|url\(", page.text)
    cookie = page.response.cookies["automigrate_ext"]
    assert cookie["httponly"] and cookie["samesite"] == "Strict"


def test_page_of_a_project_that_has_no_templates(on_sqlite, settings):
    settings.TEMPLATES = []
    drift("ALTER TABLE todo_todo DROP COLUMN is_complete")
    assert Visitor().get().has_form("Apply 1 change")


def test_project_below_a_prefix(on_sqlite):
    drift("ALTER TABLE todo_todo DROP COLUMN is_complete")
    visitor = Visitor()
    set_script_prefix("/app/")
    try:
        form = visitor.get("/app/here/", SCRIPT_NAME="/app").form("Apply")
        assert form.action == "/app/__automigrate_ext__/"
        done = visitor.post(form.action, form.fields, SCRIPT_NAME="/app", PATH_INFO="/__automigrate_ext__/")
    finally:
        set_script_prefix("/")
    assert done.status == 303 and done.response["Location"].startswith("/app/")


# Several databases, and none


@pytest.fixture
def two(developing, django_db_blocker, monkeypatch, tmp_path):
    """Set up two databases, one of which lacks its tables, and one that cannot be reached."""
    monkeypatch.setitem(Homes.homes, "todo", {"default", "logs", "away"})
    engine = {"ENGINE": "django.db.backends.sqlite3"}
    entries = {alias: {**engine, "NAME": tmp_path / f"{alias}.sqlite3"} for alias in ("default", "logs")}
    with databases(django_db_blocker, {**entries, "away": {**engine, "NAME": tmp_path / "no" / "such"}}):
        yield


def test_each_database_is_shown_and_applied_by_itself(two, caplog):
    visitor = Visitor()
    page = visitor.get()
    assert "Database default" in page.words and "Database logs" in page.words and "Database away" not in page.words
    assert "'away' cannot be compared" in caplog.text
    (first, second) = [form for form in page.forms if "Apply 3 changes" in form.html]
    assert visitor.submit(second).status == 303
    assert (tables("default"), len(tables("logs"))) == ([], 4) and "django_migrations" in tables("logs")
    page = visitor.get()
    assert "Database logs" not in page.words
    assert visitor.submit(first).status == 303
    assert visitor.get().text == "served"


def test_plan_for_a_database_that_is_gone(two, monkeypatch):
    visitor = Visitor()
    (_, second) = [form for form in visitor.get().forms if "Apply 3 changes" in form.html]
    with monkeypatch.context() as patch:  # back before its connection is closed
        patch.delitem(connections.settings, "logs")
        stale = visitor.submit(second)
    assert stale.status == 409 and "have changed since this page was made" in stale.words


def test_database_of_an_unsupported_kind_is_left_to_the_project(developing, django_db_blocker, monkeypatch):
    def unsupported(alias):
        raise UnsupportedDatabase("no backend")

    monkeypatch.setattr("automigrate_ext.run.several.backend_for", unsupported)
    with databases(django_db_blocker, {}):
        assert Visitor().get().text == "served"


def test_models_that_cannot_be_compared_are_an_error_on_the_page(on_sqlite, monkeypatch):
    monkeypatch.setattr(Todo, "former_names", {"nothing": 3}, raising=False)
    page = Visitor().get()
    assert page.status == 503 and "former_names" in page.words and page.has_form("Not now")
    assert not page.has_form("Apply")
    text = Visitor().get(HTTP_ACCEPT="*/*")
    assert "former_names" in text.text


# ASGI


def test_async_project(on_sqlite):
    async def view(request):
        return HttpResponse("served")

    middleware = PendingPageMiddleware(view)
    factory = RequestFactory()

    def get():
        return Page(async_to_sync(middleware)(factory.get("/", HTTP_ACCEPT=ACCEPT)))

    assert get().text == "served"
    middleware.is_due = True
    drift("ALTER TABLE todo_todo DROP COLUMN is_complete")
    page = get()
    assert page.status == 503
    form = page.form("Apply")
    factory.cookies["automigrate_ext"] = page.response.cookies["automigrate_ext"].value
    done = Page(async_to_sync(middleware)(factory.post(form.action, form.fields)))
    assert done.status == 303 and "is_complete" in columns()
    assert get().text == "served"


def test_async_request_that_fails(on_sqlite):
    async def view(request):
        raise OperationalError("no such thing")

    middleware = PendingPageMiddleware(convert_exception_to_response(view))

    def get():
        return Page(async_to_sync(middleware)(RequestFactory().get("/", HTTP_ACCEPT=ACCEPT)))

    assert get().status == 500
    drift("ALTER TABLE todo_todo DROP COLUMN is_complete")
    page = get()
    assert page.status == 503 and "OperationalError: no such thing" in page.words


# The system check


@pytest.mark.parametrize(
    ("debug", "addresses", "found"),
    [(True, [], ["automigrate_ext.W003"]), (True, ["127.0.0.1"], []), (False, [], [])],
)
def test_page_that_nobody_could_see_is_warned_of(settings, debug, addresses, found):
    settings.DEBUG = debug
    settings.INTERNAL_IPS = addresses
    settings.MIDDLEWARE = ["automigrate_ext.middleware.PendingPageMiddleware"]
    assert [message.id for message in check_pending_page(None)] == found
    settings.MIDDLEWARE = []
    assert check_pending_page(None) == []
