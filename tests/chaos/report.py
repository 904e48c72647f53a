"""What a run did and what held, for people: Markdown."""

from collections import Counter
from collections.abc import Sequence

from tests.chaos.load import Load
from tests.simulation.evidence import Evidence
from tests.simulation.invariants import INVARIANTS, Violation


def report(
    title: str,
    what: Counter[str],
    load: Load,
    evidence: Evidence,
    broken: Sequence[Violation],
    seconds: float,
) -> str:
    """One page."""
    return "\n".join(
        [
            f"# {title}",
            "",
            f"{seconds:.0f} s under load, {sum(what.values())} troubles, **violations: {len(broken)}**. A stop may be"
            f" {evidence.late.total_seconds():.0f} s later than its deadline and the troubles.",
            "",
            *_table("What was done", "times", dict(sorted(what.items()))),
            *_table("Jobs", "", _jobs(load)),
            *_table("Sessions", "", _sessions(evidence)),
            *_table("Upstream", "", _upstream(evidence)),
            *_table("What held", "violations", {name: _count(broken, name) for name in INVARIANTS}),
            *(
                []
                if not broken
                else ["## What is broken", "", *(f"- {violation}" for violation in broken), ""]
            ),
        ]
    )


def _table(title: str, head: str, rows: dict[str, int]) -> list[str]:
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
        "events": len(evidence.told),
        "ledger entries": len(evidence.ledger),
    }
    return counts | {f"calls: {operation}": count for operation, count in sorted(calls.items())}


def _count(broken: Sequence[Violation], invariant: str) -> int:
    return sum(violation.invariant == invariant for violation in broken)
