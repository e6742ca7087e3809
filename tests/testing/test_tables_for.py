"""Tables of models that only a test has: made in any order, dropped exactly, inside the transaction of a TestCase."""

import os
import subprocess
import sys
import unittest
from pathlib import Path

import pytest
from django.contrib.auth.models import Group, User
from django.contrib.postgres.fields import HStoreField
from django.db import IntegrityError, connections, models, transaction
from django.test import TestCase, TransactionTestCase
from django.test.utils import isolate_apps

from automigrate_ext import AutomigrateError, ExecutionFailed, ScratchFailed, autoupdate
from automigrate_ext.testing.tables import tables_for
from tests.acceptance.helper import State, fingerprint
from tests.features import has, need

ROOT = Path(__file__).parent.parent.parent
TEXT = models.CharField(max_length=20)


def library():
    """Models that point at each other in every direction, and one that nobody asks for."""
    return State(
        Book={
            "title": TEXT,
            "author": models.ForeignKey("Author", models.CASCADE, related_name="books"),
            "sequel_of": models.ForeignKey("self", models.CASCADE, null=True),
            "tags": models.ManyToManyField("Tag"),
        },
        Author={"name": TEXT, "best": models.OneToOneField("Book", models.SET_NULL, null=True, related_name="+")},
        Tag={"word": TEXT},
        Other={"name": TEXT},
    )


def fill(state, alias):
    author = state["Author"].objects.using(alias).create(name="A")
    book = state["Book"].objects.using(alias).create(title="B", author=author)
    state["Book"].objects.using(alias).create(title="C", author=author, sequel_of=book)
    state["Author"].objects.using(alias).update(best=book)
    book.tags.add(state["Tag"].objects.using(alias).create(word="T"))
    assert book.tags.count() == 1 and author.books.count() == 2


def tables_of(connection):
    return set(connection.introspection.table_names())


OURS = {"shop_author", "shop_book", "shop_book_tags", "shop_tag"}


@pytest.fixture
def state():
    return library()


@pytest.fixture
def three(state):
    return state["Book"], state["Author"], state["Tag"]


@pytest.fixture
def atomic(connection):
    """A transaction as that of a TestCase, which is undone."""
    need(connection, "DDL that is undone")
    with transaction.atomic(using=connection.alias):
        yield connection
        transaction.set_rollback(True, using=connection.alias)


def test_tables_for_a_block(connection, state, three):
    with tables_for(state["Other"], using=connection.alias):
        pass  # from the first numbered table on, SQLite keeps one that counts
    before = fingerprint(connection)
    with tables_for(*three, three[0], using=connection.alias):
        assert tables_of(connection) == OURS
        fill(state, connection.alias)
    assert fingerprint(connection) == before
    with tables_for(*reversed(three), using=connection.alias):
        assert not state["Book"].objects.using(connection.alias).exists()
    assert fingerprint(connection) == before


def test_tables_inside_a_transaction(atomic, state, three):
    for _ in range(2):
        with tables_for(*three, using=atomic.alias):
            fill(state, atomic.alias)
            with tables_for(state["Other"], using=atomic.alias):
                assert tables_of(atomic) == {*OURS, "shop_other"}
            assert tables_of(atomic) == OURS
        assert tables_of(atomic) == set()


def test_tables_inside_a_transaction_of_mariadb(mariadb, three):
    with (
        pytest.raises(ExecutionFailed, match="use TransactionTestCase"),
        transaction.atomic(using=mariadb.alias),
        tables_for(*three, using=mariadb.alias),
    ):
        raise AssertionError("never entered")
    assert tables_of(mariadb) == set()


def test_exception_in_the_block_drops_the_tables(connection, state, three):
    with pytest.raises(ZeroDivisionError), tables_for(*three, using=connection.alias):
        fill(state, connection.alias)
        raise ZeroDivisionError
    assert tables_of(connection) == set()


def test_error_of_the_database_in_the_block_drops_the_tables(atomic, state, three):
    with tables_for(state["Other"], using=atomic.alias):
        with pytest.raises(IntegrityError), tables_for(*three, using=atomic.alias):
            fill(state, atomic.alias)
            state["Tag"].objects.using(atomic.alias).create(pk=77, word="x")
            state["Tag"].objects.using(atomic.alias).bulk_create([state["Tag"](pk=77, word="again")])
        assert tables_of(atomic) == {"shop_other"}
        state["Other"].objects.using(atomic.alias).create(name="still usable")


def test_rows_that_point_at_nothing_are_said_at_the_end(postgresql, state, three):
    with transaction.atomic(using=postgresql.alias):
        with pytest.raises(IntegrityError, match="author_id"), tables_for(*three, using=postgresql.alias):
            state["Book"].objects.using(postgresql.alias).create(title="B", author_id=404)
        assert tables_of(postgresql) == set()


def test_rows_of_other_tables_stay(atomic, state):
    with tables_for(state["Tag"], using=atomic.alias):
        state["Tag"].objects.using(atomic.alias).create(word="kept")
        with tables_for(state["Other"], using=atomic.alias):
            state["Tag"].objects.using(atomic.alias).create(word="written in the block")
        assert state["Tag"].objects.using(atomic.alias).count() == 2


def test_table_that_the_block_dropped_itself(connection, state):
    with tables_for(state["Tag"], state["Other"], using=connection.alias), connection.cursor() as cursor:
        cursor.execute("DROP TABLE shop_other")
    assert tables_of(connection) == set()


