"""The command `top`: look, draw, wait for a key, again."""

import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from orchestrator.cli.shared.failures import WRONG, Complaint, explained
from orchestrator.cli.top.screen import Look, TopScreen, looked, pressed

if TYPE_CHECKING:
    from rich.console import Console

#: Seconds between two looks.
EVERY = 2.0


def top() -> None:
    """Show what lives, live: keys sort, filter and explain. Needs a terminal."""
    from orchestrator.cli.top.keyboard import is_terminal, keys_of

    if not is_terminal():
        raise Complaint("top needs a terminal: `orchestrator session list` prints the same once", WRONG)
    from orchestrator.cli.shared.output import console_of
    from orchestrator.cli.shared.reading import opened
    from orchestrator.cli.top.looking import Observer

    with opened() as database, keys_of(sys.stdin.fileno()) as keyboard:
        signal.signal(signal.SIGTERM, _leave)
        run(console_of(), Observer(database).look, keyboard.wait, time.monotonic)


def _leave(number: int, _frame: object) -> None:
    """End as after any fault, so that the terminal is left as it was."""
    sys.exit(128 + number)


def run(
    console: "Console",
    look: Callable[[TopScreen | None], Look],
    wait: Callable[[float], Sequence[str]],
    clock: Callable[[], float],
) -> None:
    """Show the screen until a key ends it. A key that changes what is read is followed by a look at once. A
    database that does not answer meanwhile is checked again."""
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
                screen, look_at = _looked_again(screen, look), clock() + EVERY


def _looked_again(screen: TopScreen, look: Callable[[TopScreen | None], Look]) -> TopScreen:
    """Return the screen with a new look; with the last one and the fault, where the database does not answer."""
    from orchestrator.store.database import StoreError, StoreUnavailable

    try:
        return looked(screen, look(screen))
    except (StoreError, StoreUnavailable) as error:
        failure = explained(error)
        return replace(screen, fault=failure.lines[0] if failure else type(error).__name__)


def _needs_a_look(before: TopScreen, after: TopScreen) -> bool:
    return (before.live_only, before.explained) != (after.live_only, after.explained)
