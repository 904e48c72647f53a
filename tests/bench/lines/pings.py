"""Pings per CPU-second of a ping process ÷ those of the bare HTTP client, at an upstream that answers at once."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from tests.bench.figures import Basis, Better, Figure
from tests.bench.run import Run, in_flight_at_most, middle, peer, say
from tests.bench.seeds import Seeds, seed
from tests.bench.stage import Stage, pids
from tests.bench.usage import measured
from tests.processes.platform import Running
from tests.waiting import eventually

_WAIT_LIMIT = 600.0
_WARM = 1_000
_MAKE_DUE = (
    "UPDATE sessions SET next_step = 'ping', ping_at = %s, next_step_at = %s"
    " WHERE id < %s /* of the benchmark */"
)
_SOON = "SELECT clock_timestamp() + interval '2 seconds' /* of the benchmark */"
_HAS_COME = "SELECT clock_timestamp() >= %s /* of the benchmark */"
#: How many were pinged since an instant.
DONE = "SELECT count(*) FROM sessions WHERE last_ping_at > %s /* of the benchmark */"


@dataclass(frozen=True, kw_only=True, slots=True)
class Round:
    """Everything due pinged once."""

    pings: int
    cpu: float
    wall: float
    server_cpu: float
    statements: int

    @property
    def per_cpu(self) -> float:
        return self.pings / self.cpu


def measure(run: Run) -> Iterator[Figure]:
    """Measure with a cap of 64 for each of two providers, and with 2,000 in flight."""
    yield from _against_the_bare_client(run, name="64", cap=64, sessions=run.size.rows(12_000, 2_000))
    cap = in_flight_at_most(2_000) // 2
    yield from _against_the_bare_client(run, name="2000", cap=cap, sessions=run.size.rows(20_000, 4_000))


def _against_the_bare_client(run: Run, *, name: str, cap: int, sessions: int) -> Iterator[Figure]:
    ours: list[Round] = []
    bare: list[float] = []
    with pinging(run, cap=cap, sessions=sessions, delay_ms=0) as (stage, worker, urls):
        ping_all(stage, worker, min(sessions, _WARM))  # code and connections are warm
        for _ in range(run.size.rounds):
            said = peer("bare_client", ",".join(urls.values()), 2 * cap, sessions)
            bare.append(said["count"] / said["cpu"])
            ours.append(ping_all(stage, worker, sessions))
            say(
                f"pings, {2 * cap} in flight: {ours[-1].per_cpu:,.0f} per CPU-s, the bare client {bare[-1]:,.0f}"
            )
    yield Figure(
        name=f"pings/bare-{name}",
        title=f"pings per CPU-s ÷ bare loop of the same client, 0 ms, {2 * cap} in flight",
        value=middle([our.per_cpu / other for our, other in zip(ours, bare, strict=True)]),
        peer="httpx over aiohttp in a loop",
        must=0.7,
        goal=1.0,
        absolute={
            "pings per CPU-s": middle([one.per_cpu for one in ours]),
            "bare requests per CPU-s": middle(bare),
            "pings per s": middle([one.pings / one.wall for one in ours]),
            "CPU-ms of PostgreSQL for a ping": middle([1000 * one.server_cpu / one.pings for one in ours]),
        },
    )
    yield Figure(
        name=f"pings/statements-{name}",
        title=f"statements for 100 pings, {2 * cap} in flight",
        value=middle([100 * one.statements / one.pings for one in ours]),
        basis=Basis.STATEMENTS,
        better=Better.LESS,
    )


@contextmanager
def pinging(
    run: Run, *, cap: int, sessions: int, delay_ms: float
) -> Iterator[tuple[Stage, Running, Mapping[str, str]]]:
    """Yield a stage with running sessions at two providers, its ping process, and the providers' URLs."""
    delays = {"alpha": delay_ms, "beta": delay_ms}
    with run.upstreams(delays) as urls, run.stage("pings") as stage:
        stage.configure({name: {"base_url": url, "max_in_flight": cap} for name, url in urls.items()})
        seed(stage, Seeds(sessions=sessions, accounts=sessions // 10, providers=urls))
        yield stage, stage.worker("ping"), urls


def ping_all(stage: Stage, worker: Running, sessions: int) -> Round:
    """Make this many sessions due at once, and wait until each was pinged. The clock begins when they are due: a
    wake-up before that finds nothing, and the next one comes seconds later."""
    due = stage.value(_SOON)
    stage.sql.execute(_MAKE_DUE.encode(), (due, due, f"s{sessions:07}"))
    stage.sql.execute("VACUUM (ANALYZE, INDEX_CLEANUP ON) sessions, next_steps")
    stage.forget_counts()
    eventually(lambda: stage.value(_HAS_COME, due), "the pings are due", every=0.01)
    server_cpu = stage.server_cpu()
    with measured(pids([worker])) as spent:
        stage.wake("ping")
        eventually(lambda: stage.value(DONE, due) >= sessions, "every ping", _WAIT_LIMIT, every=0.2)
    return Round(
        pings=sessions,
        cpu=spent.cpu,
        wall=spent.wall,
        server_cpu=stage.server_cpu() - server_cpu,
        statements=stage.counts().statements,
    )
