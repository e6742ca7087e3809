"""The how-to pages: every block of code that can be run is run, in a copy of the demo project."""

import re
import shutil
import signal
import sqlite3
import sys
from contextlib import closing

import pytest

from automigrate_ext.plan.text import NOT_RUN
from tests.conftest import url_of
from tests.demo import ROOT, Demo, execute, shell
from tests.documents import assert_prints, blocks, sections, transcript
from tests.test_docs import ADMIN, IS_COMPLETE, MODELS, ROWS, WITHOUT_COLOR

pytestmark = pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs a shell")

SETTINGS = "todo_demo/settings.py"
PRIORITY = ((MODELS, IS_COMPLETE, IS_COMPLETE + "    priority = models.PositiveSmallIntegerField()\n"),)
NULLABLE = ((MODELS, IS_COMPLETE, IS_COMPLETE + "    priority = models.IntegerField(null=True)\n"),)
#: What is about packages that need not be installed; tests/packages plays these.
NOT_INSTALLED = ("Use packages that bring triggers or views", "Use django-tenants", "Use django-pgschemas")
#: Files for other services, which tests/test_first_pages.py reads.
FILES = "yaml"
HOW_TO = {
    heading: found
    for heading, text in sections(ROOT / "docs" / "how-to.md").items()
    if (found := [block for block in blocks(text) if block[0] != FILES]) and heading not in NOT_INSTALLED
}
WALKS = {}


def walk(heading):
    """Declare a function to be the one that runs the blocks under a heading."""
    return lambda function: WALKS.setdefault(heading, function)


class Blocks:
    """The blocks under a heading, to be run one after the other in a copy of the demo project."""

    def __init__(self, heading, demo):
        self.left = list(HOW_TO[heading])
        self.demo = demo

    def take(self, language):
        found, body = self.left.pop(0)
        assert found == language, body
        return body

    def run(self, number=1):
        """Run the next blocks, of commands, or of commands and what they print."""
        for _ in range(number):
            language, body = self.left.pop(0)
            if language == "sh":
                shell(self.demo, body)
            else:
                assert language == "text", body
                for command, said in transcript(body):
                    assert_prints(self.demo, command, said)

    def write(self, name, language="python"):
        """Add the next block to a file."""
        path = self.demo.directory / name
        path.parent.mkdir(exist_ok=True)
        with path.open("a") as file:
            file.write("\n" + self.take(language))

    def execute(self, more=""):
        """Run the next block as a script of the project."""
        script = f"import django\ndjango.setup()\n{self.take('python')}{more}"
        return execute(self.demo, sys.executable, "-c", script)


def query(demo, statement):
    with closing(sqlite3.connect(demo.directory / "db.sqlite3")) as connection, connection:
        return connection.execute(statement).fetchall()


def install(demo, label, models):
    """Make an app of the project that has these models."""
    (demo.directory / label).mkdir()
    (demo.directory / label / "__init__.py").touch()
    (demo.directory / label / "models.py").write_text(f"from django.db import models\n{models}")
    add_setting(demo, f'INSTALLED_APPS.append("{label}")\n')


def add_setting(demo, text):
    with (demo.directory / SETTINGS).open("a") as file:
        file.write(text)


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    """A SQLite file with the demo's tables and some rows."""
    demo = Demo(tmp_path_factory.mktemp("filled"))
    demo.run("autoupdate")
    assert "Traceback" not in demo.run("shell", "-c", ROWS)
    return demo.directory / "db.sqlite3"


@pytest.fixture
def demo(filled, tmp_path):
    shutil.copy(filled, tmp_path)
    return Demo(tmp_path)


@pytest.fixture
def demo_on_postgresql(postgresql, tmp_path):
    postgresql.close()
    (tmp_path / "postgresql").mkdir()
    return Demo(tmp_path / "postgresql", url_of(postgresql))


