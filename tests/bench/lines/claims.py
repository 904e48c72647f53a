"""A tick of 500 due pings beside a thousand and beside a million sessions that live: what the server does for it."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import timedelta

from orchestrator.flows.engine.services import Services
from orchestrator.flows.steps.ping.ping_due import ping_due
from tests.bench.figures import Basis, Better, Figure
from tests.bench.run import Run, middle, say
from tests.bench.seeds import Seeds, seed
from tests.bench.stage import Stage, services_of
from tests.bench.usage import cpu_seconds

_DUE, _TICKS = 500, 21
_FEW, _MANY = 1_000, 1_000_000
#: Flat: what is left of a difference is noise and a level of an index.
_MUST, _GOAL = 1.3, 1.1
_MAKE_DUE = (
    "UPDATE sessions SET next_step = 'ping', ping_at = %s, next_step_at = %s, lease_token = NULL, leased_at = NULL,"
    " lease_until = NULL WHERE id < %s /* of the benchmark */"
)
#: Its connections to the database. Other processes of the server write what was seeded, and belong to no tick.
_CONNECTED = (
    "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND backend_type = 'client backend'"
    " AND pid <> pg_backend_pid() /* of the benchmark */"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Work:
    """What one tick took."""

    server_ms: float
    statements: int
    blocks: int


@dataclass(frozen=True, kw_only=True, slots=True)
class _Crowd:
    """A database in which this many live."""

    stage: Stage
    services: Services

    def tick(self) -> Work:
        return _one(self.stage, self.services)


def measure(run: Run) -> Iterator[Figure]:
    """Measure both sizes by turns, each in a database of its own."""
    many = run.size.rows(_MANY)
    with ExitStack() as both:
        small, large = (_crowd(run, live, both) for live in (_FEW, many))
        pairs = [(small.tick(), large.tick()) for _ in range(_TICKS)][1:]
        size = float(large.stage.value("SELECT pg_database_size(current_database()) / 1048576.0"))
    yield from _figures(many, [few for few, _ in pairs], [beside for _, beside in pairs], size)


def _figures(many: int, few: Sequence[Work], large: Sequence[Work], size: float) -> Iterator[Figure]:
    few_ms, large_ms = (middle([one.server_ms for one in ticks]) for ticks in (few, large))
    few_blocks, large_blocks = (middle([one.blocks for one in ticks]) for ticks in (few, large))
    say(f"claims: {few_ms:.0f} CPU-ms beside {_FEW:,}, {large_ms:.0f} CPU-ms beside {many:,}")
    yield Figure(
        name="claims/cpu",
        title=f"CPU of PostgreSQL for a tick of {_DUE} pings beside {many:,} that live ÷ beside {_FEW:,}",
        value=middle([b.server_ms / a.server_ms for a, b in zip(few, large, strict=True)]),
        better=Better.LESS,
        must=_MUST,
        goal=_GOAL,
        absolute={
            "CPU-ms beside a thousand": few_ms,
            "CPU-ms beside all": large_ms,
            "MiB of the database": size,
            "sessions": many,
        },
    )
    yield Figure(
        name="claims/statements",
        title=f"statements of a tick beside {many:,} that live ÷ beside {_FEW:,}",
        value=middle([one.statements for one in large]) / middle([one.statements for one in few]),
        basis=Basis.STATEMENTS,
        better=Better.LESS,
        must=_MUST,
        goal=_GOAL,
    )
    yield Figure(
        name="claims/blocks",
        title=f"blocks that a tick touches beside {many:,} that live ÷ beside {_FEW:,}",
        value=large_blocks / few_blocks,
        basis=Basis.ROWS,
        better=Better.LESS,
        must=2.0,
        goal=1.5,
        absolute={"blocks beside a thousand": few_blocks, "blocks beside all": large_blocks},
    )


def _crowd(run: Run, live: int, closing: ExitStack) -> _Crowd:
    urls = closing.enter_context(run.upstreams({"alpha": 0}))
    stage = closing.enter_context(run.stage("claims"))
    stage.configure({"alpha": {"base_url": urls["alpha"], "max_in_flight": _DUE}})
    accounts = max(live // 100, 1)
    seed(stage, Seeds(sessions=live, accounts=accounts, providers=urls, counts_money=False))
    return _Crowd(stage=stage, services=closing.enter_context(services_of(stage)))


def _one(stage: Stage, services: Services) -> Work:
    now = stage.value("SELECT clock_timestamp()")
    due = now - timedelta(seconds=1)
    stage.sql.execute(_MAKE_DUE.encode(), (due, due, f"s{_DUE:07}"))
    stage.sql.execute("VACUUM sessions, next_steps")
    stage.forget_counts()

    before = _cpu_of(stage)
    settled = 0
    while settled < _DUE:  # a process begins with fewer claims at once
        tally = ping_due(services)
        assert tally.settled, tally
        settled += tally.settled
    server_ms = 1000 * (_cpu_of(stage) - before)
    query = (
        "SELECT sum(calls), sum(shared_blks_hit + shared_blks_read) FROM pg_stat_statements"
        " WHERE dbid = (SELECT oid FROM pg_database WHERE datname = current_database())"
        " AND query NOT LIKE '%%pg_stat_statements%%' AND query NOT LIKE '%%of the benchmark%%'"
    )
    row = stage.sql.execute(query.encode(), ()).fetchone()
    assert row is not None
    return Work(server_ms=server_ms, statements=int(row[0]), blocks=int(row[1]))


def _cpu_of(stage: Stage) -> float:
    """Return the CPU-seconds of the processes behind the connections to this database."""
    return cpu_seconds([pid for (pid,) in stage.sql.execute(_CONNECTED.encode()).fetchall()])
