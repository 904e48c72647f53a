"""What a given number of live sessions needs, from the figures of a run and nothing else."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from orchestrator.rules.values import Policy
from orchestrator.tasks.pools import POOLS
from tests.bench.numbers import number
from tests.bench.results import Results

#: Live sessions.
SIZES = (10_000, 100_000, 1_000_000)
#: The share of a core's time that is planned with; the rest is for bursts.
PLANNED = 0.6
#: Figures that sizing is derived from: pings of a process with many in flight, and the tick beside most rows.
_PINGS, _CLAIMS = "pings/bare-2000", "claims/cpu"
_PER_CPU, _SERVER_MS, _MIB = "pings per CPU-s", "CPU-ms of PostgreSQL for a ping", "MiB of the database"
_LIVE = "sessions"


@dataclass(frozen=True, kw_only=True, slots=True)
class Need:
    """What one size needs with the default interval between pings."""

    sessions: int
    pings_a_second: float
    ping_processes: int
    connections: int
    """Of all worker processes to PostgreSQL: kept open; twice as many under load."""
    server_cores: float
    """Of PostgreSQL, for pings alone."""
    gigabytes: float
    """Rows and indexes of what lives."""


def needs(results: Results) -> Sequence[Need]:
    """Return what each size needs; none if the run lacks the figures."""
    pings, claims = results.figure(_PINGS), results.figure(_CLAIMS)
    if pings is None or claims is None:
        return []
    mib_each = claims.absolute[_MIB] / claims.absolute[_LIVE]
    found = []
    for sessions in SIZES:
        a_second = sessions / Policy().ping_interval_seconds
        processes = math.ceil(a_second / (PLANNED * pings.absolute[_PER_CPU]))
        found.append(
            Need(
                sessions=sessions,
                pings_a_second=a_second,
                ping_processes=processes,
                connections=_connections(processes),
                server_cores=a_second * pings.absolute[_SERVER_MS] / 1000 / PLANNED,
                gigabytes=sessions * mib_each / 1024,
            )
        )
    return found


def markdown(results: Results) -> str:
    """Return the table."""
    lines = [
        f"Derived from the run at commit `{results.machine['commit'][:12]}` (scale {results.scale:g}): cores as busy as"
        f" {PLANNED:.0%}, an interval of {Policy().ping_interval_seconds:g} s.",
        "",
        "| live sessions | pings/s | ping processes | connections kept open | cores of PostgreSQL | GB of rows |",
        "|---|---|---|---|---|---|",
        *(_row(need) for need in needs(results)),
    ]
    return "\n".join(lines) + "\n"


def _connections(ping_processes: int) -> int:
    """Return the connections of these ping processes and of one process of each other kind."""
    others = sum(pool.connections for kind, pool in POOLS.items() if kind != "ping")
    return ping_processes * POOLS["ping"].connections + others


def _row(need: Need) -> str:
    cells = (
        need.sessions,
        need.pings_a_second,
        need.ping_processes,
        need.connections,
        need.server_cores,
        need.gigabytes,
    )
    return "| " + " | ".join(map(number, cells)) + " |"
