"""The pictures that the documentation shows; `python -m tests.captures` takes them anew.

Those of a terminal are made of what the commands print at a real one, those of a page in a real browser, all in copies
of the demo project.
"""

import base64
import io
import re
import struct
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

from rich.console import Console
from rich.text import Text

from tests import readme, tour
from tests.browser import Browser, browsing
from tests.demo import ROOT, Demo, serving

PICTURES = ROOT / "docs"
#: The pictures of the README: what a run would do to the models that its text changes, at a terminal and in a browser.
PLAN, PENDING = PICTURES / "plan.svg", PICTURES / "pending.png"
COMMAND = ("autoupdate", "--dry-run", "--default", "todo.Todo.priority=0")


# Terminals

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


def picture(shown: str, *, title: str = "autoupdate", width: int = tour.COLUMNS) -> str:
    """What a terminal showed, as an SVG."""
    console = Console(record=True, width=width, file=io.StringIO(), force_terminal=True, color_system="standard")
    for line in shown.splitlines():
        console.print(Text.from_ansi(line))
    # The same picture has the same names in it, so that another one is a difference to look at.
    return console.export_svg(title=title, code_format=FRAME, unique_id="terminal")


def text_of(svg: str) -> list[str]:
    """The lines of a picture, whatever their colours and times, the title first."""
    lines: dict[str, str] = {}
    for element in ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}text"):
        lines[element.get("y", "")] = lines.get(element.get("y", ""), "") + (element.text or "")
    return [re.sub(r"in \d+\.\d\d s", "in 0.00 s", re.sub(r"\s+", " ", line).strip()) for line in lines.values()]


def picture_of_plan(demo: Demo) -> str:
    """The picture of a terminal for the README, from a demo whose models have been changed as it says."""
    return picture(tour.shown_at_terminal(demo, *COMMAND))


# Pages

PNG = b"\x89PNG\r\n\x1a\n"
#: What is to be read in a picture goes along with it, under this keyword.
KEYWORD = b"Description"


def photograph(browser: Browser) -> bytes:
    """The page as a PNG, with its text."""
    box = browser.driver.execute_script("return document.body.getBoundingClientRect().toJSON()")
    clip = {"x": 0, "y": 0, "width": tour.WIDTH, "height": box["bottom"], "scale": 1}
    shot = browser.driver.execute_cdp_cmd("Page.captureScreenshot", {"clip": clip, "captureBeyondViewport": True})
    return with_text(base64.b64decode(shot["data"]), browser.words)


def with_text(png: bytes, text: str) -> bytes:
    """A PNG with a text in it, as an iTXt chunk right behind the header (PNG 3rd edition, 11.3.3.4)."""
    body = b"iTXt" + KEYWORD + b"\0\0\0\0\0" + text.encode()
    chunk = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
    end_of_header = len(PNG) + 25
    return png[:end_of_header] + chunk + png[end_of_header:]


def text_in(png: bytes) -> str:
    """The text that a PNG has in it."""
    (found,) = (body for kind, body in chunks(png) if kind == b"iTXt" and body.startswith(KEYWORD))
    return found[len(KEYWORD) + 5 :].decode()


def chunks(png: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = len(PNG)
    while at < len(png):
        (length,) = struct.unpack(">I", png[at : at + 4])
        yield png[at + 4 : at + 8], png[at + 8 : at + 8 + length]
        at += length + 12


# All


def take_plan(directory: Path) -> None:
    demo = Demo(directory)
    readme.follow(demo)
    PLAN.write_text(picture_of_plan(demo))


def take_terminals(directory: Path) -> None:
    tour.walk_at_terminal(Demo(directory), lambda seen, shown: seen.path.write_text(picture(shown)) and None)


def take_pages(directory: Path) -> None:
    with serving(Demo(directory)) as server, browsing(directory / "profile") as browser:
        tour.walk_in_browser(server, browser, lambda seen: seen.path.write_bytes(photograph(browser)) and None)


def take_pending(directory: Path) -> None:
    demo = Demo(directory)
    readme.follow(demo)
    with serving(demo) as server, browsing(directory / "profile") as browser:
        browser.show(width=tour.WIDTH)
        browser.open(server.address)
        PENDING.write_bytes(photograph(browser))


def main() -> None:
    """Take all pictures."""
    for take in (take_plan, take_pending, take_terminals, take_pages):
        with tempfile.TemporaryDirectory() as directory:
            take(Path(directory))


if __name__ == "__main__":
    main()
