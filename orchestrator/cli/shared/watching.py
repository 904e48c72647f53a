"""`--watch`: show the same again and again, on a terminal."""

import sys
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from orchestrator.cli.shared.output import console_of
from orchestrator.cli.shared.usage import Misused

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

#: Seconds between two looks.
EVERY = 2.0
Watch: TypeAlias = Annotated[
    bool, typer.Option("--watch", "-w", help="Show it again every 2 s, until Ctrl-C.")
]


def watched(look: Callable[[], Sequence["RenderableType"]]) -> None:
    """Show what `look` returns, every two seconds. Raises Misused without a terminal."""
    if not sys.stdout.isatty():
        raise Misused("--watch needs a terminal: leave it out, or use `orchestrator events --follow`")
    watch_on(console_of(), look, lambda: time.sleep(EVERY))


def watch_on(
    console: "Console", look: Callable[[], Sequence["RenderableType"]], wait: Callable[[], None]
) -> None:
    """Show it on this console until `wait` is interrupted."""
    from rich.console import Group
    from rich.live import Live

    with Live(Group(*look()), console=console, screen=console.is_terminal, auto_refresh=False) as live:
        try:
            while True:
                live.update(Group(*look()), refresh=True)
                wait()
        except KeyboardInterrupt:
            return
