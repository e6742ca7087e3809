"""The pages and the messages have one word for each idea: none of those that the glossary lists as not used."""

import ast
import re
from pathlib import Path

import pytest

import automigrate_ext

ROOT = Path(__file__).parents[1]
GLOSSARY = ROOT / "docs" / "glossary.md"
PAGES = sorted(path for path in (ROOT / "docs").rglob("*.md") if path != GLOSSARY)
MODULES = sorted(Path(automigrate_ext.__file__).parent.rglob("*.py"))
CODE = re.compile(r"```.*?```|`[^`]*`|\]\([^)]*\)", re.DOTALL)
LITERALS = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def rows_of(heading):
    """The rows of the table below a heading of the glossary, each as its cells."""
    section = GLOSSARY.read_text().partition(f"{heading}\n")[2].partition("\n## ")[0]
    rows = [line.strip("|").split("|") for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in row] for row in rows[2:]]


UNUSED = [word.strip() for words, _ in rows_of("## Words that are not used") for word in words.split(",")]
PATTERN = re.compile(rf"\b({'|'.join(map(re.escape, UNUSED))})\b", re.IGNORECASE)


def docstrings_of(tree):
    for node in ast.walk(tree):
        if isinstance(node, LITERALS) and node.body and isinstance(node.body[0], ast.Expr):
            yield node.body[0].value


def messages_of(text):
    """The texts of several words in a module, without docstrings."""
    tree = ast.parse(text)
    docstrings = {id(node) for node in docstrings_of(tree)}
    texts = (node for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str))
    return [node.value for node in texts if id(node) not in docstrings and " " in node.value]


def test_glossary_is_in_order():
    terms = [term for term, _ in rows_of("# Glossary")]
    assert terms == sorted(terms, key=str.lower) and len(terms) == len(set(terms))


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_page_has_no_word_that_is_not_used(page):
    assert [found[0] for found in PATTERN.finditer(CODE.sub("", page.read_text()))] == []


def test_messages_have_no_word_that_is_not_used():
    found = {
        f"{path.name}: {message}"
        for path in MODULES
        for message in messages_of(path.read_text())
        if PATTERN.search(message)
    }
    assert found == set()


def test_words_are_found():
    assert PATTERN.search("The server says so.") and PATTERN.search("Retained values") and len(UNUSED) > 20
    assert not PATTERN.search("essays")
    module = '"""It says."""\nx = f"it says {y}"\ndef f():\n    """It says."""\n    return "says"'
    assert messages_of(module) == ["it says "]
