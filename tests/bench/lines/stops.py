"""Stops: what one process does in a CPU-second, and how late they are while 100 sessions a second must stop."""

import time
from collections.abc import Iterator

from tests.bench.figures import Basis, Better, Figure
from tests.bench.run import Run, middle, say
from tests.bench.seeds import Seeds, end, seed, sessions_left
from tests.bench.stage import Stage, pids
from tests.bench.usage import measured
from tests.processes.platform import Running
from tests.waiting import Unseen, eventually

_WAIT_LIMIT = 600.0
#: Seconds after which all sessions of a round are due.
_ALL_DUE = 1.1
#: Sessions that must stop in a second, and for how many seconds they come.
_A_SECOND, _SECONDS = 100, 60
#: Seconds from the instant at which a stop has effect to its commit; of one that still runs, until now.
_LAGS = """
SELECT percentile_cont(0.99) WITHIN GROUP (ORDER BY lag), max(lag), count(*) FROM (
  SELECT extract(epoch FROM coalesce(p.closing_since, p.ended_at, clock_timestamp()) - due) AS lag
  FROM (SELECT id, coalesce(stopped_at, stop_at) AS due FROM sessions WHERE id < %s) AS s
  JOIN placements p ON p.session_id = s.id WHERE due <= clock_timestamp()
) AS lags /* of the benchmark */
"""


def measure(run: Run) -> Iterator[Figure]:
    """Measure both."""
    yield from _per_cpu_second(run)
    yield from _lag(run)


def _per_cpu_second(run: Run) -> Iterator[Figure]:
    accounts = run.size.rows(10_000, 1_000)
    per_cpu, statements, server = [], [], []
    with run.stage("stops") as stage:
        stage.configure({"alpha": {"base_url": "http://127.0.0.1:9/v1"}})
        sessions = accounts * (run.size.rounds + 1)
        seed(stage, Seeds(sessions=sessions, accounts=accounts, providers={"alpha": "http://127.0.0.1:9/v1"}))
        worker = stage.worker("stop")
        for n in range(run.size.rounds):
            end(stage, n * accounts, (n + 1) * accounts, within_seconds=0)
            server_cpu = stage.server_cpu()
            cpu = _stop_all(stage, worker, (n + 1) * accounts)
            per_cpu.append(accounts / cpu)
            statements.append(stage.counts().statements / accounts)
            server.append(1000 * (stage.server_cpu() - server_cpu) / accounts)
            say(f"stops: {per_cpu[-1]:,.0f} per CPU-s, {statements[-1]:.1f} statements each")
    yield Figure(
        name="stops/cpu",
        title=f"stops per CPU-s of one process, {accounts:,} accounts with one due session each",
        value=middle(per_cpu),
        unit="/CPU-s",
        must=600,
        goal=1500,
        absolute={"CPU-ms of PostgreSQL for a stop": middle(server)},
    )
    yield Figure(
        name="stops/statements",
        title="statements for a stop",
        value=middle(statements),
        basis=Basis.STATEMENTS,
        better=Better.LESS,
    )


def _stop_all(stage: Stage, worker: Running, last: int) -> float:
    """Return the CPU-seconds until none of the sessions before `last` runs."""
    stage.forget_counts()
    with measured(pids([worker])) as spent:
        time.sleep(_ALL_DUE)
        stage.wake("stop")
        eventually(lambda: not sessions_left(stage, last), "every stop", _WAIT_LIMIT, every=0.2)
    return spent.cpu


def _lag(run: Run) -> Iterator[Figure]:
    live, seconds = run.size.rows(100_000), run.size.rows(_SECONDS, 6)
    with run.stage("stops") as stage:
        url = "http://127.0.0.1:9/v1"
        stage.configure({"alpha": {"base_url": url}})
        seed(stage, Seeds(sessions=live, accounts=run.size.rows(10_000), providers={"alpha": url}))
        stage.worker("stop")
        stage.start("scheduler")
        stopping = _A_SECOND * seconds
        end(stage, 0, stopping, within_seconds=seconds)
        try:
            eventually(lambda: not sessions_left(stage, stopping), "every stop", 2 * seconds + 30, every=1)
        except Unseen:
            say(f"stops: {sessions_left(stage, stopping):,} are still not carried out")
        p99, longest, count = stage.sql.execute(_LAGS.encode(), (f"s{stopping:07}",)).fetchone() or ()
    yield Figure(
        name="stops/lag",
        title=f"p99 lag of a stop, {live:,} live, {_A_SECOND} deadlines/s for {seconds} s",
        value=float(p99),
        unit="s",
        basis=Basis.WALL,
        better=Better.LESS,
        peer="10 s (dstack)",
        must=2,
        goal=1,
        absolute={"longest, s": float(longest), "stops": float(count)},
    )
