"""Where models are written down: the file and line of a model, a field, a constraint or an index.

Files are read and parsed, and nothing in them is executed. What was made at run time has no place of its own.
"""

from __future__ import annotations

import ast
import inspect
import sys
import tokenize
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.db.models import Model

#: Folders in which packages are installed, also inside of a project, as in a virtual environment.
INSTALLED = frozenset({"site-packages", "dist-packages"})
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
#: The statements whose blocks belong to what they stand in.
TRANSPARENT = (ast.If, ast.Try, ast.With, ast.For)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A line of a file; `file` is an absolute path, `line` counts from 1."""

    file: str
    line: int = 1

    def below(self, root: Path) -> str | None:
        """Return the path from a folder on, with "/" between its parts; None for a file elsewhere, or of a package."""
        file = Path(self.file)
        if not file.is_relative_to(root):
            return None
        path = file.relative_to(root)
        return None if INSTALLED.intersection(path.parts) else path.as_posix()


def places_of_model(model: type[Model]) -> Iterator[Place]:
    """Yield the line of a model's class, if there is one; of a many-to-many table of Django's, that of its field."""
    owner: Any = model._meta.auto_created
    if owner:
        names = [field.name for field in owner._meta.local_many_to_many if field.remote_field.through is model]
        yield from places_of_names(owner, names)
        model = owner
    if (found := definition(model)) is not None:
        yield Place(file=found[0], line=found[1].lineno)


def places_of_names(model: type[Model], names: Iterable[str]) -> Iterator[Place]:
    """Yield the lines where the model's class, or a class that it inherits from, has attributes of these names."""
    for name in names:
        for base in model.__mro__:
            found = definition(base)
            line = line_of(found[1], name) if found else None
            if found and line is not None:
                yield Place(file=found[0], line=line)
                break


def places_in_meta(model: type[Model], name: str) -> Iterator[Place]:
    """Yield the line of the constraint or index of this name in the model's `Meta`, or in one that it inherits."""
    for file, meta in metas(model):
        yield from (Place(file=file, line=line) for line in lines_of_calls(meta, name))


def places_of_options(model: type[Model], options: Sequence[str]) -> Iterator[Place]:
    """Yield the lines of the options of the model's `Meta` that there are, in the order of the options."""
    for file, meta in metas(model):
        yield from (Place(file=file, line=line) for option in options if (line := line_of(meta, option)))


def metas(model: type[Model]) -> Iterator[tuple[str, ast.ClassDef]]:
    """Yield the definitions of `Meta` in the model's class and in those that it inherits from, each with its file."""
    for base in model.__mro__:
        found = definition(base)
        for node in statements(found[1]) if found else ():
            if found and isinstance(node, ast.ClassDef) and node.name == "Meta":
                yield found[0], node


def places_in_settings(text: str, names: Sequence[str]) -> Iterator[Place]:
    """Yield the line of the settings in which a text stands, else one that assigns one of the names, else line 1."""
    module = sys.modules.get(str(getattr(settings, "SETTINGS_MODULE", "")))
    file = source_file(module) if module is not None else None
    tree = parsed(file) if file else None
    if file is None or tree is None:
        return
    lines = [node.lineno for node in ast.walk(tree) if text and isinstance(node, ast.Constant) and node.value == text]
    lines += [line for name in names if (line := line_of(tree, name))]
    yield Place(file=file, line=lines[0] if lines else 1)


def places_of_app(config: AppConfig) -> Iterator[Place]:
    """Yield the line of the settings that installs an app."""
    kind = type(config)
    for text in (config.name, f"{kind.__module__}.{kind.__qualname__}"):
        found = list(places_in_settings(text, ()))
        if found and found[0].line > 1:
            yield from found
            return
    yield from places_in_settings("", ("INSTALLED_APPS",))


# Files


def source_file(thing: Any) -> str | None:
    """Return the file of the source of a module, or None where it has none."""
    try:
        file = inspect.getsourcefile(thing)
    except TypeError:
        return None
    return str(Path(file).resolve()) if file else None


@cache
def parsed(file: str) -> ast.Module | None:
    """Return what is in a file; None for one that cannot be read, or that is no Python."""
    try:
        with tokenize.open(file) as stream:
            return ast.parse(stream.read())
    except (OSError, SyntaxError, ValueError):
        return None


def definition(kind: type) -> tuple[str, ast.ClassDef] | None:
    """Return the file and the definition of a class; None where it is made at run time, or its source is not there.

    Of several definitions of a name it is the one that was executed, as far as Python tells (since 3.13).
    """
    module = sys.modules.get(kind.__module__)
    file = source_file(module) if module is not None else None
    tree = parsed(file) if file else None
    if file is None or tree is None:
        return None
    found = list(classes(tree, kind.__qualname__.split(".")))
    first = getattr(kind, "__firstlineno__", None)
    executed = [node for node in found if first_line(node) == first]
    chosen = executed or found[-1:]
    return (file, chosen[0]) if chosen else None


def first_line(node: ast.ClassDef) -> int:
    """Return the first line of a class, that of its first decorator."""
    return min((node.lineno, *(decorator.lineno for decorator in node.decorator_list)))


# Syntax


def classes(node: ast.AST, path: Sequence[str]) -> Iterator[ast.ClassDef]:
    """Yield the classes at a path of names, which has "<locals>" after the name of a function."""
    name, *rest = path
    for statement in statements(node):
        if isinstance(statement, ast.ClassDef) and statement.name == name:
            if rest:
                yield from classes(statement, rest)
            else:
                yield statement
        elif isinstance(statement, FUNCTIONS) and statement.name == name and rest[1:]:
            yield from classes(statement, rest[1:])


def statements(node: ast.AST) -> Iterator[ast.stmt]:
    """Yield the statements of a body, and those in blocks of its conditions and the like."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, TRANSPARENT):
            yield from statements(child)
        elif isinstance(child, ast.ExceptHandler):
            yield from statements(child)
        elif isinstance(child, ast.stmt):
            yield child


def line_of(node: ast.AST, name: str) -> int | None:
    """Return the line of a body that assigns a name last; None where none does."""
    found = [statement.lineno for statement in statements(node) if name in assigned(statement)]
    return found[-1] if found else None


def assigned(statement: ast.stmt) -> set[str]:
    """Return the names that a statement assigns."""
    targets: list[ast.expr] = []
    if isinstance(statement, ast.Assign):
        targets = statement.targets
    elif isinstance(statement, (ast.AnnAssign, ast.AugAssign)):
        targets = [statement.target]
    return {node.id for target in targets for node in ast.walk(target) if isinstance(node, ast.Name)}


def lines_of_calls(node: ast.AST, name: str) -> list[int]:
    """Return the lines of the calls that have this name as an argument: `Index(fields=["title"], name="title")`."""
    calls = (call for call in ast.walk(node) if isinstance(call, ast.Call))
    return [call.lineno for call in calls if name and any(is_name(keyword, name) for keyword in call.keywords)]


def is_name(keyword: ast.keyword, name: str) -> bool:
    """Return whether a keyword of a call is `name=`, with this text."""
    return keyword.arg == "name" and isinstance(keyword.value, ast.Constant) and keyword.value.value == name
