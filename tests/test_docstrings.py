"""The docstrings of functions begin with a verb: "Return ...", not "What ..." or "The ..."."""

import ast
import re
from pathlib import Path

import pytest

import automigrate_ext

PACKAGE = Path(automigrate_ext.__file__).parent

#: Words with which the docstring of a function does not begin, in small letters.
OPENINGS = """
    a after all an any as at because before both by each every everything for from how if in it its many no none nothing
    of on one same says several so some such than that the their then there these they this those to what whatever
    when where whether which while who whoever whose why with without
    bytes columns copies fields indexes lines names raises receivers returns statements tables unique values virtual
    yields
"""


FILES = sorted(PACKAGE.rglob("*.py"))
files = pytest.mark.parametrize("file", FILES, ids=lambda file: file.relative_to(PACKAGE).as_posix())


def documented(file, *kinds):
    """Yield the objects of these kinds that have a docstring, each with it."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, kinds) and (docstring := ast.get_docstring(node)):
            yield node, docstring


def is_function(node):
    """Return whether a definition is called as one: neither a property nor an overload."""
    names = [ast.unparse(decorator) for decorator in node.decorator_list]
    return not any(name.endswith(("property", ".setter", "overload")) for name in names)


def first_word(docstring):
    return docstring.split()[0].strip(".,:;").lower()


@files
def test_docstring_of_a_function_begins_with_a_verb(file):
    functions = documented(file, ast.FunctionDef, ast.AsyncFunctionDef)
    found = [
        f"{node.name}, line {node.lineno}: {docstring.splitlines()[0]}"
        for node, docstring in functions
        if is_function(node) and first_word(docstring) in OPENINGS.split()
    ]
    assert found == []


@files
def test_docstring_is_plain(file):
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    found = [
        docstring
        for _, docstring in documented(file, *kinds)
        if docstring.startswith("The same") or re.search(r"\banew\b", docstring)
    ]
    assert found == []
