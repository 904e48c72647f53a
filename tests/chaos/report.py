"""The report of a run, for people: Markdown."""

import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from tests.chaos.load import Load
from tests.simulation.evidence import Evidence
from tests.simulation.invariants import INVARIANTS, Violation
from tests.simulation.ledger_oracle import stamped_apart
from tests.simulation.stops import lateness


def report(
    title: str,
    what: Counter[str],
    load: Load,
    evidence: Evidence,
    broken: Sequence[Violation],
    seconds: float,
) -> str:
    """Return one page."""
    return "\n".join(
        [
            f"# {title}",
            "",
            f"{seconds:.0f} s under load, {sum(what.values())} troubles, **violations: {len(broken)}**.",
            "",
            *_table("What was done", "times", dict(sorted(what.items()))),
            *_table("Jobs", "", _jobs(load)),
            *_table("Sessions", "", _sessions(evidence)),
            *_table("Upstream", "", _upstream(evidence)),
            *_table("How closely", "", _closely(evidence)),
            *_table(
                "What held",
                "violations",
                {_as_judged(name, evidence): _count(broken, name) for name in INVARIANTS},
            ),
            *(
                []
                if not broken
                else ["## What is broken", "", *(f"- {violation}" for violation in broken), ""]
            ),
        ]
    )


def _as_judged(invariant: str, evidence: Evidence) -> str:
    """Return it with the tolerance of this run, instead of the promised one."""
    return invariant.replace("plus 5 s", f"plus {_seconds(evidence.late)}")


def _closely(evidence: Evidence) -> dict[str, Any]:
    """Return how near the run came to the tolerances, and how much of the stream was read."""
    late = [max(late - troubled, timedelta(0)) for _, late, troubled in lateness(evidence)]
    apart = [stamped_apart(evidence, session) for session in evidence.sessions.values()]
    heard = [str(event["id"]) for event in evidence.delivered or ()]
    return {
        "stops judged": len(late),
        f"the latest, beyond its deadline and the outage ({_seconds(evidence.late)} allowed)": _seconds(
            max(late)
        ),
        f"largest gap of RUNNING in a row and in its events ({_seconds(evidence.stamps)} allowed)": _seconds(
            max(apart)
        ),
        "events read from the stream": len(set(heard)),
        "read again": len(heard) - len(set(heard)),
        "lost with the data of Redis before they could be read": len(evidence.swept_away),
    }


def _seconds(span: timedelta) -> str:
    return f"{span.total_seconds():.4g} s"


def _table(title: str, head: str, rows: Mapping[str, Any]) -> list[str]:
    lines = [f"| {name} | {count} |" for name, count in rows.items()]
    return [f"## {title}", "", f"| | {head} |", "|---|--:|", *lines, ""]


def _jobs(load: Load) -> dict[str, int]:
    counts = {"asked for": load.jobs, "asked again, for nothing was heard": load.asked_again}
    return counts | {f"answered: {code}": count for code, count in sorted(load.outcomes.items())}


def _sessions(evidence: Evidence) -> dict[str, int]:
    ends = Counter(str(session.stop_reason) for session in evidence.sessions.values())
    counts = {"created": len(evidence.sessions), "placements": len(evidence.placements)}
    return counts | {f"ended by {reason}": count for reason, count in sorted(ends.items())}


def _upstream(evidence: Evidence) -> dict[str, int]:
    calls = Counter(call.operation for call in evidence.calls)
    closed = sum(session.closed_by in {"client", "ping"} for session in evidence.upstream)
    counts = {
        "sessions opened there": len(evidence.upstream),
        "closed by us": closed,
        "open at the end": sum(session.is_open for session in evidence.upstream),
        "events": len(evidence.events),
        "ledger entries": len(evidence.ledger),
    }
    return counts | {f"calls: {operation}": count for operation, count in sorted(calls.items())}


def _count(broken: Sequence[Violation], invariant: str) -> int:
    return sum(violation.invariant == invariant for violation in broken)


@contextmanager
def timed(phase: str) -> Iterator[None]:
    """Say how many seconds a phase took, also where it failed."""
    began = time.monotonic()
    try:
        yield
    finally:
        sys.stderr.write(f"{time.monotonic() - began:6.1f} s  {phase}\n")
