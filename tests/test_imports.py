"""The pure parts know nothing of Django's settings, and the arrows between modules point down.

Which module may import which is a matter of the contracts in setup.cfg; here is what only a process shows.
"""

import ast
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


@pytest.mark.parametrize("path", sorted(PACKAGE.glob("*.py")), ids=lambda path: path.name)
def test_no_import_inside_a_function(path):
    tree = ast.parse(path.read_text())
    inside = [
        node.lineno
        for function in ast.walk(tree)
        if isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef))
        for node in ast.walk(function)
        if isinstance(node, (ast.Import, ast.ImportFrom))
    ]
    assert inside == []


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
