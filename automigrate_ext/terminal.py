"""The colours of a plan on a terminal."""

from __future__ import annotations

from collections.abc import Iterable
from typing import IO

from rich.console import Console
from rich.text import Text

from automigrate_ext.render import Line

STYLES = {
    "+": "green",
    "-": "red",
    "~": "yellow",
    "=": "dim",
    "#": "dim",
    "!": "bold red",
    "?": "cyan",
    ">": "magenta",
    "": "bold",
}


def print_lines(lines: Iterable[Line], stream: IO[str]) -> None:
    """Print the lines of a plan, each in the colour of its sign."""
    console = Console(file=stream, soft_wrap=True, highlight=False, force_terminal=True)
    for line in lines:
        console.print(Text(str(line), style=STYLES[line.sign]))
