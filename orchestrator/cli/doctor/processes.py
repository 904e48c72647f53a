"""Checks of the processes, by their own rows, and by a job that does nothing."""

import time
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from orchestrator.cli.shared.failures import Complaint
from orchestrator.cli.shared.reading import reading
from orchestrator.rules.durations import duration_text
from orchestrator.rules.installation import liveness
from orchestrator.rules.text import numbered
from orchestrator.rules.values import Worker

if TYPE_CHECKING:
    from orchestrator.settings import Settings

#: Seconds within which a job that does nothing is answered.
_ANSWER_WITHIN = 10.0


def workers(_settings: "Settings") -> str:
    """Check that at least one process lives for each kind of work."""
    rows, now = _rows()
    restarting = liveness.restarting_kinds(rows, now)
    missing = [kind for kind in liveness.missing_kinds(rows, now) if kind not in restarting]
    if missing:
        one = f"orchestrator worker --pool {missing[0]}"
        raise Complaint(
            f"no process does {', '.join(missing)}: start one (`orchestrator worker`, or `{one}`)"
        )
    working = [one for one in liveness.alive(rows, now) if one.kind in liveness.KINDS]
    hosts = numbered(len({one.host for one in working}), "host")
    alive = f"{numbered(len(working), 'process', 'processes')} on {hosts}"
    return f"{alive}; being restarted: {', '.join(restarting)}" if restarting else alive


def restarts(_settings: "Settings") -> str:
    """Check that no process dies repeatedly."""
    loops = liveness.crash_loops(*_rows())
    if loops:
        raise Complaint(
            "\n".join(
                f"{one.kind} on {one.host} died {numbered(one.deaths, 'time')} in ten minutes"
                f" (last fault: {one.last_fault or 'none was reported'}): read its log"
                for one in loops
            )
        )
    return "no process dies repeatedly"


def scheduler(_settings: "Settings") -> str:
    """Return when the broker last accepted a wake-up. Raises Complaint if that was too long ago."""
    rows, now = _rows()
    sent = liveness.last_sent(rows)
    if sent is None:
        raise Complaint(
            "no scheduler has sent a wake-up: start one (`orchestrator scheduler` or `orchestrator up`)"
        )
    ago = duration_text(max(0.0, (now - sent).total_seconds()))
    if now - sent > liveness.SILENT_AFTER:
        raise Complaint(f"the last wake-up was sent {ago} ago: start a scheduler (`orchestrator scheduler`)")
    return f"the last wake-up was sent {ago} ago"


def wake_ups(_settings: "Settings") -> str:
    """Check that the broker delivers what schedulers send."""
    deaf = liveness.deaf_kinds(*_rows())
    if deaf:
        raise Complaint(
            f"wake-ups are sent but do not arrive at {', '.join(deaf)}: do workers and schedulers name the same"
            " ORCHESTRATOR_BROKER_URL? Due work is done without them, some seconds later"
        )
    return "they arrive"


def machine_clocks(_settings: "Settings") -> str:
    """Check that the machines' clocks agree with the store's."""
    off = liveness.off_clocks(*_rows())
    if off:
        raise Complaint("\n".join(map(liveness.offset_in_words, off)))
    return "they agree with the database's"


def jobs(settings: "Settings") -> str:
    """Check that a worker answers a job that does nothing."""
    from orchestrator.client.options import NOOP
    from orchestrator.client.sender import JobClient

    began = time.monotonic()
    with JobClient(
        settings.broker_url, settings.result_url, sentinel_master=settings.sentinel_master
    ) as client:
        answer = client.call(NOOP, {}, timeout=_ANSWER_WITHIN)
    if answer is None:
        raise Complaint(
            f"a job without effect is not answered within {_ANSWER_WITHIN:g} s: are workers of kind control busy,"
            " or do they name another ORCHESTRATOR_BROKER_URL or ORCHESTRATOR_RESULT_URL?"
        )
    return f"a job without effect is answered in {1000 * (time.monotonic() - began):.0f} ms"


def _rows() -> tuple[Sequence[Worker], datetime]:
    with reading() as tx:
        now = tx.now()
        return tx.workers.listed(since=now - liveness.DEATHS_WITHIN), now
