"""Checks of the clocks."""

from typing import TYPE_CHECKING

from orchestrator.cli.shared.failures import Complaint
from orchestrator.cli.shared.reading import clock_of, opened
from orchestrator.rules.durations import duration_text

if TYPE_CHECKING:
    from orchestrator.settings import Settings


def agrees(_settings: "Settings") -> str:
    """Check that the store's clock agrees with the time that processes measure."""
    from orchestrator.rules.installation.clock import correction_is_late, in_words

    with opened() as database, database.reading() as tx:
        known, now = clock_of(database, tx), tx.now()
    if known is None:
        return "not compared yet: no worker has run"
    if known.jumped_at is not None:
        raise Complaint(in_words(known))
    if correction_is_late(known, now):
        raise Complaint(
            f"the clock was corrected at {known.corrected_at:%Y-%m-%d %H:%M:%S}Z, but some rows still have "
            "times in the future: start a worker of the kind control; if one is running, `orchestrator audit "
            "--full` names the rows that it cannot read, and its log says why"
        )
    compared = duration_text(max(0.0, (now - known.at).total_seconds()))
    return f"agrees with the time measured, last compared {compared} ago"
