"""The pure parts load without Django or its settings, and little is loaded before it is needed.

Which module may import which is a matter of the contracts in setup.cfg.
"""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

import automigrate_ext

PACKAGE = Path(automigrate_ext.__file__).parent


def modules(*wings):
    paths = (path for wing in wings for path in sorted((PACKAGE / wing).glob("*.py")) if path.stem != "__init__")
    return [".".join(path.relative_to(PACKAGE).with_suffix("").parts) for path in paths]


PURE = [*modules("schema", "plan"), "renames.guess"]

PROGRAM = """
import importlib.util, pathlib, sys, types
package = types.ModuleType("automigrate_ext")
package.__path__ = [sys.argv[1]]
sys.modules["automigrate_ext"] = package  # its __init__ joins all the parts
__import__("automigrate_ext." + sys.argv[2])
loaded = [name for name in sys.modules if name == "django" or name.startswith("django.")]
assert not loaded, loaded
"""


@pytest.mark.parametrize("module", PURE)
def test_pure_module_imports_without_django(module):
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(PACKAGE), module], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("module", [*PURE, "api", "backends.base", "exceptions"])
def test_module_imports_without_settings(module):
    program = f"import automigrate_ext.{module}; from django.conf import settings; assert not settings.configured"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def imports_of(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
        elif isinstance(node, ast.Import):
            yield from (name.name for name in node.names)


@pytest.mark.parametrize("path", sorted((PACKAGE / "backends").rglob("*.py")), ids=lambda path: path.as_posix()[-40:])
def test_backends_know_nothing_above_them(path):
    above = ("api", "run", "hazards", "renames", "declared.selection", "plan.plan", "plan.text", "plan.saved")
    above = tuple(f"automigrate_ext.{name}" for name in above)
    assert not [name for name in imports_of(path) if name.startswith(above)]


#: The doors: modules in which a function imports others when it is called, and which. A comment above gives the reason.
DOORS = {
    "admin": {"api", "exceptions"},
    "api": {"fleet.call", "fleet.places", "plan.plan", "plan.saved", "run.history"},
    "apps": {"seeds", "startup", "starts.checks", "starts.unapplied"},
    "backends": {"importlib.metadata"},
    "backends.mysql.copies": {"backends.mysql.spelling"},
    "fleet.queue": {"django.tasks", "django.tasks.exceptions", "fleet.tasks"},
    "management.base": {"management.plan_printer"},
    "management.commands.automigrate": {"fleet.call", "management.rich_output", "plan.text"},
    "management.commands.autoupdate": {"management.questioner", "management.saved_plans", "management.watch"},
    "management.fleet": {"fleet.report", "fleet.targets"},
    "management.past_runs": {"plan.history"},
    "management.plan_printer": {"management.annotations", "management.rich_output"},
    "management.progress_display": {"management.rich_output"},
    "managers": {"starts.first_query"},
    "middleware": {"pending.page"},
    "pending.mismatches": {"plan.saved", "run.questions"},
    "plan.plan": {"plan.text"},
    "renames.hints": {"renames.requested"},
    "run.basis": {"importlib.metadata"},
    "run.log": {"plan.text"},
    "run.marking": {"django.db.migrations.loader"},
    "run.migrations": {"django.db.migrations.loader"},
    "run.one": {"run.rebuild", "run.unchanged", "run.update"},
    "run.several": {"plan.plan"},
    "run.standing": {"renames.hints", "renames.requested"},
    "starts.checks": {"run.one", "run.several"},
    "startup": {"plan.plan", "plan.text", "schema.nouns"},
    "testing.bootstrap": {"run.make", "run.options", "run.record", "run.update", "schema.changes", "seeds"},
    "testing.fixtures": {"testing.tables"},
    "testing.tenants": {
        "exceptions",
        "fleet.looks",
        "fleet.run",
        "fleet.targets",
        "fleet.work",
        "run.options",
    },
    "testing.report": {"plan.text", "schema.changes"},
    "testing.pytest_plugin": {"backends", "django.db", "pytest_django.plugin", "testing.creation", "waiting"},
}
#: Modules that load others by a name that is a text, and what the names are of.
BY_NAME = {
    "": "the public names",
    "backends": "the backend of a vendor",
    "fleet.packages": "packages that the project may have",
    "fleet.targets": "the function of the setting that returns targets",
    "management.preload": "what a process is to load beforehand, as its arguments say",
    "run.hooks": "functions that the settings name",
    "run.migrations": "the project's migrations",
    "signals": "the apps' modules in which they connect receivers",
    "tenants": "what settings name",
    "testing": "the public names",
    "testing.tenants": "packages that the project may have",
}
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


def name_of(path):
    return ".".join(part for part in path.relative_to(PACKAGE).with_suffix("").parts if part != "__init__")


PATHS = {name_of(path): path for path in sorted(PACKAGE.rglob("*.py"))}


def late_imports(tree):
    """Return the imports inside functions, each once."""
    functions = [node for node in ast.walk(tree) if isinstance(node, FUNCTIONS)]
    inside = {node for function in functions for node in ast.walk(function)}
    return [node for node in inside if isinstance(node, (ast.Import, ast.ImportFrom))]


def imported(node):
    """Return the modules that an import loads, without the package's name."""
    if isinstance(node, ast.Import):
        return {name.name for name in node.names}
    module = node.module.removeprefix("automigrate_ext").removeprefix(".")
    parts = {f"{module}.{name.name}".removeprefix(".") for name in node.names}
    return parts & PATHS.keys() or {module}


def test_only_doors_import_inside_functions():
    late = {name: late_imports(ast.parse(path.read_text())) for name, path in PATHS.items()}
    found = {name: set().union(*map(imported, nodes)) for name, nodes in late.items() if nodes}
    assert found == DOORS


@pytest.mark.parametrize("name", sorted(DOORS))
def test_late_import_has_its_reason_above(name):
    lines = PATHS[name].read_text().splitlines()
    for node in late_imports(ast.parse("\n".join(lines))):
        above = node.lineno - 2
        while lines[above].lstrip().startswith(("from ", "import ")) or not lines[above].strip():
            above -= 1
        assert lines[above].lstrip().startswith("#"), f"{name}:{node.lineno}"


def test_only_what_has_to_loads_modules_by_name():
    loaders = {"__import__", "import_module", "import_string"}
    calls = {
        name: {getattr(node, "id", getattr(node, "attr", "")) for node in ast.walk(ast.parse(path.read_text()))}
        for name, path in PATHS.items()
    }
    assert {name for name, called in calls.items() if called & loaders} == BY_NAME.keys()


#: Modules that are loaded although it may turn out that nothing differs.
FIRST = (
    "api",
    "backends",
    "backends.fingerprint",
    "backends.sqlite3.fingerprint",
    "conf",
    "declared.editor",
    "declared.selection",
    "exceptions",
    "management.commands.automigrate",
    "management.commands.autoupdate",
    "managers",
    "middleware",
    "process",
    "renames.hints",
    "run.basis",
    "run.hooks",
    "run.marking",
    "run.migrations",
    "run.options",
    "run.record_table",
    "run.several",
    "run.standing",
    "signals",
    "starts.checks",
    "starts.first_query",
    "startup",
    "waiting",
)
#: What compares, judges and compiles, by the beginnings of names.
COMPARES = (
    "backends.base",
    "backends.work",
    "hazards",
    "plan",
    "renames.requested",
    "run.base",
    "run.compare",
    "schema",
)


def test_nothing_that_compares_is_loaded_before_something_differs():
    program = (
        "import importlib, sys, django; from django.conf import settings\n"
        "settings.configure(INSTALLED_APPS=['automigrate_ext', 'django.contrib.contenttypes']); django.setup()\n"
        f"for name in {FIRST}: importlib.import_module('automigrate_ext.' + name)\n"
        f"heavy = [name for name in sys.modules if name.removeprefix('automigrate_ext.').startswith({COMPARES})]\n"
        "heavy = [name for name in heavy if name.startswith('automigrate_ext.')]\n"
        "assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


#: What asks whether anything differs, and what it loads of the above although nothing does.
ASKS = {
    "from automigrate_ext import is_actual; assert is_actual()": (),
    "call_command('autoupdate', check=True, skip_checks=False)": ("plan", "schema"),
    "call_command('autoupdate')": ("plan", "schema"),
}


@pytest.mark.parametrize("ask", ASKS)
def test_nothing_that_compares_is_loaded_where_nothing_differs(tmp_path, ask):
    program = (
        "import sys, django; from django.core.management import call_command\n"
        "django.setup()\n"
        f"{ask}\n"
        f"names = [name for name in sys.modules if name.startswith('automigrate_ext.')]\n"
        f"names = [name.removeprefix('automigrate_ext.') for name in names]\n"
        f"heavy = [name for name in names if name.startswith({COMPARES}) and not name.startswith({ASKS[ask]})]\n"
        "assert not heavy, heavy"
    )
    environment = {"DJANGO_SETTINGS_MODULE": "todo_demo.settings", "DATABASE_URL": f"sqlite:///{tmp_path}/db.sqlite3"}
    for words in (["-m", "django", "autoupdate", "--noinput"], ["-c", program]):
        done = subprocess.run(
            [sys.executable, *words],
            env=os.environ | environment,
            cwd=PACKAGE.parent,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr


def test_public_function_is_loaded_without_plans():
    program = (
        "import sys, automigrate_ext\n"
        "automigrate_ext.is_actual\n"
        "assert not [name for name in sys.modules if name.startswith('automigrate_ext.plan')]\n"
        "for name in automigrate_ext.__all__: getattr(automigrate_ext, name)\n"
        "try: automigrate_ext.plan_of\n"
        "except AttributeError: pass\n"
        "else: sys.exit('no such name')"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_installed_app_loads_nothing_that_compares():
    """Every command of a project waits for what is loaded when Django is set up."""
    program = (
        "import sys, django; from django.conf import settings\n"
        "settings.configure(INSTALLED_APPS=['automigrate_ext']); django.setup()\n"
        "heavy = {'automigrate_ext.' + name for name in\n"
        "    ('schema.nouns', 'plan.plan', 'backends.base', 'api', 'run.hooks')}\n"
        "assert 'automigrate_ext.apps' in sys.modules and not heavy & set(sys.modules), heavy & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
