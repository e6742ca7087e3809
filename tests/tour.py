"""The tutorial as a walk: what its reader does and sees, step by step, at a terminal and in a browser."""

import re
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from tests.browser import Browser
from tests.demo import ROOT, Demo, DemoServer
from tests.documents import arguments_of, assert_prints, transcript
from tests.terminals import at_terminal

TUTORIAL = ROOT / "docs" / "tutorial.md"
#: Where the demo is looked at in the browser.
ADDRESS = "lists/1/"
#: How wide terminals are, in characters, and windows, in CSS pixels.
COLUMNS, WIDTH = 88, 720
#: Which questions of `autoupdate` are answered how in the pictures of a terminal.
ANSWERS = {
    "rename.svg": (("[y/N] ", "y"),),
    "require.svg": (("urgency = ", "3"),),
}

STEP = re.compile(
    r"^```(?P<language>\w+)\n(?P<body>.*?)^```$|!\[(?P<alt>[^\]]*)\]\((?P<picture>[^)]+)\)|^## (?P<heading>[^\n]+)$"
    r"|\*\*(?P<press>[^*]+)\*\*|Type `(?P<type>[^`]+)`",
    re.MULTILINE | re.DOTALL,
)


# The steps


@dataclass(frozen=True, slots=True)
class Edit:
    """A change to the demo's files: of each the text that goes and the one that comes."""

    edits: tuple[tuple[str, str, str], ...]


@dataclass(frozen=True, slots=True)
class Fill:
    """Rows put in by `manage.py shell`."""

    arguments: Sequence[str]


@dataclass(frozen=True, slots=True)
class Run:
    """A command, and what the tutorial says that it prints."""

    command: Sequence[str]
    said: str


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture of a terminal (.svg) or of a page (.png), and what is said for those who do not see it."""

    path: Path
    alt: str

    @property
    def is_terminal(self) -> bool:
        return self.path.suffix == ".svg"


@dataclass(frozen=True, slots=True)
class Press:
    """Something to press on a page: a button, or a choice."""

    words: str


@dataclass(frozen=True, slots=True)
class Type:
    """A value to type into the page's field."""

    text: str


Step = Edit | Fill | Run | Picture | Press | Type


def chapters() -> list[list[Step]]:
    """The steps under each heading of the tutorial."""
    found: list[list[Step]] = [[]]
    for match in STEP.finditer(TUTORIAL.read_text()):
        if match["heading"]:
            found.append([])
        else:
            found[-1] += steps_of(match)
    return found


def steps_of(match: re.Match[str]) -> Iterator[Step]:
    if match["picture"]:
        yield Picture(TUTORIAL.parent / match["picture"], " ".join(match["alt"].split()))
    elif match["press"]:
        yield Press(" ".join(match["press"].split()))
    elif match["type"]:
        yield Type(match["type"])
    elif match["language"] == "diff":
        yield Edit(tuple(edits_of(match["body"])))
    elif match["language"] == "text":
        yield from (Run(command, said) for command, said in transcript(match["body"]))
    elif " shell -c " in match["body"]:
        yield Fill(arguments_of(shlex.split(match["body"])))


def edits_of(diff: str) -> Iterator[tuple[str, str, str]]:
    """The text before and after of each file of a block that looks like a diff."""
    pieces = re.split(r"^@@ (\S+) @@\n", diff, flags=re.MULTILINE)
    for path, body in zip(pieces[1::2], pieces[2::2], strict=True):
        lines = body.splitlines(keepends=True)
        yield path, *("".join(line[1:] for line in lines if line[0] in signs) for signs in (" -", " +"))


# The walks; `see` gets each picture, and what is to be seen now


def walk_at_terminal(demo: Demo, see: Callable[[Picture, str], None]) -> None:
    """Do all that the tutorial has for a terminal."""
    for step in (step for chapter in chapters() for step in chapter):
        match step:
            case Edit(edits):
                demo.edit(edits)
            case Fill(arguments):
                fill(demo, arguments)
            case Run(command, said):
                assert_prints(demo, command, said)
            case Picture() if step.is_terminal:
                see(step, shown_at_terminal(demo, "autoupdate", answers=ANSWERS[step.path.name]))


def walk_in_browser(server: DemoServer, browser: Browser, see: Callable[[Picture], None]) -> None:
    """Do all that the tutorial has for a browser, and in a terminal only what it has for nothing else."""
    browser.show(width=WIDTH)
    for chapter in chapters():
        has_page = any(isinstance(step, Press) for step in chapter)
        for elsewhere, steps in groupby(chapter, lambda step: isinstance(step, (Edit, Fill, Run))):
            if elsewhere:
                for step in steps:
                    do_elsewhere(server, step, run=not has_page)
                browser.open(server.address + ADDRESS)
            else:
                for step in steps:
                    do_in_browser(browser, step, see)


def do_elsewhere(server: DemoServer, step: Step, *, run: bool) -> None:
    match step:
        case Edit(edits):
            server.edit(edits)
        case Fill(arguments):
            fill(server.demo, arguments)
        case Run(command, said) if run:
            assert_prints(server.demo, command, said)


def do_in_browser(browser: Browser, step: Step, see: Callable[[Picture], None]) -> None:
    match step:
        case Press(words):
            browser.find_text(words, "*[self::button or self::label]").click()
        case Type(text):
            browser.find(".value input").send_keys(text)
        case Picture() if not step.is_terminal:
            for words in re.findall(r'"([^"]+)"', step.alt):
                browser.find_text(words)
            see(step)


def fill(demo: Demo, arguments: Sequence[str]) -> None:
    printed = demo.run(*arguments)
    assert "Traceback" not in printed, printed


def shown_at_terminal(
    demo: Demo, *arguments: str, answers: Sequence[tuple[str, str]] = (), width: int = COLUMNS
) -> str:
    """What a command shows at a terminal, with its escape sequences, below the line that calls it."""
    command = [sys.executable, "manage.py", *arguments]
    with at_terminal(command, demo.directory, demo.environment, width=width) as terminal:
        for prompt, answer in answers:
            terminal.read_until(prompt)
            terminal.type(f"{answer}\n")
        status = terminal.wait()
    assert status == 0, terminal.shown
    return f"$ python manage.py {' '.join(arguments)}\n{terminal.shown}"
