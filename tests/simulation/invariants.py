"""What holds whenever everything is at rest, whatever went wrong before; checked from the providers' own logs and a
fresh database connection.

for violation in violations(gather(database, config, now, upstream=…, calls=…)):
    print(violation)
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from tests.simulation import deaths, frozen, ledger_oracle, places, reasons, stops, stories
from tests.simulation.evidence import Evidence

Check = Callable[[Evidence], Iterator[tuple[str, str]]]

#: The invariant → its check, which yields (subject, what is wrong).
INVARIANTS: dict[str, Sequence[Check]] = {
    "every placement ever opened is closed or belongs to a live session, and the other way round": (
        places.nothing_leaks,
        places.every_live_session_is_served,
        places.no_end_without_proof,
        places.what_is_over_is_over,
        places.every_live_row_has_a_step,
    ),
    "never two active under one exclusive credential": (places.one_session_a_key,),
    "never more concurrent than the quota": (stories.quota_holds,),
    "no close of a session that was healthy and within its rules": (
        places.no_close_before_its_stop,
        places.no_close_of_foreign_sessions,
        reasons.every_stop_has_its_reason,
        deaths.every_move_has_its_reason,
        frozen.no_death_by_a_provider_at_fault,
    ),
    "every stop no later than its deadline plus the outage plus 5 s, and charged to its deadline only": (
        stops.at_the_deadline,
        stops.decided_in_time,
        stops.closed_in_time,
    ),
    "nothing runs for ever without a proof of life": (deaths.none_runs_without_a_proof_of_life,),
    "every job has exactly one outcome": (stories.one_outcome_a_job,),
    "each second of RUNNING charged once": (ledger_oracle.running_is_charged_once,),
    "no budget with a hard stop is exceeded": (ledger_oracle.hard_stops_hold,),
    "balance never below zero": (ledger_oracle.balance_is_never_below_zero,),
    "every transition has its event, delivered at least once and in order": (
        stories.every_transition_has_its_event,
        stories.every_event_is_delivered_in_order,
    ),
}


@dataclass(frozen=True, slots=True)
class Violation:
    """A broken invariant, its subject, and the evidence."""

    invariant: str
    subject: str
    detail: str

    def __str__(self) -> str:
        return f"{self.invariant}: {self.subject}: {self.detail}"


def violations(evidence: Evidence) -> list[Violation]:
    """Return everything that does not hold; empty is healthy."""
    return [
        Violation(invariant, subject, detail)
        for invariant, checks in INVARIANTS.items()
        for check in checks
        for subject, detail in check(evidence)
    ]
