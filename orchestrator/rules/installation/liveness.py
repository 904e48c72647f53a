"""Judge the processes by their rows: which are missing, which keep dying, and which have a wrong clock."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from orchestrator.rules.values import Worker

#: The kinds of work, each a kind of process.
CONTROL, STOP, CLOSE, OPEN, PING = KINDS = ("control", "stop", "close", "open", "ping")
#: The kind of process that sends wake-ups.
SCHEDULER = "scheduler"
#: A process that has not reported for this long is gone: it reports every few seconds.
GONE_AFTER = timedelta(seconds=15)
#: This many deaths within this time are a crash loop.
DEATHS, DEATHS_WITHIN = 3, timedelta(minutes=10)
#: A tree starts a process that died again after half a minute at most, and it then takes some seconds to report.
RESTARTED_WITHIN = timedelta(minutes=1)
#: A scheduler sends, and each kind of work receives, several wake-ups a second.
SILENT_AFTER = timedelta(seconds=15)
#: Seconds by which the clock of a machine may differ from the store's.
OFFSET_ALLOWED = 5.0
#: An alarm of a clock ends below this, so that an offset near the bound does not open and close it repeatedly.
OFFSET_OVER = 4.0


@dataclass(frozen=True, kw_only=True, slots=True)
class CrashLoop:
    """One kind of process on one host that dies repeatedly."""

    kind: str
    host: str
    deaths: int
    last_fault: str | None


def alive(workers: Iterable[Worker], now: datetime) -> list[Worker]:
    """Return the processes that have reported recently."""
    return [one for one in workers if now - one.seen_at <= GONE_AFTER]


def dead(workers: Iterable[Worker], now: datetime) -> list[Worker]:
    """Return the processes that stopped reporting recently. One that leaves in order has no row."""
    return [one for one in workers if GONE_AFTER < now - one.seen_at <= DEATHS_WITHIN]


def missing_kinds(workers: Iterable[Worker], now: datetime) -> list[str]:
    """Return the kinds of work for which no process is alive."""
    there = {one.kind for one in alive(workers, now)}
    return [kind for kind in KINDS if kind not in there]


def restarting_kinds(workers: Sequence[Worker], now: datetime) -> list[str]:
    """Return the missing kinds that a process tree has restarted before and will start again soon."""
    by_tree = {one.kind for one in workers if one.restarts and now - one.seen_at <= RESTARTED_WITHIN}
    return [kind for kind in missing_kinds(workers, now) if kind in by_tree]


def crash_loops(workers: Iterable[Worker], now: datetime) -> list[CrashLoop]:
    """Return the kinds that died at least `DEATHS` times recently."""
    died: defaultdict[tuple[str, str], list[Worker]] = defaultdict(list)
    for one in sorted(dead(workers, now), key=lambda one: one.seen_at):
        died[one.kind, one.host].append(one)
    return [
        CrashLoop(kind=kind, host=host, deaths=len(rows), last_fault=rows[-1].last_fault)
        for (kind, host), rows in sorted(died.items())
        if len(rows) >= DEATHS
    ]


def last_sent(workers: Iterable[Worker]) -> datetime | None:
    """Return when the broker last accepted a scheduler's wake-up."""
    return max((one.last_sent_at for one in workers if one.last_sent_at is not None), default=None)


def deaf_kinds(workers: Sequence[Worker], now: datetime) -> list[str]:
    """Return the kinds of work that run but have received no wake-up recently: the broker delivers none."""
    started = [one for one in alive(workers, now) if now - one.started_at > SILENT_AFTER]
    heard = {
        one.kind
        for one in started
        if one.last_wake_up_at is not None and now - one.last_wake_up_at <= SILENT_AFTER
    }
    return [kind for kind in KINDS if kind in {one.kind for one in started} - heard]


def off_clocks(workers: Iterable[Worker], now: datetime) -> list[Worker]:
    """Return the processes on machines with a clock that differs too much from the store's."""
    return [one for one in alive(workers, now) if abs(one.clock_offset_seconds) > OFFSET_ALLOWED]


def off_hosts(workers: Iterable[Worker], now: datetime, alarmed: Collection[str]) -> Mapping[str, Worker]:
    """Return each host that needs an alarm of its clock, with the process there that has the largest offset."""
    worst: dict[str, Worker] = {}
    for one in alive(workers, now):
        allowed = OFFSET_OVER if one.host in alarmed else OFFSET_ALLOWED
        known = worst.get(one.host)
        off = abs(one.clock_offset_seconds)
        if off > allowed and (known is None or off > abs(known.clock_offset_seconds)):
            worst[one.host] = one
    return worst


def offset_in_words(worker: Worker) -> str:
    """Return by how much its machine's clock is off, and the remedy."""
    return (
        f"the clock of {worker.host} ({worker.kind}) is {worker.clock_offset_seconds:+.1f} s off the database's:"
        " run NTP there"
    )
