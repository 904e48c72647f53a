"""Interactions per CPU-second of a control process, reported in batches of 500 over 500, 50 and one session."""

from collections.abc import Iterator

from tests.bench.figures import Basis, Better, Figure
from tests.bench.run import Run, middle, say
from tests.bench.seeds import Seeds, seed
from tests.bench.stage import Stage, pids
from tests.bench.usage import measured
from tests.processes.platform import Running

_WAIT_LIMIT = 600.0
_BATCH = 500
#: Sessions of a batch → the limit and the goal.
_LIMITS = {500: (8_000, 20_000), 50: (20_000, 20_000), 1: (40_000, 40_000)}
_ACCOUNTS = 50


def measure(run: Run) -> Iterator[Figure]:
    """Measure all three by turns."""
    per_cpu: dict[int, list[float]] = {sessions: [] for sessions in _LIMITS}
    statements: dict[int, list[float]] = {sessions: [] for sessions in _LIMITS}
    with run.stage("interactions") as stage:
        url = "http://127.0.0.1:9/v1"
        stage.configure({"alpha": {"base_url": url}})
        seed(stage, Seeds(sessions=_BATCH, accounts=_ACCOUNTS, providers={"alpha": url}))
        worker = stage.worker("control")
        _report(stage, worker, _BATCH, 1)
        for _ in range(run.size.rounds):
            for sessions, found in per_cpu.items():
                batches = run.size.rows(40 if sessions == _BATCH else 80, 5)
                stage.forget_counts()
                found.append(_report(stage, worker, sessions, batches))
                statements[sessions].append(stage.counts().statements / batches)
                said = f"{found[-1]:,.0f} per CPU-s, {statements[sessions][-1]:.0f} statements a batch"
                say(f"interactions over {sessions} sessions: {said}")
    for sessions, (must, goal) in _LIMITS.items():
        yield Figure(
            name=f"interactions/{sessions}",
            title=f"interactions per CPU-s, batches of {_BATCH} over {sessions} sessions",
            value=middle(per_cpu[sessions]),
            unit="/CPU-s",
            must=must,
            goal=goal,
        )
        yield Figure(
            name=f"interactions/statements-{sessions}",
            title=f"statements for a batch of {_BATCH} over {sessions} sessions, with those of the ticks meanwhile",
            value=middle(statements[sessions]),
            basis=Basis.STATEMENTS,
            better=Better.LESS,
        )


def _report(stage: Stage, worker: Running, sessions: int, batches: int) -> float:
    """Return the interactions of a CPU-second. Each batch is sent when the one before it was answered, so that none
    waits for another's locks."""
    batch = [{"session_id": f"s{_number(n % sessions):07}", "count": 1} for n in range(_BATCH)]
    with measured(pids([worker])) as spent:
        for _ in range(batches):
            task_id = stage.client.send("orchestrator.session.record_interactions", {"batch": batch})
            outcome = stage.client.wait(task_id, _WAIT_LIMIT)
            assert outcome is not None, "no outcome"
            assert outcome["result"]["accepted"] == _BATCH, outcome
    return _BATCH * batches / spent.cpu


def _number(n: int) -> int:
    """Return the number of a session, so that ten of them belong to one account: session `k` is of account `k % 50`."""
    return n % 10 * _ACCOUNTS + n // 10
