"""Measure runs over many schemas beside django-tenants' own command: ``python -m benchmarks.fleets``.

The project has 30 generated models for its tenants. django-tenants makes and migrates some of the tenants (they take
long), this package the others; what is compared is the time for one, beyond that of a process with one tenant. Needs
django-tenants (``pip install django-tenants``) and PostgreSQL. The exit status is 1 if a target was missed.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from benchmarks.databases import running
from benchmarks.measure import Run, run_python
from benchmarks.project import generate_models
from benchmarks.report import facts, table

SETTINGS = """
DATABASES["default"]["ENGINE"] = "django_tenants.postgresql_backend"
SHARED_APPS = ["django_tenants", "customers", "django.contrib.contenttypes", "automigrate_ext"]
TENANT_APPS = ["django.contrib.contenttypes", "generated"]
INSTALLED_APPS = [*SHARED_APPS, "generated"]
TENANT_MODEL, TENANT_DOMAIN_MODEL = "customers.Client", "customers.Domain"
DATABASE_ROUTERS = ["django_tenants.routers.TenantSyncRouter"]
"""
CUSTOMERS = """
from django_tenants.models import DomainMixin, TenantMixin


class Client(TenantMixin):
    pass


class Domain(DomainMixin):
    pass
"""
MODEL, FIELD = "class Model{number}(models.Model):\n", "    extra = models.IntegerField(null=True, db_index=True)\n"
#: The bars: milliseconds for a schema, and parts of what django-tenants takes for one.
NOTHING, CHANGED = 2.0, 10.0
OF_NOTHING, OF_CHANGED, OF_NEW = 1 / 50, 1 / 15, 1 / 5
OF_QUERY = 2.0
MANY_SMALL = 15.0
MEMORY = 1.1
#: How many tenants are saved in one process, of which the first one is compared and compiled.
SAVED = 20


def tenant_project(directory: Path, models: int) -> Path:
    """Make a project of tenants with so many models each."""
    project = generate_models(directory, models)
    with (project / "settings.py").open("a") as settings:
        settings.write(SETTINGS)
    (project / "customers").mkdir()
    (project / "customers" / "__init__.py").touch()
    (project / "customers" / "models.py").write_text(CUSTOMERS)
    return project


def make_tenants(names: Sequence[str], *, rows_only: bool = False, executor: str = "") -> float:
    """Make tenants by their model, or their rows alone; return the seconds that took. In a process of the project.

    `executor` is the setting for what django-tenants runs in a new schema, its own if left out.
    """
    import django
    from django.conf import settings

    if executor:
        settings.GET_EXECUTOR_FUNCTION = executor
    django.setup()
    from customers.models import Client

    began = time.perf_counter()
    if rows_only:
        Client.objects.bulk_create([Client(schema_name=name) for name in names])
    else:
        for name in names:
            Client(schema_name=name).save(verbosity=0)
    return time.perf_counter() - began


def query_alone(names: Sequence[str]) -> float:
    """Return the seconds of the bare queries for the fingerprints of schemas. In a process of the project."""
    import django

    django.setup()
    from django.apps import apps
    from django.db import connection

    from automigrate_ext.backends import fingerprints_for
    from automigrate_ext.fleet.looks import SCHEMAS_A_LOOK, chunks

    tables = [model._meta.db_table for model in apps.get_app_config("generated").get_models()]
    fingerprints = fingerprints_for(connection.alias)
    assert fingerprints is not None
    connection.ensure_connection()
    began = time.perf_counter()
    for some in chunks(names, SCHEMAS_A_LOOK):
        fingerprints.look_at(some, ["public"], tables, [], fingerprints.database())
    return time.perf_counter() - began


class Tenants:
    """A project of tenants in one database, on which both sides are measured."""

    def __init__(self, project: Path, url: str) -> None:
        self.project = project
        self.url = url

    def run(self, *arguments: str) -> Run:
        return run_python(arguments, self.project, self.url)

    def manage(self, *arguments: str) -> Run:
        return self.run("manage.py", *arguments)

    def inside(self, what: str, names: Sequence[str]) -> float:
        """Run one of the functions above in a process of the project."""
        run = self.run("-m", "benchmarks.fleets", "--inside", what, "--names", f"{names[0][0]}:{len(names)}")
        return float(json.loads(run.output.splitlines()[-1]))

    def ours(self, *names: str) -> Run:
        return self.manage("autoupdate", "--tenants", *names, "--create", "--noinput")

    def theirs(self, name: str = "") -> Run:
        return self.manage("migrate_schemas", "--tenant", *(["--schema", name] if name else []), "--verbosity", "0")


def names_of(text: str) -> list[str]:
    """Return the names of so many tenants that begin with a letter: "t:20"."""
    letter, _, count = text.partition(":")
    return [f"{letter}{number:05}" for number in range(int(count))]


def beyond_one(many: Run, one: Run, count: int) -> float:
    """Return the seconds for each of the tenants, beyond a process with one of them."""
    return (many.seconds - one.seconds) / (count - 1)


def add_field(project: Path, number: int) -> None:
    """Add a field with an index to one of the models."""
    file, line = project / "generated" / "models.py", MODEL.format(number=number)
    file.write_text(file.read_text().replace(line, line + FIELD, 1))


def measure_theirs(tenants: Tenants, names: Sequence[str]) -> dict[str, float]:
    """Return the seconds that django-tenants takes for a new tenant, one with nothing to do and one that changes."""
    tenants.manage("makemigrations", "generated", "customers", "--verbosity", "0")
    tenants.manage("migrate_schemas", "--shared", "--verbosity", "0")
    new = tenants.inside("make", names) / len(names)
    one = tenants.theirs(names[0])
    nothing = beyond_one(tenants.theirs(), one, len(names))
    add_field(tenants.project, 0)
    tenants.manage("makemigrations", "generated", "--verbosity", "0")
    changed = beyond_one(tenants.theirs(), one, len(names))
    return {"new": new, "nothing": nothing, "changed": changed}


def measure_ours(tenants: Tenants, names: Sequence[str]) -> dict[str, float]:
    """Return the same of this package, with what the bare queries take for one, and the growth of memory."""
    tenants.inside("rows", names)
    tenants.ours("public", names[0])
    new = beyond_one(tenants.ours(*names), tenants.ours(names[0]), len(names))
    one, hundred, many = tenants.ours(names[0]), tenants.ours(*names[:100]), tenants.ours(*names)
    add_field(tenants.project, 1)
    changed = beyond_one(tenants.ours(*names), one, len(names))
    return {
        "new": new,
        "saved": tenants.inside("save", names_of(f"s:{SAVED}")) / SAVED,
        "nothing": beyond_one(many, one, len(names)),
        "changed": changed,
        "query": tenants.inside("query", names) / len(names),
        "memory": many.peak_memory / hundred.peak_memory,
    }


def rows_of(ours: Mapping[str, float], theirs: Mapping[str, float]) -> Iterator[tuple[str, str, float, float]]:
    """Yield the cases with what is compared, its value and its bar."""
    yield "nothing to do", "ms a schema", ours["nothing"] * 1000, NOTHING
    yield "nothing to do", "of the bare queries", ours["nothing"] / ours["query"], OF_QUERY
    yield "nothing to do", "of django-tenants'", ours["nothing"] / theirs["nothing"], OF_NOTHING
    yield "a column and an index", "ms a schema", ours["changed"] * 1000, CHANGED
    yield "a column and an index", "of django-tenants'", ours["changed"] / theirs["changed"], OF_CHANGED
    yield "a new tenant, by --create", "of django-tenants'", ours["new"] / theirs["new"], OF_NEW
    yield "a new tenant that is saved", "of django-tenants'", ours["saved"] / theirs["new"], OF_NEW
    yield "memory", "of that for 100 schemas", ours["memory"], MEMORY


def measure_small(project: Path, url: str, schemas: int) -> float:
    """Return the seconds in which one process finds nothing to do in so many schemas of two tables each."""
    code = "import django; django.setup(); from django.db import connection; cursor = connection.cursor()"
    loop = f"[cursor.execute(f'CREATE SCHEMA s{{number:05}}') for number in range({schemas})]"
    run_python(("-c", f"{code}; {loop}"), project, url)
    command = ("manage.py", "autoupdate", "--schemas", "s*", "--noinput", "generated")
    run_python(command, project, url)
    return run_python(command, project, url).seconds


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fleets", description=__doc__)
    parser.add_argument("--schemas", type=int, default=1000)
    parser.add_argument("--small", type=int, default=10_000, help="schemas of two tables each; 0 leaves them out")
    parser.add_argument("--theirs", type=int, default=20, help="tenants that django-tenants makes and migrates")
    parser.add_argument("--models", type=int, default=30)
    parser.add_argument("--inside", choices=INSIDE, help=argparse.SUPPRESS)
    parser.add_argument("--names", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.inside:
        print(json.dumps(INSIDE[options.inside](names_of(options.names))))
        return 0
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="benchmarks-")))
        database = stack.enter_context(running(["postgresql"], directory))["postgresql"]
        tenants = Tenants(tenant_project(directory / "tenants", options.models), database.create("fleet"))
        theirs = measure_theirs(tenants, names_of(f"t:{options.theirs}"))
        ours = measure_ours(tenants, names_of(f"o:{options.schemas}"))
        found = list(rows_of(ours, theirs))
        database.drop("fleet")
        if options.small:
            url = database.create("small")
            seconds = measure_small(generate_models(directory / "small", 2), url, options.small)
            found.append((f"nothing to do in {options.small:,} small schemas", "s", seconds, MANY_SMALL))
            database.drop("small")
        version = database.version()
    print(", ".join(f"{name}: {value}" for name, value in facts([version]).items()), "\n")
    cells = [[case, f"{value:.3g}", f"{bar:.3g}", unit] for case, unit, value, bar in found]
    print(*table(("case", "measured", "at most", "unit"), cells), sep="\n")
    print(
        f"\n{options.schemas:,} schemas of {options.models} tables; in seconds:",
        {"ours": ours, "django-tenants": theirs},
    )
    return int(any(value > bar for _, _, value, bar in found))


#: What runs in a process of the project, by name.
INSIDE = {
    "make": make_tenants,
    "save": lambda names: make_tenants(names, executor="automigrate_ext.tenants.get_executor"),
    "rows": lambda names: make_tenants(names, rows_only=True),
    "query": query_alone,
}


if __name__ == "__main__":
    sys.exit(main())
