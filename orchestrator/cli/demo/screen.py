"""What the play shows: a live table on a terminal, lines elsewhere, only JSON if asked."""

import io
import sys
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.live import Live

from orchestrator.cli.demo import tables
from orchestrator.cli.demo.actor import World
from orchestrator.cli.demo.checks import Deadline, Summary
from orchestrator.cli.demo.watch import News
from orchestrator.cli.shared.output import print_json

#: Columns of what is read from a file or a pipe.
_WIDTH = 150


class Screen(AbstractContextManager["Screen"]):
    """A screen that shows nothing; its subclasses show more. It is entered for as long as the play lasts."""

    def say(self, text: str) -> None:
        """Show a line about what happens before or after the play."""

    def show(self, world: World) -> None:
        """Show the state of the play."""

    def finish(self, summary: Summary) -> None:
        """Show what was expected beside what happened."""

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _value: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        return None


class JsonScreen(Screen):
    """A screen that prints the summary for machines, and nothing else."""

    def finish(self, summary: Summary) -> None:
        print_json(summary.as_json())


class PlainScreen(Screen):
    """One line for each change."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def say(self, text: str) -> None:
        self._print(text)

    def show(self, world: World) -> None:
        for news in world.watch.news():
            line = _line(news, world.deadline)
            if line:
                self._print(line)

    def finish(self, summary: Summary) -> None:
        for part in tables.of_summary(summary):
            self._console.print(part)

    def _print(self, line: str) -> None:
        self._console.print(line, highlight=False, markup=False, soft_wrap=True)


class LiveScreen(PlainScreen):
    """The sessions as a table that moves."""

    def __init__(self, console: Console) -> None:
        super().__init__(console)
        self._live = Live(console=console, auto_refresh=False)

    def __enter__(self) -> Self:
        self._live.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._live.__exit__(*error)

    def show(self, world: World) -> None:
        table = tables.of_sessions(world.books.sessions(), world.deadline.elapsed())
        self._live.update(table, refresh=True)


def screen_for(as_json: bool) -> Screen:
    """Return the screen that suits standard output."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a tick that a terminal cannot show must not end the play
    if as_json:
        return JsonScreen()
    console = Console()
    if console.is_terminal and not console.is_dumb_terminal:
        return LiveScreen(console)
    return PlainScreen(console if console.is_terminal else Console(width=_WIDTH))


def _line(news: News, deadline: Deadline) -> str | None:
    """Return a line like `12.3s bob/dies running → stopping (dead)`, or None for a create: its start is shown
    instead."""
    if news.kind == "created":
        return None
    seconds = (news.at - deadline.began_at).total_seconds()
    before, after = news.data["previous_state"], news.data["state"]
    what = news.kind if before == after else " → ".join(filter(None, (before, after)))
    reason = f" ({news.data['stop_reason']})" if news.data["stop_reason"] else ""
    return f"{max(0.0, seconds):5.1f}s {news.subject} {what}{reason}"
