"""Lists: live sessions first, page by page, sorted, since a while, and again and again."""

import io
import re

import pytest
from rich.console import Console

from orchestrator.cli.commands.session_list import page_of
from orchestrator.cli.shared.watching import watch_on
from orchestrator.cli.views.orders import SortOrder
from orchestrator.store.queries.pages import SessionFilter
from tests.cli.conftest import Cli
from tests.world import MINUTE, World


@pytest.fixture
def six(world: World) -> dict[str, str]:
    """Six sessions, one a minute: those called `over…` have ended, the others live or were never started."""
    world.done("account.put", account_id="acme", plan="contract", currency="USD")
    found: dict[str, str] = {}
    for name in ("one", "over1", "two", "over2", "idle", "three"):
        model = "moral" if name == "two" else "llama"
        if name == "idle":
            found[name] = world.create_session(start=False, session_id=name, name=name)
        else:
            found[name] = world.run_session(
                model, session_id=name, name=name, nodes=2 if name == "one" else 1
            )
        if name.startswith("over"):
            world.done("session.close", session_id=name)
        world.pass_time(MINUTE)
    return found


USUAL = ["three", "two", "one", "idle", "over2", "over1"]


def names(cli: Cli, *options: str) -> list[str]:
    return [session["name"] for session in cli("session", "list", "--json", *options).json]


def test_live_sessions_come_first_and_filters_hold(cli: Cli, six: dict[str, str]) -> None:
    assert names(cli) == USUAL
    assert names(cli, "--state", "live") == USUAL[:3]
    assert names(cli, "--state", "live", "--state", "stopped") == [*USUAL[:3], "over2", "over1"]
    assert names(cli, "--model", "mor") == names(cli, "--provider", "morph") == ["two"]
    assert names(cli, "--since", "2026-01-01T12:03") == ["three", "idle", "over2"]
    assert names(cli, "--since", "1h") == [], "the real clock is far ahead of the world's"
    assert cli("session", "list", "--since", "yesterday").code == 2
    assert cli("session", "list", "--model", "nothing").code == 3
    assert cli("session", "list", "--provider", "nothing").code == 3
    assert cli("provider", "orphans", "nothing").code == 3
    assert cli("provider", "orphans", "mor").code == 0


def test_pages_follow_each_other_without_a_gap(cli: Cli, six: dict[str, str], world: World) -> None:
    for size in (1, 2, 3, 4):
        assert _read_page_by_page(world, size) == USUAL
        said = cli("session", "list", "--limit", str(size))
        [cursor] = re.findall(rf"{size} of 6 sessions: `--after (\S+)` shows the next, `--all` all", said.err)
        assert names(cli, "--after", cursor) == USUAL[size:]
        assert names(cli, "--limit", str(size), "--all") == USUAL


def _read_page_by_page(world: World, size: int) -> list[str]:
    seen: list[str] = []
    after = None
    with world.services.database.reading() as tx:
        while True:
            page = page_of(tx, SessionFilter(), size, after)
            seen += [session.name for session in page.sessions]
            after = page.after
            if after is None:
                return seen


def test_a_cursor_that_leads_nowhere_is_refused(cli: Cli, six: dict[str, str]) -> None:
    assert cli("session", "list", "--after", "live:gone").code == 3
    assert cli("session", "list", "--after", "one", "--sort", "cost").code == 2


#: By what a list is sorted, and the names that come first then.
FIRST = {
    SortOrder.CREATED: ["three", "idle"],
    SortOrder.COST: ["one"],
    SortOrder.NAME: ["idle", "one"],
    SortOrder.PROVIDER: ["three"],
    SortOrder.STATE: ["idle", "three"],
    SortOrder.STOPS: ["one"],
    SortOrder.MODEL: ["three"],
    SortOrder.ACCOUNT: ["three"],
    SortOrder.PING: ["over1"],
}


def test_a_list_is_sorted_before_it_is_cut(cli: Cli, six: dict[str, str]) -> None:
    assert set(FIRST) == set(SortOrder)
    for order, first in FIRST.items():
        assert names(cli, "--sort", order.value)[: len(first)] == first, order
        said = cli("session", "list", "--sort", order.value, "--limit", "1", "--json")
        assert [session["name"] for session in said.json] == first[:1], order
        assert said.err == "1 of 6 sessions: `--all` shows all\n"


def test_a_list_of_accounts_has_pages_and_says_how_many_there_are(cli: Cli, world: World) -> None:
    for n in range(3):
        world.open_account(f"more-{n}")
    said = cli("account", "list", "--json", "--limit", "2")
    assert [account["id"] for account in said.json] == ["acme", "more-0"]
    assert said.err == "2 of 4 accounts: `--after more-0` shows the next, `--all` shows all\n"
    rest = cli("account", "list", "--json", "--after", "more-0")
    assert ([account["id"] for account in rest.json], rest.err) == (["more-1", "more-2"], "")
    assert len(cli("account", "list", "--json", "--limit", "1", "--all").json) == 4


def test_watching_shows_each_look_and_needs_a_terminal(cli: Cli, world: World) -> None:
    refused = cli("session", "list", "--watch")
    assert (refused.code, "needs a terminal" in refused.err) == (2, True)
    assert cli("session", "list", "--watch", "--json").code == 2
    looks, out = iter([f"look {n}" for n in range(9)]), io.StringIO()
    waits = iter([None, None])

    def wait() -> None:
        if next(waits, "over") == "over":
            raise KeyboardInterrupt

    watch_on(Console(file=out, force_terminal=True, width=80, highlight=False), lambda: [next(looks)], wait)
    assert all(look in out.getvalue() for look in ("look 1", "look 2", "look 3"))
