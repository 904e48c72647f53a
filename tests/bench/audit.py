"""The time of a run of the audit at 10,000 and at 1,000,000 rows of sessions, placements and ledger, on PostgreSQL.

make bench-audit [ARGS=--rows=3000000]

At each size the same number of sessions has just changed. Fails where the audit finds something, or where the time
grows with the rows."""

import argparse
import statistics
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from sqlalchemy import Connection, text

from orchestrator import wiring
from orchestrator.flows.audit.audit_store import audit_store
from orchestrator.flows.engine.services import Services
from orchestrator.rules.states import PlacementState, State, Step, StopReason
from orchestrator.rules.values import Due, Policy
from orchestrator.settings import Configuration, Settings
from orchestrator.store.plain import table_of
from orchestrator.store.queries.audit_findings import EVENTS_SINCE
from tests.servers import Postgres, postgres
from tests.store.stage import a_placement, a_running, an_account, keep, session_id, stock

HOUR = timedelta(hours=1)
#: Sessions that change between two runs, and runs at each size.
CHANGED, RUNS = 200, 5
#: Nothing is due while it runs.
UNHURRIED = Configuration(policy=Policy(ping_interval_seconds=600))
#: The factor that a run may take longer with a hundred times the rows.
MOST = 3.0


@dataclass(frozen=True)
class Measured:
    rows: int
    seconds: float
    found: int


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=1_000_000)
    rows = parser.parse_args().rows
    begun = time.monotonic()
    with postgres() as server:
        small, large = measure(server, 10_000), measure(server, rows)
    ratio = large.seconds / small.seconds
    for one in (small, large):
        say(f"{one.rows:>10,} rows  {one.seconds * 1000:8.1f} ms a run  {one.found} violations")
    say(f"ratio {ratio:.2f} (at most {MOST}); {time.monotonic() - begun:.0f} s in all")
    return int(ratio > MOST or small.found + large.found > 0)


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")


