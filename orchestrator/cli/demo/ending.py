"""The end of the play: the providers' own view, and whether the books add up."""

from collections.abc import Iterator

from orchestrator.cli.demo import cast
from orchestrator.cli.demo.actor import World
from orchestrator.cli.demo.checks import Expectation, ProviderView

#: Where a session of ours may rest: over, or never started.
_AT_REST = {"created", "stopped", "failed"}


def check_providers(view: ProviderView) -> Iterator[Expectation]:
    """Check the platform's conduct in the simulator's report."""
    yield _check("nothing is open any more: 0", str(view.open_now), view.open_now == 0)
    closed = f"{view.opens} opened, {view.closes} closed"
    yield _check("all that was opened was closed by us", closed, 0 < view.opens == view.closes)
    most = view.most_active_per_key.get(cast.GATEWAY, {})
    peaks = f"at most {max(most.values(), default=0)} on any of {len(most)} keys"
    yield _check("one session a key at a time", peaks, set(most.values()) == {1})
    late = view.pings_after_close
    yield _check("no ping after a confirmed close: 0", str(late), late == 0)


def check_books(world: World) -> Iterator[Expectation]:
    """Check the database: no session is live, and every balance equals its ledger."""
    sessions = world.books.sessions()
    live = [session["id"] for session in sessions if session["state"] not in _AT_REST]
    rested = f"{len(sessions)} sessions" + (f", live: {', '.join(live)}" if live else ", none live")
    yield Expectation("platform", "no session lives on", rested, bool(sessions) and not live)
    balances = world.books.balances()
    wrong = [balance.account_id for balance in balances if not balance.is_right]
    added = f"{len(balances)} accounts" + (f", wrong: {', '.join(wrong)}" if wrong else ", all equal")
    yield Expectation(
        "platform", "every balance equals its ledger, none below 0", added, bool(balances) and not wrong
    )


def _check(expected: str, happened: str, ok: bool) -> Expectation:
    return Expectation("providers", expected, happened, ok)
