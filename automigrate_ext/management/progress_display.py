"""The progress of a run on a terminal, if the run lasts."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.live import Live

    from automigrate_ext.plan.progress import RunProgress

#: Seconds that a run may last without showing its progress.
SHOW_AFTER = 1.0


class ProgressDisplay:
    """Shows the progress that it is called with, from `after` seconds on, until the run ends or it is hidden.

    A thread draws, because the run waits for the server meanwhile. `label` stands before what is shown.
    """

    def __init__(self, stream: TextIO, *, colour: bool, after: float = SHOW_AFTER) -> None:
        self.stream = stream
        self.colour = colour
        self.after = after
        self.label = ""
        self.began: float | None = None
        self.progress: RunProgress | None = None
        self.statement_began = 0.0
        self.timer: threading.Timer | None = None
        self.live: Live | None = None
        self.lock = threading.Lock()

    def __call__(self, progress: RunProgress) -> None:
        """Show this progress, at once or when it is time."""
        if progress.finished == progress.statements:
            self.hide()
            self.began = self.progress = None
            return
        now = time.monotonic()
        if self.progress is None or self.progress.finished != progress.finished:
            self.statement_began = now
        self.progress = progress
        if self.began is None:
            self.began = now
        with self.lock:
            if self.timer is None:
                self.timer = threading.Timer(self.began + self.after - now, self.show)
                self.timer.daemon = True
                self.timer.start()

    def show(self) -> None:
        """Begin to draw, unless the display was hidden while rich was loaded."""
        # In the timer's thread: no short run has to wait for rich.
        from automigrate_ext.management.rich_output import live_display

        with self.lock:
            if self.timer is threading.current_thread():
                self.live = live_display(self.render, self.stream, colour=self.colour)
                self.live.start()

    def render(self) -> RenderableType:
        """Return what is drawn now."""
        # As in `show`.
        from automigrate_ext.management.rich_output import progress_lines

        assert self.progress is not None
        return progress_lines(self.progress, time.monotonic() - self.statement_began, self.label)

    def hide(self) -> None:
        """Clear the lines, so that something else can be printed; the next progress is shown again."""
        with self.lock:
            timer, self.timer = self.timer, None
            live, self.live = self.live, None
        if timer is not None:
            timer.cancel()
        if live is not None:
            live.stop()
