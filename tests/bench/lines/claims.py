"""A tick of 500 due pings beside a thousand and beside a million sessions that live: what the server does for it."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

from orchestrator.flows.engine.services import Services
from orchestrator.flows.steps.ping.ping_due import ping_due
from tests.bench.figures import Basis, Better, Figure
from tests.bench.run import Run, middle, say
from tests.bench.seeds import Seeds, seed
from tests.bench.stage import Stage, services_of

_DUE, _TICKS = 500, 21
_FEW, _MANY = 1_000, 1_000_000
#: Flat: what is left of a difference is noise and a level of an index.
_MUST, _GOAL = 1.3, 1.1
_MAKE_DUE = (
    "UPDATE sessions SET next_step = 'ping', ping_at = %s, next_step_at = %s, lease_token = NULL, leased_at = NULL,"
    " lease_until = NULL WHERE id < %s /* of the benchmark */"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Work:
    """What one tick took."""

    server_ms: float
    statements: int
    blocks: int
    size_mib: float


def measure(run: Run) -> Iterator[Figure]:
    """Measure both sizes, one after the other: each needs a database of its own."""
    many = run.size.rows(_MANY)
    few, large = _tick(run, _FEW), _tick(run, many)
    say(f"claims: {few.server_ms:.0f} CPU-ms beside {_FEW:,}, {large.server_ms:.0f} CPU-ms beside {many:,}")
    yield Figure(
        name="claims/cpu",
        title=f"CPU of PostgreSQL for a tick of {_DUE} pings beside {many:,} that live ÷ beside {_FEW:,}",
        value=large.server_ms / few.server_ms,
        better=Better.LESS,
        must=_MUST,
        goal=_GOAL,
        absolute={
            "CPU-ms beside a thousand": few.server_ms,
            "CPU-ms beside all": large.server_ms,
            "MiB of the database": large.size_mib,
            "sessions": many,
        },
    )
    yield Figure(
        name="claims/statements",
        title=f"statements of a tick beside {many:,} that live ÷ beside {_FEW:,}",
        value=large.statements / few.statements,
        basis=Basis.STATEMENTS,
        better=Better.LESS,
        must=_MUST,
        goal=_GOAL,
    )
    yield Figure(
        name="claims/blocks",
        title=f"blocks that a tick touches beside {many:,} that live ÷ beside {_FEW:,}",
        value=large.blocks / few.blocks,
        basis=Basis.ROWS,
        better=Better.LESS,
        must=2.0,
        goal=1.5,
        absolute={"blocks beside a thousand": few.blocks, "blocks beside all": large.blocks},
    )


def _tick(run: Run, live: int) -> Work:
    with run.upstreams({"alpha": 0}) as urls, run.stage("claims") as stage:
        stage.configure({"alpha": {"base_url": urls["alpha"], "max_in_flight": _DUE}})
        accounts = max(live // 100, 1)
        seed(stage, Seeds(sessions=live, accounts=accounts, providers=urls, counts_money=False))
        with services_of(stage) as services:
            taken = [_one(stage, services) for _ in range(_TICKS)][1:]
        size = stage.value("SELECT pg_database_size(current_database()) / 1048576.0")
        return Work(
            server_ms=middle([one.server_ms for one in taken]),
            statements=round(middle([one.statements for one in taken])),
            blocks=round(middle([one.blocks for one in taken])),
            size_mib=float(size),
        )


def _one(stage: Stage, services: Services) -> Work:
    now = stage.value("SELECT clock_timestamp()")
    due = now - timedelta(seconds=1)
    stage.sql.execute(_MAKE_DUE.encode(), (due, due, f"s{_DUE:07}"))
    stage.sql.execute("VACUUM sessions, next_steps")
    stage.forget_counts()

    before = stage.server_cpu()
    settled = 0
    while settled < _DUE:  # a process begins with fewer claims at once
        tally = ping_due(services)
        assert tally.settled, tally
        settled += tally.settled
    server_ms = 1000 * (stage.server_cpu() - before)
    query = (
        "SELECT sum(calls), sum(shared_blks_hit + shared_blks_read) FROM pg_stat_statements"
        " WHERE query NOT LIKE '%%pg_stat_statements%%' AND query NOT LIKE '%%of the benchmark%%'"
    )
    row = stage.sql.execute(query.encode(), ()).fetchone()
    assert row is not None
    return Work(server_ms=server_ms, statements=int(row[0]), blocks=int(row[1]), size_mib=0)