@pytest.mark.parametrize("heading", HOW_TO)
def test_blocks_run(heading, demo, request):
    found = Blocks(heading, demo)
    function = WALKS[heading]
    names = function.__code__.co_varnames[1 : function.__code__.co_argcount]
    function(found, *map(request.getfixturevalue, names))
    assert not found.left


def test_every_walk_has_its_heading():
    assert WALKS.keys() == HOW_TO.keys()


@walk("Check in CI that a database is up to date")
def check_in_ci(found):
    found.run(2)
    migrated_anew(found.demo)
    found.run()


def migrated_anew(demo):
    """Give the app migrations, and make a database by them."""
    (demo.directory / "db.sqlite3").unlink()
    shell(demo, "python manage.py makemigrations todo && python manage.py migrate")


@walk("Work on branches, and with colleagues")
def work_on_branches(found):
    demo = found.demo
    git = "git -c user.name=me -c user.email=me@localhost -c core.hooksPath=.git/hooks"
    shell(demo, f"git init -qb main && {git} add todo_demo manage.py && {git} commit -qm one")
    found.run(2)
    shell(demo, "git switch -qc other")
    demo.edit(NULLABLE)
    shell(demo, f"{git} commit -qam two && git switch -q main && git switch -q other")
    assert ("priority",) in query(demo, "SELECT name FROM pragma_table_info('todo_todo')")
    shell(demo, "git switch -q main")
    assert ("priority",) not in query(demo, "SELECT name FROM pragma_table_info('todo_todo')")

    model, _, hint = found.take("python").rpartition("\n\n")
    for name in (MODELS, ADMIN, "todo_demo/todo/views.py"):
        path = demo.directory / name
        text = re.sub(r"\bTodo\b", "Task", path.read_text())
        path.write_text(text.replace("    desc = ", "    notes = ").replace('"desc"', '"notes"'))
    assert set(model.splitlines()) <= set((demo.directory / MODELS).read_text().splitlines())
    demo.edit([(MODELS, model.splitlines()[-1] + "\n", f"{model.splitlines()[-1]}\n{hint}")])
    found.run(2)


@walk("Start several processes at once")
def start_several(found):
    found.run()


@walk("Update a database that is in use")
def update_in_use(found):
    found.run()
    found.run()


@walk("Keep a column, or drop it")
def keep_or_drop(found):
    found.demo.edit(WITHOUT_COLOR)
    found.demo.run("autoupdate")
    assert query(found.demo, "SELECT color FROM todo_todolist") == [("green",)]
    found.run()
    assert ("color",) not in query(found.demo, "SELECT name FROM pragma_table_info('todo_todolist')")


@walk("See what was changed, and when")
def past_runs(found):
    found.demo.edit(NULLABLE)
    found.demo.run("autoupdate")
    _, body = found.left.pop()
    newest, *_ = shell(found.demo, body).split("\n\n")
    assert "autoupdate (command): 1 change applied" in newest and "Add column todo_todo.priority integer" in newest


@walk("Review a plan, then run exactly that")
def review(found):
    found.demo.edit(PRIORITY)
    file = found.demo.directory / "db.sqlite3"
    before = file.read_bytes()
    found.run(2)
    assert query(found.demo, "SELECT priority FROM todo_todo") == [(0,), (0,)]
    file.write_bytes(before)
    assert found.execute() == "todo_todo rebuilds the table (2 rows)\n"
    assert query(found.demo, "SELECT priority FROM todo_todo") == [(0,), (0,)]


@walk("Adopt a database that `migrate` made")
def adopt(found):
    migrated_anew(found.demo)
    found.run()


@walk("Go over to migrations")
def go_over(found):
    found.run()
    assert "No migrations to apply." in found.demo.run("migrate")
    assert "No changes detected" in found.demo.run("makemigrations")


@walk("Go back from migrations")
def go_back(found):
    migrated_anew(found.demo)
    found.run()
    assert query(found.demo, "SELECT name FROM django_migrations WHERE app = 'todo'") == []
    assert found.demo.run("autoupdate", "--check").startswith("Nothing to do")


