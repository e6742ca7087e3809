"""The page about backends lists what a backend must have, and what it consists of."""

import re
from pathlib import Path

from automigrate_ext.backends.base import Backend

PAGE = Path(__file__).parents[2] / "docs" / "backends.md"
#: The first cell of a row of a table: a method with its parameters, or an attribute.
CELL = re.compile(r"^\| `(\w+)(?:\([^`]*\))?` \|", re.MULTILINE)


def section(title):
    """Return the text of a section of the page."""
    return PAGE.read_text().partition(f"## {title}\n")[2].partition("\n## ")[0]


def test_abstract_methods_are_documented():
    assert sorted(CELL.findall(section("What a backend answers"))) == sorted(Backend.__abstractmethods__)


def test_parts_are_documented():
    parts = [name.removesuffix("_class") for name in vars(Backend) if name.endswith("_class")]
    assert CELL.findall(section("The parts of a backend")) == parts
