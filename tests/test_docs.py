"""The user documentation: links, names and options that exist, and output that is what the commands print."""

import ast
import inspect
import json
import re
from dataclasses import fields
from functools import cache
from importlib import import_module

import pytest
import pytest_django.plugin
from django.core.management import get_commands, load_command_class

import automigrate_ext
from automigrate_ext import Answers, Hazard, Judgement, LikelyRename, Plan, Remark, Request, RunProgress, Verdict
from automigrate_ext.plan.codes import HazardCode
from automigrate_ext.plan.plan import several_dict
from automigrate_ext.schema.changes import Change, RenameTable
from automigrate_ext.schema.nouns import Schema
from automigrate_ext.testing import pytest_plugin
from tests import readme
from tests.demo import ROOT, Demo
from tests.documents import (
    Pages,
    assert_prints,
    blocks,
    fences,
    headings,
    pattern_of,
    sections,
    transcripts,
    without_fences,
)

PAGES = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")])
USER_NAMES = ("tutorial", "how-to", "pending-page", "start-up", "databases", "testing")
USER_PAGES = [ROOT / "README.md", *(ROOT / "docs" / f"{name}.md" for name in USER_NAMES)]
REFERENCE = Pages(ROOT / "docs" / "reference")
USER_PAGES += REFERENCE.paths

COMMANDS = ("autoupdate", "automigrate")
FUNCTIONS = ("autoupdate", "automigrate", "make_plan", "run_plan", "run_plans", "is_actual")
#: Programs whose options are not ours to know.
OTHER_PROGRAMS = {
    *("alembic", "benchmarks", "createdb", "docker", "git", "grep", "gunicorn", "pip", "prisma", "psql", "pytest"),
    *("uvicorn", "venv"),
}

#: Commands of other packages that the pages speak of.
OTHER_COMMANDS = {"clear_pgviews", "migrate_schemas", "migrateschema", "pgtrigger", "sync_pgviews"}
#: Options of theirs that the pages speak of by themselves.
OTHER_OPTIONS = {
    *("--executor", "--fake", "--no-create-schemas", "--parallel", "--schema"),
    *("--health-cmd", "--health-interval", "--health-retries"),
}

LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]*")

pages = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
user_pages = pytest.mark.parametrize("page", USER_PAGES, ids=lambda page: page.name)


def code_of(page):
    """Every line of code of a page: those of its blocks, and the spans in its text."""
    text = page.read_text()
    lines = [line for _, body in blocks(text) for line in body.splitlines()]
    return lines + re.findall(r"`([^`]+)`", without_fences(text))


@pages
def test_links_lead_somewhere(page):
    for target in LINK.findall(without_fences(page.read_text())):
        if re.match(r"https?://", target):
            continue
        path, _, anchor = target.partition("#")
        linked = (page.parent / path).resolve() if path else page
        assert linked.exists(), f"{page.name} links to {target}"
        assert not anchor or anchor in headings(linked), f"{page.name} links to {target}"


# Commands and options


@cache
def options_of(command):
    """The long options of a management command."""
    loaded = load_command_class(get_commands()[command], command)
    actions = loaded.create_parser("manage.py", command)._actions
    return {option for action in actions for option in action.option_strings if option.startswith("--")}


def program_before(text):
    """The last command or program named in a piece of code, to which an option after it belongs, or ""."""
    words = re.findall(r"[\w]+", OPTION.sub("", text))
    known = [word for word in words if word in {*get_commands(), *OTHER_PROGRAMS, *OTHER_COMMANDS}]
    return known[-1] if known else ""


def test_programs_are_told_apart():
    assert program_before("python3 -m venv .venv && .venv/bin/pip install ") == "pip"
    assert program_before("python manage.py autoupdate todo ") == "autoupdate"
    assert program_before("pytest --automigrate ") == "pytest"
    assert program_before("") == ""


class Options:
    """What plugins of pytest are given to declare their options to; keeps their names."""

    def __init__(self, *plugins):
        self.names = set()
        for plugin in plugins:
            plugin.pytest_addoption(self)

    def getgroup(self, *names):
        return self

    def addini(self, *names, **facts):
        pass

    def addoption(self, *names, **facts):
        self.names |= set(names)

    _addoption = addoption


def options_of_tests():
    """The options of tests: pytest's with our plugin and pytest-django's, and those of `manage.py test`."""
    return Options(pytest_django.plugin, pytest_plugin).names | options_of("test")