@walk("Use apps without migration files")
def apps_without_migrations(found):
    found.write(SETTINGS)
    assert "No changes detected" in found.demo.run("makemigrations")
    assert found.demo.run("autoupdate", "--check").startswith("Nothing to do")


ACCOUNT = "class Account(models.Model):\n    name = models.CharField(max_length=50)\n"
UPGRADE = """
from django.db import migrations, models

def fill(apps, schema_editor):
    for account in apps.get_model("ledger", "Account").objects.all():
        account.code = account.name.upper()
        account.save()

class Migration(migrations.Migration):
    dependencies = [("ledger", "0001_initial")]
    operations = [
        migrations.AddField("account", "code", models.CharField(max_length=50, default="")),
        migrations.RunPython(fill, migrations.RunPython.noop),
    ]
"""


@walk("Use third-party apps")
def third_party(found, demo_on_postgresql):
    """A package brings a migration that fills its new column; who comes first decides whether that runs."""
    assert found.take("text").startswith(f"{NOT_RUN}\n  * ")
    demo = found.demo = demo_on_postgresql
    install(demo, "ledger", ACCOUNT)
    shell(demo, "python manage.py makemigrations ledger")
    found.run()
    shell(demo, "python manage.py shell -c 'from ledger.models import Account; Account.objects.create(name=\"cash\")'")
    models = demo.directory / "ledger" / "models.py"
    models.write_text(models.read_text() + '    code = models.CharField(max_length=50, default="")\n')
    (demo.directory / "ledger" / "migrations" / "0002_account_code.py").write_text(UPGRADE)
    printed = shell(demo, found.take("sh"))
    assert "Applying ledger.0002_account_code... OK" in printed and "Nothing to do" in printed
    codes = "from ledger.models import Account; print(*Account.objects.values_list('code'))"
    assert "('CASH',)" in demo.run("shell", "-c", codes)

    # The other way round.
    back = 'from django.db import connection as c; c.cursor().execute("{}")'
    demo.run("shell", "-c", back.format("DELETE FROM django_migrations WHERE name = '0002_account_code'"))
    assert "already exists" in demo.run("migrate")
    recorded = demo.run("autoupdate", "--record-migrations")
    assert "These do more than change tables: ledger.0002_account_code." in recorded


@walk("Use several databases")
def several_databases(found):
    demo = found.demo
    add_setting(demo, 'DATABASES["library"] = SQLITE | {"NAME": BASE_DIR / "library.sqlite3"}\n')
    found.run()
    found.write("todo_demo/routers.py")
    add_setting(
        demo,
        'DATABASES["replica"] = SQLITE | {"NAME": BASE_DIR / "nowhere" / "replica.sqlite3"}\n'
        'DATABASE_ROUTERS = ["todo_demo.routers.ReplicaRouter"]\n',
    )
    demo.edit(NULLABLE)
    found.run()
    assert demo.run("autoupdate", "--all-databases", "--check").count("Nothing to do") == 2


@walk("Give each tenant a database or a schema")
def tenants(found, demo_on_postgresql, postgresql):
    found.write(SETTINGS)
    found.run()
    found.demo = demo_on_postgresql
    found.write(SETTINGS)
    found.write("todo_demo/routers.py")
    with postgresql.cursor() as cursor:
        cursor.execute(found.take("sql"))
    postgresql.close()
    found.run(2)
    with postgresql.cursor() as cursor:
        cursor.execute("SELECT relnamespace::regnamespace::text FROM pg_class WHERE relname = 'todo_todo'")
        assert sorted(cursor.fetchall()) == [("acme",), ("globex",)]
    both = '(db != "default") or app_label in ("auth", "contenttypes")'
    found.demo.edit([("todo_demo/routers.py", '(db != "default")', both)])
    assert "these tables are not in it, but in public: auth_group," in found.demo.run("autoupdate", "--all-databases")
    found.write(SETTINGS)
    assert "Create table auth_user" in found.demo.run("autoupdate", "--all-databases")
    assert found.demo.run("autoupdate", "--all-databases", "--check").count("Nothing to do") == 3
    with postgresql.cursor() as cursor:
        cursor.execute("DROP SCHEMA acme, globex CASCADE")


