"""`top`: a key makes one screen of another, each screen is drawn, and the command goes round until a key ends it."""

import io
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import pytest
from rich.console import Console, Group

from orchestrator.cli.top import keyboard, screen
from orchestrator.cli.top.command import EVERY, run
from orchestrator.cli.top.drawing import drawn
from orchestrator.cli.top.keyboard import decoded
from orchestrator.cli.top.looking import Observer
from orchestrator.cli.top.screen import Look, TopScreen, looked, pressed
from orchestrator.cli.views.orders import SortOrder
from orchestrator.flows.reports import views
from orchestrator.store.core.error_classes import ErrorClass
from orchestrator.store.database import StoreOutage
from tests.cli.conftest import Cli
from tests.world import MINUTE, START, World


@pytest.fixture
def three(world: World) -> World:
    """Three sessions that run, and one that has ended."""
    world.done("account.put", account_id="acme", plan="contract", currency="USD")
    for name, model, minutes in (("one", "llama", 30), ("two", "moral", 10), ("three", "llama", 20)):
        world.run_session(model, session_id=name, name=name, stop={"max_duration_seconds": minutes * 60})
    over = world.run_session(session_id="over", name="over")
    world.done("session.close", session_id=over)
    world.settle()
    return world


def seen(world: World, **how: Any) -> TopScreen:
    with world.services.database.reading() as tx:
        found = tx.sessions.listed()
        sessions = views.of_sessions(tx, found, world.clock.now)
    live = [one for one in sessions if one["state"] == "running"]
    return TopScreen(look=Look(at=world.clock.now, sessions=live, total=len(live)), **how)


def after(shown: TopScreen, *keys: str) -> TopScreen:
    for key in keys:
        shown = pressed(shown, key)
    return shown


def ids(shown: TopScreen) -> list[str]:
    return [one["id"] for one in shown.rows]


def test_keys_sort_and_reverse_the_list(three: World) -> None:
    shown = seen(three)
    assert ids(shown) == ["two", "three", "one"], "what stops next stands first"
    assert ids(after(shown, "r")) == ["one", "three", "two"]
    by_cost = after(shown, "s")
    assert by_cost.order is SortOrder.COST
    assert after(shown, *"s" * len(SortOrder)).order is shown.order
    assert ids(replace(shown, order=SortOrder.NAME)) == ["one", "three", "two"]


def test_keys_mark_a_session_that_stays_marked_when_the_list_changes(three: World) -> None:
    shown = after(seen(three), "j")
    assert shown.rows[shown.place]["id"] == "three"
    assert after(shown, screen.UP, screen.UP, "k").place == 0
    assert after(shown, screen.END).rows[-1]["id"] == after(shown, screen.PAGE_DOWN).selected == "one"
    assert after(shown, screen.HOME).selected == after(shown, screen.PAGE_UP).selected == "two"
    assert after(shown, "r").selected == "three"
    fewer = looked(shown, replace(shown.look, sessions=shown.look.sessions[1:]))
    assert fewer.place in {0, 1}
    nothing = looked(shown, Look(at=START))
    assert after(nothing, screen.DOWN, screen.ENTER, "e") == nothing


def test_a_filter_is_typed_kept_and_cleared(three: World) -> None:
    typing = after(seen(three), "/", "M", "o", "x", screen.BACKSPACE, screen.UP)
    assert (typing.typing, typing.filter, ids(typing)) == (True, "Mo", ["two"])
    kept = after(typing, screen.ENTER)
    assert (kept.typing, kept.filter) == (False, "Mo")
    assert after(kept, "q").over, "keys act again"
    assert not after(typing, "q").over, "while a filter is typed, a letter is a letter"
    assert after(kept, screen.ESCAPE).filter == after(typing, screen.ESCAPE).filter == ""
    assert ids(replace(kept, filter="beta")) == []


def test_a_session_is_explained_and_left_again(three: World) -> None:
    shown = after(seen(three), "j", screen.ENTER)
    assert shown.explained == "three"
    assert after(shown, "s") == shown, "the list's keys do nothing meanwhile"
    assert after(shown, screen.ESCAPE).explained is None
    assert not after(shown, "q").over, "first back to the list"
    assert after(shown, screen.INTERRUPT).over
    assert after(seen(three), "a").live_only is False
    assert after(seen(three), "?") == seen(three), "an unknown key does nothing"


def text_of(shown: TopScreen, width: int = 80, height: int = 24) -> str:
    out = io.StringIO()
    Console(file=out, width=width, color_system=None).print(Group(*drawn(shown, height)))
    return out.getvalue()


def test_the_screen_fits_and_names_what_needs_a_look(three: World) -> None:
    look = Observer(three.services.database).look(None)
    text = text_of(TopScreen(look=look))
    assert max(map(len, text.splitlines())) <= 80
    assert len(text.splitlines()) <= 24
    summary = text.splitlines()[0]
    assert all(word in summary for word in ("UTC", "running 3", "burning 3.60 USD/h"))
    assert "no process does control" in text
    assert "1 to 3 of 3 live sessions by stops" in text
    assert text.index("two") < text.index("three") < text.index("one  ")
    three.server.fault("close_fails", operation="close")
    three.done("session.close", session_id="two")
    three.pass_time(11 * MINUTE)
    worse = text_of(TopScreen(look=Observer(three.services.database).look(None)))
    assert "1 closes unproven (0." in worse