def measure(server: Postgres, rows: int) -> Measured:
    """Return the median run over a store of this many rows."""
    with server.fresh_database() as url:
        built = wiring.build(Settings(database_url=url), UNHURRIED, pool_size=2)
        try:
            fill(built.services, rows // 3)
            times, found = [], 0
            for _ in range(RUNS):
                built.services.database.transact(lambda tx: change(tx.connection))
                begun = time.perf_counter()
                found += audit_store(built.services).failed
                times.append(time.perf_counter() - begun)
            return Measured(rows // 3 * 3, statistics.median(times), found)
        finally:
            built.close()


def fill(services: Services, sessions: int) -> None:
    """Fill the store: one in ten sessions runs, the others have stopped; each has a placement, a charge and an
    event."""
    database, now = services.database, datetime.now(UTC)
    stock(database)
    lasting = {"created_at": now, "charges": 1}
    runs = lasting | {"running_at": now, "running_since": now, "price_per_node_hour": Decimal(0)}
    later = {"ping_at": now + HOUR, "due": Due(Step.PING, now + HOUR)}
    later |= {"stop_at": now + HOUR, "stop_at_reason": StopReason.MAX_DURATION, "max_duration_seconds": 3600}
    over = {
        "state": State.STOPPED,
        "running_since": None,
        "ran_microseconds": 600_000_000,
        "charged": Decimal(10),
        "stop_reason": StopReason.USER,
        "stopped_at": now,
        "ended_at": now,
        "due": None,
    }
    ended = {"state": PlacementState.CLOSED, "proof": "gone", "ended_at": now}
    keep(
        database,
        an_account("a0", plan="contract"),
        a_running(1, **runs, **later),
        a_running(2, **(lasting | {"running_at": now} | over)),
        a_placement(1),
        a_placement(2, **ended),
    )
    with database.engine.begin() as connection:
        multiply(connection, sessions)
    with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM ANALYZE"))
    database.transact(lambda tx: tx.findings.move({**_heads(tx.connection), EVENTS_SINCE: str(now)}, now))


def multiply(c: Connection, sessions: int) -> None:
    """Copy the two sessions, spread over accounts of ten each; delete the two themselves."""
    c.execute(text("SET LOCAL statement_timeout = 0"))
    accounts = sessions // 10 + 1
    rest = "plan, currency, balance, revision, created_at"
    spread = f"INSERT INTO accounts (id, {rest}) SELECT 'a' || k, {rest} FROM accounts, generate_series(1, :n) AS k"
    c.execute(text(f"{spread} WHERE id = 'a0'"), {"n": accounts})
    account = "'a' || (k / 10 + 1)"
    for table, templates, own in (
        ("sessions", (session_id(1), session_id(2)), {"id": "'s' || k", "name": "'n' || k"}),
        (
            "placements",
            ("placement-00001", "placement-00002"),
            {"id": "'p' || k", "session_id": "'s' || k", "handle": "'h' || k"},
        ),
    ):
        names = [column.name for column in table_of(table).columns]
        values = ", ".join((own | {"account_id": account}).get(name, name) for name in names)
        for template, which in zip(templates, ("k % 10 = 0", "k % 10 <> 0"), strict=True):
            copy = f"INSERT INTO {table} ({', '.join(names)}) SELECT {values}"
            c.execute(
                text(f"{copy} FROM {table}, generate_series(1, :n) AS k WHERE id = :t AND {which}"),
                {"n": sessions, "t": template},
            )
    for rubbish in ("outbox", "placements WHERE id LIKE 'placement-%'", "sessions WHERE id LIKE 'session-%'"):
        c.execute(text(f"DELETE FROM {rubbish}"))
    c.execute(
        text("DELETE FROM accounts WHERE NOT EXISTS (SELECT FROM sessions WHERE account_id = accounts.id)")
    )
    _post(c)


def _post(c: Connection) -> None:
    """Insert charges, the credits that paid them, and the last event of each session."""
    entry = (
        "INSERT INTO ledger (key, at, account_id, session_id, kind, debit, credit, amount, currency, note)"
    )
    c.execute(
        text(
            f"{entry} SELECT 'c:' || id, now(), account_id, id, 'charge', 'account:' || account_id, 'revenue',"
            " charged, 'USD', '' FROM sessions"
        )
    )
    c.execute(
        text(
            f"{entry} SELECT 'g:' || id, now(), id, NULL, 'credit', 'granted', 'account:' || id, 1000000000000,"
            " 'USD', '' FROM accounts"
        )
    )
    sums = "SELECT account_id, sum(CASE kind WHEN 'credit' THEN amount ELSE -amount END) AS b FROM ledger GROUP BY 1"
    c.execute(text(f"UPDATE accounts SET balance = s.b FROM ({sums}) AS s WHERE s.account_id = id"))
    c.execute(
        text(
            "INSERT INTO outbox (id, type, subject, time, data, delivered_at) SELECT 'e' || id,"
            " 'orchestrator.session.' || state, id, now(), json_build_object('state', state, 'previous_state',"
            " CASE state WHEN 'running' THEN 'starting' ELSE 'stopping' END), now() FROM sessions"
        )
    )


def change(c: Connection) -> None:
    """Change the health of some running sessions."""
    c.execute(
        text(
            "INSERT INTO outbox (id, type, subject, time, data, delivered_at) SELECT gen_random_uuid(),"
            " 'orchestrator.session.suspect', id, clock_timestamp(), json_build_object('state', 'running',"
            " 'previous_state', 'running'), now() FROM sessions WHERE next_step = 'ping' LIMIT :n"
        ),
        {"n": CHANGED},
    )


def _heads(c: Connection) -> dict[str, str]:
    last = {"events": "SELECT max(seq) FROM outbox", "entries": "SELECT max(id) FROM ledger"}
    return {feed: str(c.execute(text(query)).scalar_one()) for feed, query in last.items()}


if __name__ == "__main__":
    sys.exit(main())