@pytest.mark.parametrize("page", [page for page in PAGES if page.name != "CONTRIBUTING.md"], ids=lambda page: page.name)
def test_options_exist(page):
    ours = options_of("autoupdate") | options_of("automigrate") | options_of_tests() | OTHER_OPTIONS
    for code in code_of(page):
        for found in OPTION.finditer(code):
            program = program_before(code[: found.start()])
            if program not in OTHER_PROGRAMS | OTHER_COMMANDS:
                known = options_of(program) if program else ours
                assert found.group() in known, f"{page.name}: {found.group()} in {code!r}"


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_is_in_the_reference(command):
    found = sections(REFERENCE)
    text = found["Options of both"] + found[command]
    for option in options_of(command):
        assert re.search(rf"`{option}[ `]", text), option


@user_pages
def test_commands_in_examples_are_commands(page):
    for code in code_of(page):
        for command in re.findall(r"manage\.py (\w+)", code):
            assert command in get_commands() or command in OTHER_COMMANDS, code


def test_exit_statuses_are_in_the_reference():
    from automigrate_ext.management import exit_status

    statuses = re.findall(r"^\| (\d+) \|", sections(REFERENCE)["Exit statuses"], re.MULTILINE)
    named = [value for name, value in vars(exit_status).items() if name.isupper()]
    assert sorted(map(int, statuses)) == sorted([0, *named])


# Names of the Python API


def in_code(name, text):
    return re.search(rf"`[^`\n]*\b{re.escape(name)}\b[^`\n]*`", without_fences(text))


@pytest.mark.parametrize("name", automigrate_ext.__all__)
def test_every_public_name_is_in_the_reference(name):
    assert in_code(name, REFERENCE.read_text()), name


@pytest.mark.parametrize("name", FUNCTIONS)
def test_signatures_are_those_of_the_reference(name):
    tree = ast.parse("\n".join(fences(REFERENCE, "python")))
    found = next(node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == name)
    documented = [argument.arg for argument in (*found.args.args, *found.args.kwonlyargs)]
    real = inspect.signature(getattr(automigrate_ext, name)).parameters
    assert documented == list(real)
    defaults = [ast.literal_eval(default) for default in (*found.args.defaults, *found.args.kw_defaults)]
    assert defaults == [p.default for p in real.values() if p.default is not p.empty]
    for parameter in real:
        assert in_code(parameter, sections(REFERENCE)["Functions"]), parameter


@pytest.mark.parametrize("kind", [Plan, Judgement, Hazard, LikelyRename, Answers, Remark, Request, RunProgress])
def test_attributes_are_in_the_reference(kind):
    found = sections(REFERENCE)
    names = {field.name for field in fields(kind)} | {name for name in vars(kind) if not name.startswith("_")}
    for name in names:
        assert in_code(name, found["Watching a run" if kind is RunProgress else "Plan"]), name


def test_verdicts_are_in_the_reference():
    documented = re.findall(r"^\| `(\w+)` \|", sections(REFERENCE)["Verdicts"], re.MULTILINE)
    assert documented == [verdict.value for verdict in Verdict]


def kinds_of_change(kind=Change):
    """Those that a plan may have: the ones above them have no words for themselves."""
    for below in kind.__subclasses__():
        if below.describe is not Change.describe:
            yield below.__name__
        yield from kinds_of_change(below)


def test_kinds_of_change_are_in_the_reference():
    paragraph = next(p for p in REFERENCE.read_text().split("\n\n") if p.startswith("Kinds of change:"))
    ours = {name for name in kinds_of_change() if hasattr(automigrate_ext.schema.changes, name)}
    assert set(re.findall(r"`(\w+)`", paragraph)) == ours


# Hazard codes


def sources():
    for path in sorted((ROOT / "automigrate_ext").rglob("*.py")):
        yield ast.parse(path.read_text())


def name_of(call):
    return call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")


def code_argument(call, takers):
    """The argument of a call that is a hazard's code: `code=`, or the position at which the function has it."""
    for keyword in call.keywords:
        if keyword.arg == "code":
            return keyword.value
    position = takers.get(name_of(call))
    return call.args[position] if position is not None and position < len(call.args) else None


