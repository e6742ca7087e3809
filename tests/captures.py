"""The pictures of a terminal that the documentation shows; `python -m tests.captures` takes them anew.

They are made of what the commands print at a real terminal, in a copy of the demo project.
"""

import io
import re
import sys
import tempfile
from pathlib import Path
from xml.etree import ElementTree

from rich.console import Console
from rich.text import Text

from tests.terminals import at_terminal
from tests.test_docs import README_EDITS, ROOT, ROWS, Demo

#: The picture of the README: what a run would do to the models that its text changes.
PLAN = ROOT / "docs" / "plan.svg"
COMMAND = ("autoupdate", "--dry-run", "--default", "todo.Todo.priority=0")
WIDTH = 88
#: Rich's own frame names a font on another server; this one has those of the reader.
FRAME = """\
<svg class="rich-terminal" viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg">
    <style>
    .{unique_id}-matrix {{
        font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace;
        font-size: {char_height}px;
        line-height: {line_height}px;
    }}
    .{unique_id}-title {{ font-size: 18px; font-weight: bold; font-family: sans-serif; }}
    {styles}
    </style>
    <defs>
    <clipPath id="{unique_id}-clip-terminal">
      <rect x="0" y="0" width="{terminal_width}" height="{terminal_height}" />
    </clipPath>
    {lines}
    </defs>
    {chrome}
    <g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
    {backgrounds}
    <g class="{unique_id}-matrix">
    {matrix}
    </g>
    </g>
</svg>
"""


def printed_at_terminal(demo: Demo, *arguments: str, width: int) -> str:
    """What a command prints at a terminal, with its escape sequences, below the line that calls it."""
    command = [sys.executable, "manage.py", *arguments]
    with at_terminal(command, demo.directory, demo.environment, width=width) as terminal:
        status = terminal.wait()
    assert status == 0, terminal.shown
    return f"$ python manage.py {' '.join(arguments)}\n{terminal.shown}"


def picture(printed: str, *, title: str, width: int) -> str:
    """What was printed, as an SVG."""
    console = Console(record=True, width=width, file=io.StringIO(), force_terminal=True, color_system="standard")
    for line in printed.splitlines():
        console.print(Text.from_ansi(line), soft_wrap=True)
    # The same picture has the same names in it, so that another one is a difference to look at.
    return console.export_svg(title=title, code_format=FRAME, unique_id="terminal")


def text_of(svg: str) -> list[str]:
    """The lines of a picture, whatever their colours, the title first."""
    lines: dict[str, str] = {}
    for element in ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}text"):
        lines[element.get("y", "")] = lines.get(element.get("y", ""), "") + (element.text or "")
    return [re.sub(r"\s+", " ", line).strip() for line in lines.values()]


def picture_of_plan(demo: Demo) -> str:
    """The picture of the README, from a demo whose models have been changed as it says."""
    return picture(printed_at_terminal(demo, *COMMAND, width=WIDTH), title="autoupdate", width=WIDTH)


def main() -> None:
    """Write all pictures."""
    with tempfile.TemporaryDirectory() as directory:
        demo = Demo(Path(directory))
        demo.run("autoupdate")
        demo.run("shell", "-c", ROWS)
        demo.edit(README_EDITS)
        PLAN.write_text(picture_of_plan(demo))


if __name__ == "__main__":
    main()