def test_model_with_a_table(connection, state, three):
    with tables_for(state["Tag"], using=connection.alias):
        with (
            pytest.raises(AutomigrateError, match=f"already a table 'shop_tag' in database {connection.alias!r}"),
            tables_for(*three, using=connection.alias),
        ):
            raise AssertionError("never entered")
        assert tables_of(connection) == {"shop_tag"}


def test_target_without_a_table(connection, three):
    with (
        pytest.raises(
            AutomigrateError, match=r"shop_book_tags points at shop_tag\. Name the models of these tables too"
        ),
        tables_for(*three[:2], using=connection.alias),
    ):
        raise AssertionError("never entered")
    assert tables_of(connection) == set()


def test_models_without_a_table_of_their_own(sqlite):
    state = State(Plain={}, Proxy={"bases": ("Plain",), "Meta": {"proxy": True}}, Foreign={"Meta": {"managed": False}})
    with (
        pytest.raises(AutomigrateError, match=r"shop.Proxy is a proxy model.*; shop.Foreign is an unmanaged model"),
        tables_for(*state.models.values(), using=sqlite.alias),
    ):
        raise AssertionError("never entered")


def test_model_that_the_server_does_not_accept(connection):
    class Odd(models.TextField):
        def db_type(self, connection):
            return "no such type, at all("

    state = State(Good={"name": TEXT}, Bad={"a": Odd()})
    with (
        pytest.raises((ScratchFailed, AutomigrateError)),
        tables_for(*state.models.values(), using=connection.alias),
    ):
        raise AssertionError("never entered")
    assert tables_of(connection) == set()


def test_extensions_that_the_models_take(postgresql):
    need(postgresql, "extension hstore")
    state = State(Item={"a": HStoreField()})
    with transaction.atomic(using=postgresql.alias):
        with tables_for(state["Item"], using=postgresql.alias):
            state["Item"].objects.using(postgresql.alias).create(a={"k": "v"})
            assert state["Item"].objects.using(postgresql.alias).get().a == {"k": "v"}
        transaction.set_rollback(True, using=postgresql.alias)


# In tests


def run(kind, *names):
    result = unittest.TestResult()
    unittest.TestSuite([kind(name) for name in names]).run(result)
    problems = [text for _, text in (*result.errors, *result.failures, *result.skipped)]
    assert not problems, problems[0]
    assert result.testsRun == len(names)


def case_of(base, alias):
    """Real tests with throw-away models, of which those with `isolate_apps` say it as the documentation does."""

    class ThrowAway(base):
        databases = {alias}  # noqa: RUF012 - as Django wants it

        @isolate_apps("todo_demo.todo", "django.contrib.auth", "django.contrib.contenttypes")
        def test_isolated(self):
            class Shelf(models.Model):
                label = TEXT.clone()

                class Meta:
                    app_label = "todo"

            class Box(models.Model):
                shelf = models.ForeignKey(Shelf, models.CASCADE)
                more = models.ManyToManyField("Box")

                class Meta:
                    app_label = "todo"

            with tables_for(Box, Shelf, using=alias):
                box = Box.objects.using(alias).create(shelf=Shelf.objects.using(alias).create(label="top"))
                box.more.add(box)
                self.assertEqual(Shelf.objects.using(alias).filter(box__more=box).count(), 1)
            self.assertNotIn("todo_box", connections[alias].introspection.table_names())

        async def test_async(self):
            state = library()
            async with tables_for(state["Tag"], state["Other"], using=alias):
                await state["Tag"].objects.using(alias).acreate(word="async")
                self.assertEqual(await state["Tag"].objects.using(alias).acount(), 1)
            async with tables_for(state["Tag"], using=alias):
                self.assertEqual(await state["Tag"].objects.using(alias).acount(), 0)

        def test_beside_the_projects_tables(self):
            owned = State(Note={"text": TEXT})
            with tables_for(owned["Note"], using=alias):
                owned["Note"].objects.using(alias).create(text="x")
                Group.objects.using(alias).create(name="kept")
            self.assertEqual(Group.objects.using(alias).count(), 1)

    return ThrowAway


@pytest.mark.parametrize("base", [TestCase, TransactionTestCase])
def test_real_tests(connection, base):
    if base is TestCase and not has(connection, "DDL that is undone"):
        pytest.skip("MariaDB commits each statement that changes a table")
    autoupdate(using=connection.alias)
    before = tables_of(connection)
    run(case_of(base, connection.alias), "test_isolated", "test_async", "test_beside_the_projects_tables")
    assert tables_of(connection) == before
    assert not User.objects.using(connection.alias).exists()


FILE = """
import pytest
from django.db import connection, models
from django.test.utils import isolate_apps

pytest_plugins = ["automigrate_ext.testing.fixtures"]


@pytest.fixture
def shelf():
    with isolate_apps("todo_demo.todo"):
        class Shelf(models.Model):
            label = models.CharField(max_length=9)

            class Meta:
                app_label = "todo"
        yield Shelf


def test_shelf(schema, shelf):
    schema(shelf)
    shelf.objects.create(label="top")
    assert shelf.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_again(schema, shelf):
    assert "todo_shelf" not in connection.introspection.table_names()
    assert not connection.in_atomic_block
    schema(shelf)
    assert shelf.objects.count() == 0


def test_gone(db):
    assert "todo_shelf" not in connection.introspection.table_names()
"""


def test_fixture(tmp_path):
    (tmp_path / "test_shelves.py").write_text(FILE)
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "tests.settings", "PYTHONPATH": str(ROOT)}
    options = [
        "-q",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:xdist",
        "-c",
        os.devnull,
        "--rootdir",
        str(tmp_path),
        "--nomigrations",
    ]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, str(tmp_path)],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0 and "3 passed" in done.stdout, done.stdout + done.stderr
