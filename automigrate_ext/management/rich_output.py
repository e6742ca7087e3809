"""Output by rich, for terminals with colours: a plan as a tree, tables of counts, and the progress of a run."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from dataclasses import replace as evolve
from typing import IO

from rich import box
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.live import Live
from rich.padding import Padding
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from automigrate_ext.plan.plan import Plan
from automigrate_ext.plan.progress import RunProgress
from automigrate_ext.plan.text import (
    LEFT_ALONE,
    Counts,
    Line,
    abridged,
    branches,
    contract_branch,
    footer,
    how_far,
    migration_branch,
    online_branch,
    questions,
    refusals,
)

#: The styles of a sign and of the text behind it. Most text has the terminal's own colour, which can always be read.
STYLES = {
    "+": ("bold green", ""),
    "-": ("bold red", ""),
    "~": ("bold yellow", ""),
    "=": ("bold blue", ""),
    "#": ("dim", "dim"),
    "!": ("bold red", "red"),
    "?": ("bold magenta", ""),
    ">": ("bold cyan", ""),
    "*": ("bold cyan", ""),
    "%": ("dim", ""),
    "|": ("dim", ""),
}
#: An option of a command that resolves what is refused, with its argument.
OPTION = r"--[a-z][a-z-]*(?: [\w.]+=[\w.]*\w)?"
#: Times a second that the lines about a run are drawn.
A_SECOND = 4
BAR_WIDTH = 60


def console_on(stream: IO[str]) -> Console:
    """Return a console for a stream which is known to be a terminal with colours."""
    return Console(file=stream, highlight=False, force_terminal=True)


def print_plan(plan: Plan, stream: IO[str], *, verbosity: int, done: bool) -> None:
    """Print a plan as a tree; at verbosity 1, leave out tables of a plan about very many."""
    console = console_on(stream)
    everything = list(branches(plan))
    shown, more = (everything, "") if verbosity > 1 else abridged(everything)
    for branch in shown:
        print_branch(console, branch.heading, branch.lines)
    if more:
        console.print(Text(more, style="dim"))
    for line in footer(plan):
        console.print(Text(line.text))
    print_branch(console, "", questions(plan, done=done))
    for branch in (*contract_branch(plan), *online_branch(plan, done=done), *migration_branch(plan)):
        print_branch(console, branch.heading, branch.lines)
    if verbosity > 1:
        print_more(console, plan)
    if len(plan.refused) > 1:
        print_counts(refusals(plan), stream)


def print_more(console: Console, plan: Plan) -> None:
    """Print what is left alone, and the SQL, which is not wrapped so that it can be copied."""
    if plan.foreign:
        print_branch(console, LEFT_ALONE, (Line(sign="=", text=text) for text in plan.foreign))
    if plan.statements:
        console.print(Text("SQL", style="bold"))
    for statement in plan.statements:
        console.print(Text(f"  {statement};"), soft_wrap=True)


def print_refusal(plan: Plan, stream: IO[str]) -> None:
    """Print every reason for which a plan is refused, and what looks like a rename."""
    console = console_on(stream)
    for branch in branches(evolve(plan, judgements=plan.refused, remarks=())):
        print_branch(console, branch.heading, branch.lines)
    print_branch(console, "", questions(plan, done=False))
    if len(plan.refused) > 1:
        print_counts(refusals(plan), stream)


def print_branch(console: Console, heading: str, lines: Iterable[Line]) -> None:
    """Print lines, below their heading if there is one."""
    if heading:
        tree = Tree(Text(heading, style="bold"), guide_style="dim")
        for line in lines:
            tree.add(Signed(line=line))
        console.print(tree)
    else:
        for line in lines:
            console.print(Signed(line=line))


@dataclass(frozen=True, slots=True, kw_only=True)
class Signed:
    """A line of a plan; where its text is wrapped, the text stays to the right of the sign."""

    line: Line

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        of_sign, of_text = STYLES[self.line.sign]
        text = Text(self.line.words, style=of_text)
        text.highlight_regex(OPTION, "bold")
        for number, part in enumerate(text.wrap(console, max(1, options.max_width - 2), overflow="fold")):
            part.rstrip()
            yield Text.assemble((" " if number else self.line.sign, of_sign), " ", part)


def print_counts(counts: Counts, stream: IO[str]) -> None:
    """Print a table of counts."""
    *names, number = counts.columns
    table = Table(box=box.SIMPLE_HEAD, header_style="bold")
    for name in names:
        table.add_column(name, overflow="fold")
    table.add_column(number, justify="right", no_wrap=True)
    for row in counts.rows:
        table.add_row(*map(Text, row))
    if counts.total:
        table.add_row("Total", *[""] * (len(names) - 1), counts.total, style="bold")
    console_on(stream).print(table)


class SteadyConsole(Console):
    """A console that does not hide the cursor, because a process that is killed could not show it again."""

    def show_cursor(self, show: bool = True) -> bool:
        """Do nothing, and return that nothing was done."""
        return False


def live_display(render: Callable[[], RenderableType], stream: IO[str], *, colour: bool) -> Live:
    """Return lines at the bottom of a terminal that are drawn again and again until they are stopped and erased."""
    console = SteadyConsole(file=stream, highlight=False, force_terminal=True, no_color=None if colour else True)
    return Live(
        console=console,
        get_renderable=render,
        transient=True,
        refresh_per_second=A_SECOND,
        redirect_stdout=False,
        redirect_stderr=False,
    )


def progress_lines(progress: RunProgress, seconds: float, label: str = "") -> RenderableType:
    """Return two lines: which statement of how many runs and for how long, and its rows as a bar or its SQL."""
    on = f" on {progress.table}" if progress.table else ""
    which = f"{label}Statement {progress.finished + 1:,} of {progress.statements:,}{on}: {how_far(progress, seconds)}"
    below: RenderableType
    if progress.rows is None:
        below = Text(f"  {' '.join(progress.sql.split())}", style="dim", no_wrap=True, overflow="ellipsis")
    else:
        below = Padding(ProgressBar(total=progress.rows, completed=progress.rows_done or 0, width=BAR_WIDTH), (0, 2))
    return Group(Text(which, no_wrap=True, overflow="ellipsis"), below)
