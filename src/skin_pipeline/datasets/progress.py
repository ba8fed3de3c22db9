"""A progress bar that shares the terminal with Kedro's log."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text


class RateColumn(ProgressColumn):
    """Items a second, or seconds an item when that says more."""

    def render(self, task: Task) -> Text:
        """Return the rate as text, empty until it is known."""
        speed = task.finished_speed or task.speed
        if not speed:
            return Text("")
        return Text(f"{speed:.1f}/s" if speed >= 1 else f"{1 / speed:.1f} s each")


@contextmanager
def progress_bar(description: str, total: int) -> Iterator[Callable[[], None]]:
    """Show how far a piece of work is, with its rate and the time that remains.

    Log lines appear above the bar, as both use the console of Kedro's log handler; nothing is drawn where
    the output is not a terminal.

    Args:
        description: What is being worked on.
        total: How many steps there are.

    Yields:
        A function to call after each step.
    """
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        RateColumn(),
        TimeRemainingColumn(compact=True, elapsed_when_finished=True),
    )
    console = _log_console()
    if total == 0 or (console is not None and not console.is_terminal):
        yield lambda: None
        return
    with Progress(*columns, console=console, transient=True) as progress:
        bar = progress.add_task(description, total=total)
        yield lambda: progress.advance(bar)


def _log_console() -> Console | None:
    """Return the console of the log's rich handler, if there is one."""
    consoles = (getattr(handler, "console", None) for handler in logging.getLogger().handlers)
    return next((console for console in consoles if isinstance(console, Console)), None)
