"""Sessions that run, as many as a line needs, in a few statements: one is written by the store, and copied."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, text

from orchestrator.rules.states import Step, StopReason
from orchestrator.rules.values import Due
from orchestrator.store.plain import table_of
from tests.bench.stage import KEY_VARIABLE, Stage
from tests.rules.builders import a_model
from tests.store.stage import a_placement, a_running, an_account, keep, session_id

DAY = timedelta(days=1)
_FIRST = 1
#: A session that ends has run for ten minutes: its rules say so, and its charge is posted as it ends.
_END = """
UPDATE sessions SET stop_at = e.at, max_duration_seconds = 600,
  running_at = e.at - interval '600 seconds', running_since = e.at - interval '600 seconds'
FROM (SELECT id AS of, clock_timestamp() + interval '1 second' + random() * %s * interval '1 second' AS at
      FROM sessions WHERE id >= %s AND id < %s) AS e
WHERE id = e.of /* of the benchmark */
"""
#: What the triggers write that are left out for the largest runs, and that claims need.
_STEPS = (
    "INSERT INTO next_steps (session_id, step, at, provider) SELECT id, next_step, next_step_at, provider"
    " FROM sessions WHERE next_step IS NOT NULL ON CONFLICT DO NOTHING"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Seeds:
    """What is to be there."""

    sessions: int
    accounts: int = 1
    providers: Mapping[str, str]
    """Provider → the URL of its endpoints; sessions are spread evenly."""
    keys: Sequence[str] = ()
    """References of exclusive keys, one for each session; otherwise all share the one key."""
    fingerprints: Sequence[str] = ()
    price: Decimal = Decimal("0.6")
    counts_money: bool = True
    """Off for the largest runs: the triggers that sum up sessions are left out."""


def seed(stage: Stage, seeds: Seeds) -> None:
    """Write accounts, sessions that run and their placements. Nothing is due for a day."""
    _write_one(stage, seeds)
    with stage.database.engine.begin() as connection:
        connection.execute(text("SET LOCAL statement_timeout = 0"))
        if not seeds.counts_money:
            connection.execute(text("SET LOCAL session_replication_role = replica"))
        _copy_accounts(connection, seeds.accounts)
        _copy_sessions(connection, seeds)
        if not seeds.counts_money:
            connection.execute(text(_STEPS))
        _forget_the_first(connection)
    stage.vacuum()


def end(stage: Stage, first: int, last: int, *, within_seconds: float) -> None:
    """Let sessions `first` to `last` reach their longest duration: from a second from now on, spread evenly."""
    stage.sql.execute(_END.encode(), (within_seconds, f"s{first:07}", f"s{last:07}"))
    stage.sql.execute("VACUUM ANALYZE sessions")


def sessions_left(stage: Stage, last: int, states: str = "'running'") -> int:
    """Return how many of the sessions before `last` are in these states."""
    query = f"SELECT count(*) FROM sessions WHERE id < %s AND state IN ({states}) /* of the benchmark */"
    return int(stage.value(query, f"s{last:07}"))


def _write_one(stage: Stage, seeds: Seeds) -> None:
    now = datetime.now(UTC)
    provider, url = next(iter(seeds.providers.items()))
    ref = f"env:{KEY_VARIABLE}"
    model = a_model(
        providers=tuple(seeds.providers), provider_model_ids=dict.fromkeys(seeds.providers, "llama-3")
    )
    stage.database.transact(lambda tx: tx.models.put(model))
    account = an_account("a0", plan="contract", balance=Decimal(10**9), created_at=now)
    lives = {
        "running_at": now,
        "running_since": now,
        "starting_at": now,
        "last_ping_at": now,
        "last_alive_at": now,
        "stop_at": now + DAY,
        "stop_at_reason": StopReason.MAX_DURATION,
        "ping_at": now + DAY,
        "due": Due(Step.PING, now + DAY),
        "created_at": now,
        "max_duration_seconds": 86_400,
    }
    session = a_running(
        _FIRST, account_id="a0", provider=provider, credential=ref, price_per_node_hour=seeds.price, **lives
    )
    placement = a_placement(
        _FIRST,
        account_id="a0",
        provider=provider,
        credential=ref,
        price_per_node_hour=seeds.price,
        created_at=now,
        opened_at=now,
        endpoint_url=url,
        endpoint_model="llama-3",
        endpoint_auth="bearer",
        secret_ref=ref,
        ping_variant="max_tokens:16",  # as the first good ping has left it
    )
    keep(stage.database, account, session, placement)


def _copy_accounts(connection: Connection, accounts: int) -> None:
    names = _names("accounts")
    values = ", ".join("'a' || k" if name == "id" else name for name in names)
    connection.execute(
        text(
            f"INSERT INTO accounts ({', '.join(names)}) SELECT {values}"
            " FROM accounts, generate_series(1, :n) AS k WHERE id = 'a0'"
        ),
        {"n": accounts},
    )


def _copy_sessions(connection: Connection, seeds: Seeds) -> None:
    """Copy the session and its placement, each with what differs."""
    several = len(seeds.providers) > 1
    own = {
        "account_id": f"'a' || (k %% {seeds.accounts} + 1)".replace("%%", "%"),
        "provider": _chosen(tuple(seeds.providers)) if several else "provider",
        "credential": "(CAST(:keys AS text[]))[k + 1]" if seeds.keys else "credential",
    }
    of_session = own | {"id": "'s' || lpad(k::text, 7, '0')", "name": "'n' || k"}
    of_placement = own | {
        "id": "'p' || lpad(k::text, 7, '0')",
        "session_id": "'s' || lpad(k::text, 7, '0')",
        "handle": "'h' || k",
        "endpoint_url": _chosen(tuple(seeds.providers.values())) if several else "endpoint_url",
    }
    if seeds.keys:
        exclusive = {
            "exclusive": "true",
            "fingerprint": "(CAST(:fingerprints AS text[]))[k + 1]",
            "secret_ref": "(CAST(:keys AS text[]))[k + 1]",
        }
        of_placement |= exclusive
    for table, differs in (("sessions", of_session), ("placements", of_placement)):
        _copy(connection, table, differs, seeds)


def _copy(connection: Connection, table: str, differs: Mapping[str, str], seeds: Seeds) -> None:
    names = _names(table)
    values = ", ".join(differs.get(name, name) for name in names)
    query = (
        f"INSERT INTO {table} ({', '.join(names)}) SELECT {values} FROM {table},"
        f" generate_series(0, :n - 1) AS k WHERE id LIKE '%-0000{_FIRST}'"
    )
    parameters: dict[str, Any] = {"n": seeds.sessions}
    if seeds.keys:
        parameters |= {"keys": list(seeds.keys)}
        parameters |= {"fingerprints": list(seeds.fingerprints)} if ":fingerprints" in query else {}
    connection.execute(text(query), parameters)


def _forget_the_first(connection: Connection) -> None:
    connection.execute(text(f"DELETE FROM placements WHERE id = 'placement-0000{_FIRST}'"))
    connection.execute(text("DELETE FROM sessions WHERE id = :id"), {"id": session_id(_FIRST)})
    connection.execute(text("DELETE FROM outbox"))


def _chosen(texts: Sequence[str]) -> str:
    quoted = ", ".join("'" + one.replace(":", "\\:") + "'" for one in texts)
    return f"(ARRAY[{quoted}])[k % {len(texts)} + 1]"


def _names(table: str) -> list[str]:
    return [column.name for column in table_of(table).columns]