def test_a_long_list_shows_what_is_around_the_marked_one(three: World) -> None:
    shown = seen(three)
    first = shown.look.sessions[0]
    many = [
        {**first, "id": f"s-{n:03}", "stop_at": f"2026-01-02T00:{n // 60:02}:{n % 60:02}Z"}
        for n in range(100)
    ]
    shown = looked(shown, replace(shown.look, sessions=many, total=5000))
    assert "1 to 14 of 100 live sessions (of 5000)" in text_of(shown)
    end = text_of(after(shown, screen.END))
    assert "87 to 100 of 100" in end
    assert "s-099" in end
    middle = text_of(replace(shown, selected="s-050", filter="s-0", typing=True))
    assert "s-050" in middle
    assert "filter: s-0" in middle
    assert "Esc clear" in middle


def test_the_explanation_stands_in_place_of_the_list(three: World, cli: Cli) -> None:
    observer = Observer(three.services.database)
    shown = after(TopScreen(look=observer.look(None)), "j", screen.ENTER)
    shown = looked(shown, observer.look(shown))
    text = text_of(shown)
    assert "would stop for" in text
    assert "max_duration" in text
    assert "Esc back" in text.splitlines()[2], "above the explanation, which a low terminal cuts"
    gone = replace(shown, explained="nothing")
    assert "session nothing is gone" in text_of(looked(gone, observer.look(gone)))


def test_all_sessions_are_read_when_they_are_asked_for(three: World) -> None:
    observer = Observer(three.services.database)
    shown = after(TopScreen(look=observer.look(None)), "a")
    assert {one["id"] for one in observer.look(shown).sessions} == {"one", "two", "three", "over"}


def test_it_goes_round_until_a_key_ends_it(three: World) -> None:
    observer, looks = Observer(three.services.database), 0
    presses: Iterator[Sequence[str]] = iter([[], ["j", screen.ENTER], [screen.ESCAPE], ["s"], ["q"]])
    now = iter(float(n) for n in range(100))

    def look(shown: TopScreen | None) -> Look:
        nonlocal looks
        looks += 1
        return observer.look(replace(shown, explained=None) if shown else None)

    out = io.StringIO()
    console = Console(file=out, width=80, height=24, force_terminal=True, color_system=None)
    run(console, look, lambda seconds: next(presses) if seconds <= EVERY else [], lambda: next(now))
    assert looks >= 3, "one at first, and one for each change of what is read"
    assert "by cost" in out.getvalue()


def test_a_database_that_goes_away_is_named_and_looked_at_again(three: World) -> None:
    observer, looks = Observer(three.services.database), 0
    presses: Iterator[Sequence[str]] = iter([[], [screen.ENTER], [screen.ESCAPE], ["s"], ["q"]])
    now = iter(float(n) for n in range(0, 1000, 3))
    seen_screens: list[TopScreen | None] = []

    def look(shown: TopScreen | None) -> Look:
        nonlocal looks
        looks += 1
        seen_screens.append(shown)
        if looks in (2, 3):
            raise StoreOutage(ErrorClass.DOWN, OSError("refused"))
        return observer.look(shown)

    out = io.StringIO()
    console = Console(file=out, width=80, height=24, force_terminal=True, color_system=None)
    run(console, look, lambda _: next(presses), lambda: next(now))
    assert seen_screens[2] is not None
    assert seen_screens[2].fault is not None, "it was read again"
    assert seen_screens[-1] is not None
    assert seen_screens[-1].fault is None, "and answers again"
    assert "last read at 12:00" in out.getvalue()


def test_what_was_read_before_a_fault_is_not_shown_for_another_session(three: World) -> None:
    observer = Observer(three.services.database)
    shown = after(TopScreen(look=observer.look(None)), screen.ENTER)
    shown = replace(looked(shown, observer.look(shown)), fault="the database does not answer")
    text = text_of(shown)
    assert "would stop for" in text
    other = text_of(replace(shown, explained="one"))
    assert "the database does not answer" in other
    assert "would stop for" not in other
    assert "is gone" not in other


@pytest.mark.parametrize(
    ("sent", "keys"),
    [
        (b"q", ["q"]),
        (b"jj\x1b[A", ["j", "j", screen.UP]),
        (b"\x1b[5~\x1b[6~\x1b[H\x1b[F", [screen.PAGE_UP, screen.PAGE_DOWN, screen.HOME, screen.END]),
        (b"\x1b", [screen.ESCAPE]),
        (b"\x1b[99;99R", []),
        ("ä\r".encode(), ["ä", screen.ENTER]),
        (b"\xff\x00x", ["x"]),
        (b"\x7f\x03", [screen.BACKSPACE, screen.INTERRUPT]),
        (b"", []),
    ],
)
def test_bytes_of_a_terminal_are_keys(sent: bytes, keys: list[str]) -> None:
    assert list(decoded(sent)) == keys


def test_without_a_terminal_it_says_so(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    said = cli("top")
    assert (said.code, said.out) == (2, "")
    assert "top needs a terminal" in said.err
    assert keyboard.is_terminal() is False
