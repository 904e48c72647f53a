"""A platform of real processes at its end: is it at rest, and what do its logs and rows show?"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import func, select

from orchestrator import wiring
from orchestrator.rules.states import TERMINAL
from orchestrator.settings import Settings
from orchestrator.simulator import Call, SimSession
from orchestrator.store.database import Database
from orchestrator.store.queries.outbox import OUTBOX
from tests.chaos.load import Load
from tests.processes.platform import Platform
from tests.simulation.evidence import Evidence, gather
from tests.waiting import Unseen, eventually


def moves(platform: Platform, accounts: Sequence[str]) -> dict[str, int]:
    """Return what is not at rest yet."""
    with platform.database.reading() as tx:
        sessions = [s for account in accounts for s in tx.sessions.listed(account_id=account, limit=100_000)]
        live = sum(s.state not in TERMINAL for s in sessions)
        due = tx.placements.oldest_due()
        waiting = select(func.count()).where(OUTBOX.c.delivered_at.is_(None))
        events = tx.connection.execute(waiting).scalar_one()
    found = {"sessions": live, "events": events, **{f"placements to {step}": 1 for step in due}}
    return {what: count for what, count in found.items() if count}


def wait_for_rest(look: Callable[[], dict[str, int]], wait_limit: float) -> None:
    """Return once `look` finds nothing under way; raise `Unseen` with its last finding after `wait_limit` seconds."""
    try:
        eventually(lambda: not look(), "rest", wait_limit)
    except Unseen:
        if left := look():
            raise Unseen(f"after {wait_limit:g} s not at rest: {left}") from None


@contextmanager
def closing_database(url: str) -> Iterator[Database]:
    """Return a store with new connections, and close them."""
    database = Database(url)
    try:
        yield database
    finally:
        database.dispose()


def judged(
    platform: Platform, load: Load, troubles: Sequence[tuple[datetime, datetime]], **seen: Any
) -> Evidence:
    """Return the platforms' logs, and the rows as a new connection sees them. Gateways are called `morph`. `seen`: more
    of the evidence."""
    url = platform.database.url.render_as_string(hide_password=False)
    settings = Settings(database_url=url, config=platform.directory / "orchestrator.toml")
    with closing_database(url) as database:
        with database.reading() as tx:
            now = tx.now()
        found = gather(
            database,
            wiring.read_configuration(settings),
            now,
            upstream=[SimSession(**session) for session in platform.simulator.get("sessions")],
            calls=[Call(**call) for call in platform.simulator.get("log")],
            exclusive=frozenset({"morph"}),
            troubles=troubles,
            **seen,
        )
    # the test's own jobs have one outcome each; the clients' are compared with what they received
    own = {id_: [one] for id_, one in found.inbox.items() if one and not id_.startswith("client-")}
    return replace(found, answers={**load.answers, **own})
