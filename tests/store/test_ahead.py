"""After the clock went back, the platform's own upkeep waits no longer than it would have."""

from datetime import timedelta
from typing import Any

from sqlalchemy import insert, select

from orchestrator.rules.values import ApiToken, Scope
from orchestrator.store.database import Database
from orchestrator.store.plain import table_of
from tests.rules.builders import T0

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
LEASES, TOKENS = table_of("leases"), table_of("tokens")
HOOKS, WAITING = table_of("webhooks"), table_of("webhook_deliveries")


def test_leases_and_waits_are_brought_back_by_as_much_as_the_clock(database: Database) -> None:
    """A clock that was an hour ahead had written them."""
    ahead = T0 + HOUR
    lease: dict[str, Any] = {
        "name": "delivery",
        "holder": "one",
        "fence": 1,
        "until": ahead + HOUR / 2,
        "at": ahead,
    }
    waiting: dict[str, Any] = {
        "webhook": "hook",
        "seq": 1,
        "event_id": "e",
        "type": "t",
        "subject": "s",
        "data": {},
        "tries": 1,
    }
    waiting |= {"time": ahead, "since": ahead, "next_at": ahead + HOUR / 2}
    hook: dict[str, Any] = {
        "name": "hook",
        "url": "https://shop.example/hook",
        "secret_refs": (),
        "event_types": (),
    }
    hook |= {"account_ids": (), "active": True, "from_file": False, "place": 0, "failures": 0}
    hook |= {"next_at": ahead + HOUR, "created_at": T0}
    with database.engine.begin() as connection:
        connection.execute(insert(LEASES).values(lease))
        connection.execute(insert(HOOKS).values(hook))
        connection.execute(insert(WAITING).values(waiting))

    database.transact(lambda tx: tx.ahead.correct_upkeep(HOUR, T0))

    with database.engine.begin() as connection:
        assert connection.execute(select(LEASES.c.until, LEASES.c.at)).one() == (T0 + HOUR / 2, T0)
        assert connection.execute(select(HOOKS.c.next_at, HOOKS.c.created_at)).one() == (T0 + HOUR, T0)
        found = connection.execute(select(WAITING.c.next_at, WAITING.c.since, WAITING.c.time)).one()
        assert found == (T0 + HOUR / 2, T0, ahead), "an event bears the time that it was sent with"


def test_what_people_chose_and_what_is_not_ahead_stays(database: Database) -> None:
    token = ApiToken(
        id="one", name="shop", digest="d", scopes=(Scope.READ,), created_at=T0, expires_at=T0 + DAY
    )
    lease = {"name": "delivery", "holder": "one", "fence": 1, "until": T0, "at": T0 - HOUR}
    with database.engine.begin() as connection:
        connection.execute(insert(LEASES).values(lease))
    database.transact(lambda tx: tx.tokens.insert(token))

    database.transact(lambda tx: tx.ahead.correct_upkeep(HOUR, T0))

    with database.engine.begin() as connection:
        assert connection.execute(select(TOKENS.c.expires_at)).scalar_one() == T0 + DAY
        assert connection.execute(select(LEASES.c.until, LEASES.c.at)).one() == (T0, T0 - HOUR)
