"""The command `top`: look, draw, wait for a key, again."""

import sys
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from orchestrator.cli.shared.failures import Complaint
from orchestrator.cli.top.screen import Look, TopScreen, looked, pressed

if TYPE_CHECKING:
    from rich.console import Console

#: Seconds between two looks.
EVERY = 2.0


def top() -> None:
    """Show what lives, live: keys sort, filter and explain. Needs a terminal."""
    from orchestrator.cli.top.keyboard import is_terminal, keys_of

    if not is_terminal():
        raise Complaint("top needs a terminal: `orchestrator session list` prints the same once")
    from orchestrator.cli.shared.output import console_of
    from orchestrator.cli.shared.reading import opened
    from orchestrator.cli.top.looking import Observer

    with opened() as database, keys_of(sys.stdin.fileno()) as keyboard:
        run(console_of(), Observer(database).look, keyboard.wait, time.monotonic)


def run(
    console: "Console",
    look: Callable[[TopScreen | None], Look],
    wait: Callable[[float], Sequence[str]],
    clock: Callable[[], float],
) -> None:
    """Show the screen until a key ends it. A key that changes what is read is followed by a look at once."""
    from rich.console import Group
    from rich.live import Live

    from orchestrator.cli.top.drawing import drawn

    screen, look_at = TopScreen(look=look(None)), clock() + EVERY
    with Live(console=console, screen=console.is_terminal, auto_refresh=False) as live:
        while not screen.over:
            live.update(Group(*drawn(screen, console.height)), refresh=True)
            before = screen
            for key in wait(max(look_at - clock(), 0.0)):
                screen = pressed(screen, key)
            if clock() >= look_at or _needs_a_look(before, screen):
                screen, look_at = looked(screen, look(screen)), clock() + EVERY


def _needs_a_look(before: TopScreen, after: TopScreen) -> bool:
    return (before.live_only, before.explained) != (after.live_only, after.explained)