@walk("Live with indexes, triggers, views and columns made by hand")
def made_by_hand(found):
    query(found.demo, "ALTER TABLE todo_todo ADD COLUMN legacy text")
    query(found.demo, "UPDATE todo_todo SET legacy = 'x' WHERE id = 1")
    query(found.demo, "CREATE INDEX by_hand ON todo_todo (title)")
    found.run(2)


@walk("Run it from Python")
def from_python(found):
    found.demo.edit(PRIORITY)
    assert "apply Add column todo_todo.priority" in found.execute()
    found.execute("import asyncio\nasyncio.run(prepare())\n")


@walk("Create extensions")
def create_extensions(found, demo_on_postgresql):
    demo = found.demo = demo_on_postgresql
    demo.run("autoupdate")
    add_setting(demo, 'INSTALLED_APPS.append("django.contrib.postgres")\n')
    fields = "    name = models.CharField(max_length=20)\n    facts = HStoreField()\n"
    install(
        demo, "shop", f"from django.contrib.postgres.fields import HStoreField\nclass Product(models.Model):\n{fields}"
    )
    found.run()
    found.write(SETTINGS)
    assert "Create extension unaccent" in demo.run("autoupdate", "--dry-run")


SHOP = """
class Product(models.Model):
    name = models.CharField(max_length=20)
class Sale(models.Model):
    product = models.ForeignKey(Product, models.CASCADE)
    amount = models.IntegerField()
class Currency(models.Model):
    code = models.CharField(max_length=3)
"""


@walk("Seed rows, and make views and triggers")
def seed_rows(found):
    demo = found.demo
    install(demo, "shop", SHOP)
    (demo.directory / "sql").mkdir()
    views, seeds = demo.directory / "sql" / "views.sql", demo.directory / "shop" / "seeds.py"
    (demo.directory / "sql" / "domains.sql").write_text("SELECT 1;\n")
    views.write_text("SELECT 1;\n")
    seeds.write_text("def currencies(using):\n    pass\n")
    found.write(SETTINGS)
    demo.run("autoupdate")
    views.unlink()
    seeds.unlink()
    found.write("sql/views.sql", "sql")
    found.write("shop/seeds.py")
    found.run()
    demo.run("autoupdate")
    assert query(demo, "SELECT code FROM shop_currency ORDER BY code") == [("EUR",), ("USD",)]
    assert query(demo, "SELECT * FROM shop_totals") == []
    query(demo, "DELETE FROM shop_currency")
    found.execute()
    assert query(demo, "SELECT code FROM shop_currency ORDER BY code") == [("EUR",), ("USD",)]


LETTER_MODEL = """
import pytest
from django.db import models
from django.test.utils import isolate_apps

@pytest.fixture
def letter_model():
    with isolate_apps("stamps"):
        class Letter(models.Model):
            stamp = models.DateTimeField(auto_now_add=True)

            class Meta:
                app_label = "stamps"
        yield Letter
"""


@walk("Build tables for models that only a test has")
def models_of_tests(found):
    demo = found.demo
    install(demo, "stamps", "")
    found.write("stamps/tests.py")
    printed = demo.run("test", "stamps")
    assert "Ran 2 tests" in printed and "\nOK\n" in printed, printed
    (demo.directory / "conftest.py").write_text(LETTER_MODEL)
    found.write("test_letter.py")
    assert "1 passed" in execute(demo, sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_letter.py")


@walk("Build tables for the tests of a reusable app")
def reusable_app(found):
    found.execute()
    assert len(query(found.demo, "SELECT stamp FROM stamps_stamped")) == 1