def hazard_codes():
    """Every code that the source gives to a `Hazard`, directly or through a function with a parameter `code`."""
    takers = {"Hazard": None}
    for tree in sources():
        for function in ast.walk(tree):
            if isinstance(function, ast.FunctionDef):
                names = [argument.arg for argument in function.args.args]
                if "code" in names:
                    takers[function.name] = names.index("code") - (names[0] == "self")
    for tree in sources():
        for call in ast.walk(tree):
            if isinstance(call, ast.Call) and name_of(call) in takers:
                code = code_argument(call, takers)
                if isinstance(code, ast.Constant):
                    yield code.value
                elif isinstance(code, ast.Attribute) and ast.unparse(code.value) == "HazardCode":
                    yield HazardCode[code.attr].value
                else:
                    assert isinstance(code, ast.Name) and code.id == "code", ast.unparse(call)


def test_hazard_codes_are_those_of_the_reference():
    documented = re.findall(r"^\| `([a-z-]+)` \|", sections(REFERENCE)["Hazards"], re.MULTILINE)
    assert sorted(documented) == sorted(set(hazard_codes()))


# Blocks of code


def python_blocks():
    for page in USER_PAGES:
        for number, block in enumerate(fences(page, "python")):
            yield pytest.param(block, id=f"{page.stem}-{number}")


@pytest.mark.parametrize("block", list(python_blocks()))
def test_python_compiles_and_uses_names_that_exist(block):
    lines = block.splitlines()
    source = "class Model:\n" + block if lines[0].startswith("    ") else block
    tree = ast.parse(source)
    compile(tree, "docs", "exec")
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    ours = {name: getattr(automigrate_ext, name) for name in automigrate_ext.__all__}
    for node in imports:
        names = {alias.name for alias in node.names}
        if node.module == "automigrate_ext":
            assert names <= ours.keys()
        elif node.module.startswith("automigrate_ext."):
            ours |= {name: getattr(import_module(node.module), name) for name in names}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and name_of(node) in FUNCTIONS:
            parameters = inspect.signature(ours[name_of(node)]).parameters
            assert {keyword.arg for keyword in node.keywords} <= set(parameters)


def test_json_of_the_reference_has_the_shape_of_a_plan():
    documented, several = map(json.loads, fences(REFERENCE, "json"))
    plan = Plan(
        alias="default",
        vendor="sqlite",
        schema=Schema({}),
        judgements=(
            Judgement(change=RenameTable(table="old", new_name="new"), hazards=(Hazard(code="", message=""),)),
        ),
        likely_renames=(LikelyRename(old="", new=""),),
    )
    real = plan.as_dict()
    assert list(documented) == list(real)
    assert documented["version"] == real["version"]
    assert list(documented["changes"][0]) == list(real["changes"][0])
    assert list(documented["changes"][0]["hazards"][0]) == list(real["changes"][0]["hazards"][0])
    assert list(documented["likely_renames"][0]) == list(real["likely_renames"][0])
    below = real["changes"][0], real["changes"][0]["hazards"][0], real["likely_renames"][0]
    failed = several_dict([{"database": "", "error": ""}], {"": ""})
    assert [list(several), list(several["databases"][0]), list(several["left_alone"][0])] == [
        list(failed),
        list(failed["databases"][0]),
        list(failed["left_alone"][0]),
    ]
    for key in (*real, *(key for keys in below for key in keys), *failed):
        assert in_code(key, sections(REFERENCE)["JSON"]), key


# Output


MODELS, ADMIN = "todo_demo/todo/models.py", "todo_demo/todo/admin.py"
BLANK_COLOR = '    color = models.CharField("colour", max_length=50, blank=True)\n'
IS_COMPLETE = '    is_complete = models.BooleanField("complete", default=False)\n'
ROWS = """
from todo_demo.todo.models import Todo, TodoList
home = TodoList.objects.create(title="Home", color="green")
Todo.objects.create(title="Buy milk", desc="two litres", todo_list=home)
Todo.objects.create(title="Call the bank")
"""
WITHOUT_COLOR = ((MODELS, BLANK_COLOR, ""), (ADMIN, '("title", "color")', '("title",)'))


@pytest.fixture
def demo(tmp_path):
    return Demo(tmp_path)


def test_pattern_of_output():
    said = "one ...\n    ...\ndone in 0.10 s.\n"
    assert re.fullmatch(pattern_of(said), "one two\n    three\nfour\ndone in 3.22 s.\n")
    assert re.fullmatch(pattern_of(said), "one two\ndone in 3.22 s.\n")
    assert not re.fullmatch(pattern_of(said), "one two\ndone.\n")
    assert not re.fullmatch(pattern_of("(a)\n"), "a\n")


def test_readme_prints_what_it_says(demo):
    readme.follow(demo)
    ((command, said),) = transcripts(readme.README.read_text())
    assert_prints(demo, command, said)
