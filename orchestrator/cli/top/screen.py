"""What `top` shows, and what a key makes of it. Pure: no terminal, no clock, no database."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from orchestrator.cli.views.orders import KEYS, SortOrder

Json = dict[str, Any]
#: Where the filter looks for its text.
_SEARCHED = ("id", "name", "account_id", "model_id", "state", "provider")
UP, DOWN, PAGE_UP, PAGE_DOWN, HOME, END = "up", "down", "page up", "page down", "home", "end"
ENTER, ESCAPE, BACKSPACE, INTERRUPT = "enter", "escape", "backspace", "interrupt"
_PAGE = 10


@dataclass(frozen=True, kw_only=True, slots=True)
class Look:
    """What one look at the database found."""

    at: datetime
    sessions: Sequence[Json] = ()
    total: int = 0
    """As many sessions there are as the screen asked for, shown or not."""
    overview: Mapping[str, Any] = field(default_factory=dict)
    explanation: Json | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class TopScreen:
    """What is shown, and how."""

    look: Look
    order: SortOrder = SortOrder.STOPS
    reverse: bool = False
    live_only: bool = True
    filter: str = ""
    typing: bool = False
    """Keys are added to the filter."""
    selected: str | None = None
    """The id of the session that is marked."""
    explained: str | None = None
    """The id of the session that is explained, in place of the list."""
    fault: str | None = None
    """Why the last look failed: what is shown was found before."""
    over: bool = False

    @property
    def rows(self) -> Sequence[Json]:
        """The sessions that are listed, in their order."""
        wanted = self.filter.casefold()
        found = [one for one in self.look.sessions if _matches(one, wanted)]
        return sorted(found, key=KEYS[self.order], reverse=self.reverse)

    @property
    def place(self) -> int:
        """The place of the marked session among the rows; 0 where it is not among them any more."""
        ids = [one["id"] for one in self.rows]
        return ids.index(self.selected) if self.selected in ids else 0


def looked(screen: TopScreen, look: Look) -> TopScreen:
    """Return the screen with what a new look found. What is marked stays marked."""
    return replace(screen, look=look, fault=None)


def pressed(screen: TopScreen, key: str) -> TopScreen:
    """Return the screen after a key."""
    if key == INTERRUPT:
        return replace(screen, over=True)
    if screen.typing:
        return _typed(screen, key)
    if screen.explained is not None:
        return replace(screen, explained=None) if key in (ESCAPE, ENTER, "q") else screen
    act = _KEYS.get(key)
    return screen if act is None else act(screen)


def _typed(screen: TopScreen, key: str) -> TopScreen:
    match key:
        case "enter":
            return replace(screen, typing=False)
        case "escape":
            return replace(screen, typing=False, filter="")
        case "backspace":
            return replace(screen, filter=screen.filter[:-1])
        case _ if len(key) == 1:
            return replace(screen, filter=screen.filter + key)
        case _:
            return screen


def _moved(by: int) -> Callable[[TopScreen], TopScreen]:
    def move(screen: TopScreen) -> TopScreen:
        rows = screen.rows
        if not rows:
            return screen
        place = min(max(screen.place + by, 0), len(rows) - 1)
        return replace(screen, selected=rows[place]["id"])

    return move


def _next_order(screen: TopScreen) -> TopScreen:
    orders = list(SortOrder)
    return replace(screen, order=orders[(orders.index(screen.order) + 1) % len(orders)])


def _explain(screen: TopScreen) -> TopScreen:
    rows = screen.rows
    if not rows:
        return screen
    chosen = rows[screen.place]["id"]
    return replace(screen, selected=chosen, explained=chosen)


def _matches(session: Json, wanted: str) -> bool:
    return any(wanted in str(session[name] or "").casefold() for name in _SEARCHED)


_FAR = 1_000_000
_KEYS: Mapping[str, Callable[[TopScreen], TopScreen]] = {
    UP: _moved(-1),
    "k": _moved(-1),
    DOWN: _moved(1),
    "j": _moved(1),
    PAGE_UP: _moved(-_PAGE),
    PAGE_DOWN: _moved(_PAGE),
    HOME: _moved(-_FAR),
    END: _moved(_FAR),
    ENTER: _explain,
    "e": _explain,
    "s": _next_order,
    "r": lambda screen: replace(screen, reverse=not screen.reverse),
    "a": lambda screen: replace(screen, live_only=not screen.live_only),
    "/": lambda screen: replace(screen, typing=True),
    ESCAPE: lambda screen: replace(screen, filter=""),
    "q": lambda screen: replace(screen, over=True),
}
