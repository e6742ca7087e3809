"""The pages that a new user reads first: what they have to be done is done, in new projects."""

import re
import signal
import sys

import pytest

from tests.demo import ROOT, Demo, execute, shell
from tests.documents import fences, transcripts

pytestmark = pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs a shell")

DOCS = ROOT / "docs"
INSTALLS = re.compile(r"^pip install .*\n", re.MULTILINE)


class Project(Demo):
    """A new project, as `startproject` and `startapp` make it, with a model."""

    def __init__(self, directory):
        super().__init__(directory)
        self.environment |= {"DJANGO_SETTINGS_MODULE": "shop.settings"}
        (directory / "manage.py").unlink()
        execute(self, sys.executable, "-m", "django", "startproject", "shop", ".", "--settings=todo_demo.settings")
        execute(self, sys.executable, "manage.py", "startapp", "books")
        self.append("shop/settings.py", 'INSTALLED_APPS += ["books"]\n')
        self.append("books/models.py", "class Book(models.Model):\n    title = models.CharField(max_length=100)\n")

    def append(self, path, text):
        with (self.directory / path).open("a") as file:
            file.write(f"\n{text}")


@pytest.fixture
def project(tmp_path):
    return Project(tmp_path)


def scripts(page):
    """Return the scripts of a page, without what is installed."""
    found = (INSTALLS.sub("", script) for script in fences(DOCS / page, "sh"))
    return [script for script in found if script]


def test_install_and_use(project):
    installed, middleware = fences(DOCS / "install.md", "python")
    project.append("shop/settings.py", installed)
    look, update, tests = scripts("install.md")
    assert "+ Create table books_book (2 columns)" in shell(project, look)
    assert "+ Create table books_book (2 columns)" in shell(project, update)
    assert shell(project, update) == "Nothing to do: the database matches the models.\n"
    project.append("shop/settings.py", middleware)
    assert "no issues" in shell(project, "python manage.py check --database default")
    project.append(
        "books/tests.py",
        "def test_books(db):\n    from books.models import Book\n    assert not Book.objects.exists()\n",
    )
    assert "1 passed" in shell(
        project, tests.replace("--automigrate", "--automigrate -p no:cacheprovider books/tests.py")
    )


def test_beside_migrations(project):
    shell(project, "python manage.py makemigrations books")
    look, update, finish, _ = scripts("beside-migrations.md")
    project.append("shop/settings.py", 'INSTALLED_APPS += ["automigrate_ext"]\n')
    assert "matches the models" in shell(project, look)
    project.append("books/models.py", "    pages = models.IntegerField(null=True)\n")
    assert "+ Add column books_book.pages integer" in shell(project, update)
    shell(project, finish)
    assert len(list((project.directory / "books" / "migrations").glob("0*.py"))) == 2
    assert "No migrations to apply" in shell(project, "python manage.py migrate")


@pytest.mark.parametrize("page", ["recipes.md", "how-to.md"])
def test_files_for_other_services_can_be_read(page):
    yaml = pytest.importorskip("yaml")
    files = fences(DOCS / page, "yaml")
    assert files and all(yaml.safe_load(file) for file in files)


def test_recipes_print_nothing_that_is_not_tested():
    assert not list(transcripts((DOCS / "recipes.md").read_text()))
