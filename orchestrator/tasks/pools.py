"""The five kinds of work. Each is a process with its own slots, threads and connections, which no other kind can use
up."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from orchestrator.client.options import JOBS_QUEUE
from orchestrator.rules.installation.liveness import CLOSE, CONTROL, OPEN, PING, STOP
from orchestrator.tasks.wake_ups import queue_of


@dataclass(frozen=True, kw_only=True, slots=True)
class Pool:
    """One kind of work: what it consumes, and how much it may do at once.

    Its runners have threads of their own (`tasks.runner`), so messages need few: jobs are short transactions, and a
    wake-up only rings a bell."""

    queues: Sequence[str]
    threads: int = 2
    connections: int = 5
    """Connections to the database that are kept open; twice as many under load."""
    switch_seconds: float = 0.005
    """How long a thread computes before another that waits may interrupt it; the default is Python's own."""


POOLS: Mapping[str, Pool] = {
    # Each job waits for the database after less than a millisecond, so its threads take turns without interruptions.
    # Waking up only to interrupt each other costs them CPU (docs/benchmarks/limits.md).
    CONTROL: Pool(queues=(JOBS_QUEUE, queue_of(CONTROL)), threads=24, connections=12, switch_seconds=0.05),
    OPEN: Pool(queues=(queue_of(OPEN),), connections=8),
    **{kind: Pool(queues=(queue_of(kind),)) for kind in (STOP, CLOSE, PING)},
}
